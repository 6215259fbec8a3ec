"""Which controller a configuration asks for."""

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.experience import Experience
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.plan import LookaheadController
from mlx_spec.lookahead.shapes import largest_tree
from mlx_spec.lookahead.shared_costs import SharedCosts
from mlx_spec.lookahead.threshold import ThresholdLookahead


def controller(
    config: SpeculativeConfig,
    calibration: Calibration | None = None,
    experience: Experience | None = None,
    shared: SharedCosts | None = None,
) -> LookaheadController:
    """The controller that a configuration asks for."""
    if not config.adaptive_lookahead:
        tree = largest_tree(config) if config.tree_speculation and not config.only_weighed else None
        return FixedLookahead(config.lookahead, tree, shared)
    if config.controller == "threshold":
        return ThresholdLookahead(config, shared)
    return CostLookahead(config, calibration, experience, shared)
