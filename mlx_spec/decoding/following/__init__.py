"""One target in several processes, each with its share of it: the leader's tells what is done to its caches, and the
others repeat that, operation by operation.

The leader decides everything: it drafts, judges, plans and keeps. The others hold their share's caches, and make their
part of each pass; what their rows say is never read. An operation is told by host values alone, with the passes that
it makes and the way in which these are made; objects go by numbers, and their end is told.
"""

from mlx_spec.decoding.following.leading import lead
from mlx_spec.decoding.following.repeating import follow

__all__ = ["follow", "lead"]
