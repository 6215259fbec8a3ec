"""The shape of drafted trees."""

import numpy as np
import pytest

from mlx_spec.acceptance.tree import TokenTree, chain, full_tree, merged, tree_of, tree_of_paths


def test_a_chain_is_the_tree_of_one_child_a_node() -> None:
    tree = chain(3)
    assert tree.is_chain
    assert tree.depths == (0, 1, 2, 3)
    assert tree.path(3) == (1, 2, 3)
    assert np.array_equal(np.array(tree.seen), np.tril(np.ones((4, 4), dtype=bool)))
    assert chain(0).depth == 0


def test_a_full_tree_goes_level_by_level() -> None:
    tree = full_tree((2, 3))
    assert tree.parents == (0, 0, 1, 1, 1, 2, 2, 2)
    assert tree.children[1] == (3, 4, 5)
    assert tree.branching == 3
    assert not tree.is_chain


def test_a_node_sees_its_ancestors_and_itself() -> None:
    tree = tree_of((0, 0, 1, 3))
    assert [np.flatnonzero(row).tolist() for row in np.array(tree.seen)] == [
        [0], [0, 1], [0, 2], [0, 1, 3], [0, 1, 3, 4],
    ]  # fmt: skip
    assert tree.path(4) == (1, 3, 4)
    assert np.array(tree.child_table).tolist() == [[1, 2], [3, 0], [0, 0], [4, 0], [0, 0]]


def test_a_child_cannot_stand_before_its_parent() -> None:
    with pytest.raises(ValueError, match="node 1 cannot follow node 2"):
        TokenTree((2, 0))


def test_medusas_paths_are_trees() -> None:
    tree = tree_of_paths([(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0)])
    assert tree.parents == (0, 0, 1, 1, 2, 3)
    with pytest.raises(ValueError, match="no parent or elder sibling"):
        tree_of_paths([(0,), (2,)])
    with pytest.raises(ValueError, match="no parent or elder sibling"):
        tree_of_paths([(0,), (1, 0)])


def test_continuations_share_their_beginnings() -> None:
    tree, token_ids = merged([[7, 8, 9], [7, 5], [6]], size=8)
    assert token_ids == [7, 8, 9, 5, 6]
    assert tree.parents == (0, 1, 2, 1, 0)
    tree, token_ids = merged([[7, 8, 9], [7, 5], [6]], size=4)
    assert token_ids == [7, 8, 9, 5]
