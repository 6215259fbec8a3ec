"""Which trees and widths a configuration allows."""

from dataclasses import replace

from mlx_spec.acceptance.tree import Shape
from mlx_spec.config import SpeculativeConfig, tree_settings
from mlx_spec.lookahead.controllers import controller
from mlx_spec.lookahead.plan import Option
from mlx_spec.lookahead.shapes import confined, largest_tree, tree_shapes

OPTION = Option("model", 8, trees=True)


def test_the_largest_tree_is_whole_or_its_likeliest_tokens() -> None:
    """Of the trees that are weighed none is larger, and all depths up to its own are there."""
    whole = SpeculativeConfig(tree_speculation=True, max_tree_depth=3, tree_branching_factor=2)
    assert largest_tree(whole) == Shape((2, 2, 2))
    assert largest_tree(replace(whole, max_tree_nodes=5)) == Shape((2, 2, 2), nodes=5)
    assert largest_tree(replace(whole, max_tree_nodes=14)) == Shape((2, 2, 2))
    deep = SpeculativeConfig(**tree_settings("6x8:48"))
    assert largest_tree(deep) == Shape((8,) * 6, nodes=48) == tree_shapes(deep)[-1]
    assert max(shape.size for shape in tree_shapes(deep)) == 48
    assert {8, 12, 16, 24, 32, 48} <= {shape.size for shape in tree_shapes(deep)}
    assert controller(replace(deep, adaptive_lookahead=False)).plan([OPTION], 100).shape == largest_tree(deep)


def test_trees_are_made_to_fit_into_a_pass() -> None:
    whole = SpeculativeConfig(tree_speculation=True, max_tree_depth=3, tree_branching_factor=2)
    assert confined(whole, None, trees=True) is whole
    assert confined(whole, 15, trees=True) is whole, "14 tokens and the known one"
    assert largest_tree(confined(whole, 11, trees=True)) == Shape((2, 2, 2), nodes=10)
    narrow = confined(whole, 3, trees=True)
    assert (largest_tree(narrow).size, narrow.max_tree_depth) == (2, 2)
    for widest, trees in ((2, True), (16, False), (None, False)):
        assert not confined(whole, widest, trees=trees).tree_speculation
