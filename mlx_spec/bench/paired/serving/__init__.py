"""Servers that are asked several things at once: ours, another engine's, our build of before, and ours without drafts.

`rounds` says who is asked what and in which order, `together` asks it, `figures` says what follows from the times that
were seen, and `report` keeps both.
"""
