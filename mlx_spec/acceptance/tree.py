"""The shape of a drafted tree: which token was proposed to follow which.

Node 0 is the root, the newest known token; node i + 1 is the i-th drafted token. A parent stands before its children,
and the children of one node follow in the drafter's order, its favourite first. A chain has one child a node.
Host integers only; the arrays that a pass over the tree needs are made once for each shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import mlx.core as mx
import numpy as np


@dataclass(frozen=True)
class TokenTree:
    """`parents[i]` is the node that the i-th drafted token follows.

    Raises ValueError where a parent does not stand before its child.
    """

    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        for i, parent in enumerate(self.parents):
            if not 0 <= parent <= i:
                raise ValueError(f"node {i + 1} cannot follow node {parent}: a parent stands before its children")

    @property
    def size(self) -> int:
        """Drafted tokens."""
        return len(self.parents)

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Of all nodes; the root has 0."""
        depths = [0]
        for parent in self.parents:
            depths.append(depths[parent] + 1)
        return tuple(depths)

    @property
    def depth(self) -> int:
        """The longest path, in drafted tokens: what a round can accept."""
        return max(self.depths)

    @property
    def is_chain(self) -> bool:
        """Whether every node has one child at most, each following the one before it."""
        return all(parent == i for i, parent in enumerate(self.parents))

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The children of every node, in order."""
        children: list[list[int]] = [[] for _ in range(self.size + 1)]
        for i, parent in enumerate(self.parents):
            children[parent].append(i + 1)
        return tuple(tuple(nodes) for nodes in children)

    @property
    def branching(self) -> int:
        """The most children that a node has."""
        return max(len(nodes) for nodes in self.children)

    def path(self, node: int) -> tuple[int, ...]:
        """The nodes from the root's child down to `node`; none for the root."""
        nodes: list[int] = []
        while node:
            nodes.append(node)
            node = self.parents[node - 1]
        return tuple(reversed(nodes))

    @cached_property
    def seen(self) -> mx.array:
        """`[size + 1, size + 1]`, bool: row i is true for node i and its ancestors, the nodes that it attends to."""
        seen = np.eye(self.size + 1, dtype=bool)
        for i, parent in enumerate(self.parents):
            seen[i + 1] |= seen[parent]
        return mx.array(seen)

    @cached_property
    def depth_row(self) -> mx.array:
        """The depths `[size + 1]` as an array (int32)."""
        return mx.array(self.depths, dtype=mx.int32)

    @cached_property
    def parent_row(self) -> mx.array:
        """The parents `[size]` as an array (int32)."""
        return mx.array(self.parents, dtype=mx.int32)

    @cached_property
    def child_table(self) -> mx.array:
        """The children `[size + 1, branching]` as an array (int32), 0 where there is none."""
        width = max(1, self.branching)
        return mx.array([[*nodes, *[0] * (width - len(nodes))] for nodes in self.children], dtype=mx.int32)


@dataclass(frozen=True, slots=True)
class Shape:
    """What is asked of a drafter: every node at depth d gets `branching[d]` children; of these, where `nodes` says so,
    the likeliest `nodes` stay, and only the likeliest `branching[d]` of a level get children (EAGLE-2's dynamic tree).
    """

    branching: tuple[int, ...]
    nodes: int | None = None

    @property
    def depth(self) -> int:
        """The most tokens that can be accepted."""
        return len(self.branching)

    @property
    def size(self) -> int:
        """Drafted tokens."""
        return self.nodes if self.nodes is not None else sum(self.widths)

    @property
    def widths(self) -> tuple[int, ...]:
        """Nodes at each depth, before any are left out."""
        widths, width = [], 1
        for children in self.branching:
            width *= children
            widths.append(width)
            if self.nodes is not None:
                width = min(width, children)
        return tuple(widths)

    def __str__(self) -> str:
        """In words for people."""
        children = "×".join(str(count) for count in self.branching)
        return children if self.nodes is None else f"best {self.nodes} of {children}"


@lru_cache(maxsize=512)
def tree_of(parents: tuple[int, ...]) -> TokenTree:
    """The tree with these parents, with its arrays made once however often the shape comes back."""
    return TokenTree(parents)


def chain(length: int) -> TokenTree:
    """One child a node."""
    return tree_of(tuple(range(length)))


def full_tree(branching: Sequence[int]) -> TokenTree:
    """Every node of depth d has `branching[d]` children. Level by level, as drafters expand it."""
    parents: list[int] = []
    level = [0]
    for children in branching:
        below = []
        for node in level:
            for _ in range(children):
                parents.append(node)
                below.append(len(parents))
        level = below
    return tree_of(tuple(parents))


def tree_of_paths(paths: Sequence[Sequence[int]]) -> TokenTree:
    """The tree of a list of paths, as Medusa publishes its trees: `(0, 2)` is the third child of the first child.

    Raises ValueError where a path's beginning, or an elder sibling, is missing.
    """
    nodes: dict[tuple[int, ...], int] = {(): 0}
    parents = []
    for path in sorted((tuple(path) for path in paths), key=lambda path: (len(path), path)):
        elder = (*path[:-1], path[-1] - 1)
        if path[:-1] not in nodes or (path[-1] and elder not in nodes):
            raise ValueError(f"the path {path} has no parent or elder sibling in the tree")
        parents.append(nodes[path[:-1]])
        nodes[path] = len(parents)
    return tree_of(tuple(parents))


def merged(continuations: Sequence[Sequence[int]], size: int) -> tuple[TokenTree, list[int]]:
    """The tree, of up to `size` drafted tokens, in which each continuation is a path, and its token ids.

    Common beginnings are shared, so siblings are different tokens. The first continuation goes in first, whole.
    """
    parents: list[int] = []
    token_ids: list[int] = []
    known: dict[tuple[int, int], int] = {}
    for continuation in continuations:
        node = 0
        for token_id in continuation:
            if (node, token_id) not in known:
                if len(parents) == size:
                    break
                parents.append(node)
                token_ids.append(token_id)
                known[node, token_id] = len(parents)
            node = known[node, token_id]
    return tree_of(tuple(parents)), token_ids
