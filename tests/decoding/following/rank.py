"""A rank of a group, as a process of its own: `python -m tests.decoding.following.rank RANK RANKS PORT TASK`.

Rank 0 answers a crowd with its share of a tiny target and says what came of it, as JSON; the others follow.
"""
