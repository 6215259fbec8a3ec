"""What a configuration allows: the trees that are weighed, and the widths that a pass may have. Pure functions."""

from dataclasses import replace
from typing import Final

from mlx_spec.acceptance.tree import Shape
from mlx_spec.config import SpeculativeConfig

_BEST_NODES: Final = (4, 6, 8, 12, 16, 24, 32, 48, 64)
# Where the cost of rows makes a step down, it does so at a multiple of this.
_PADDED_TO: Final = 16
_EVERY_WIDTH: Final = 16


def tree_shapes(config: SpeculativeConfig) -> tuple[Shape, ...]:
    """The trees that are weighed: branching once, twice, everywhere, and grown by probability to several sizes."""
    if not config.tree_speculation or config.tree_branching_factor == 1:
        return ()
    largest = largest_tree(config)
    depth, most = config.max_tree_depth, config.tree_branching_factor
    shapes = []
    for length in range(1, depth + 1):
        shapes += [Shape((most,) * wide + (1,) * (length - wide)) for wide in range(1, min(2, length) + 1)]
    shapes = [shape for shape in shapes if shape.size <= largest.size]
    shapes += [Shape(largest.branching, nodes) for nodes in _BEST_NODES if depth < nodes < largest.size]
    return tuple(dict.fromkeys([*shapes, largest]))


def largest_tree(config: SpeculativeConfig) -> Shape:
    """The tree that a configuration allows: whole, or its likeliest `max_tree_nodes` tokens."""
    whole = Shape((config.tree_branching_factor,) * config.max_tree_depth)
    most = config.max_tree_nodes
    return whole if most is None or most >= whole.size else Shape(whole.branching, most)


def confined(config: SpeculativeConfig, widest: int | None, *, trees: bool) -> SpeculativeConfig:
    """A configuration whose trees fit into passes of `widest` rows (None: any number), or that has none. Chains are as
    long as a round has room for."""
    if not config.tree_speculation or (widest is None and trees):
        return config
    most = widest - 1 if widest is not None and trees else 0
    if most < 2:
        return replace(config, tree_speculation=False)
    if largest_tree(config).size <= most:
        return config
    return replace(config, max_tree_depth=min(config.max_tree_depth, most), max_tree_nodes=most)


def pass_widths(config: SpeculativeConfig) -> list[int]:
    """The rows of all passes that may be made, ascending: chains and trees with the known token, and what they may be
    padded to.

    Of wide trees not every width: any is padded to the next one."""
    largest = largest_tree(config).size if config.tree_speculation else 0
    used = max(config.max_lookahead, min(largest, _EVERY_WIDTH)) + 1
    widest = _PADDED_TO * -(-(max(config.max_lookahead, largest) + 1) // _PADDED_TO)
    return sorted({*range(1, used + 1), *range(_PADDED_TO, widest + 1, _PADDED_TO)})
