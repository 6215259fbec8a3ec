"""Which controller serves, and what all of them keep to."""

from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.controllers import controller
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.plan import Option
from mlx_spec.lookahead.threshold import ThresholdLookahead
from tests.lookahead.machines import length, round_of


def test_the_first_length_is_within_the_bounds_and_the_room() -> None:
    assert length(ThresholdLookahead(SpeculativeConfig(lookahead=12))) == 8
    assert length(ThresholdLookahead(SpeculativeConfig(lookahead=1))) == 2
    for chooser in (FixedLookahead(6), ThresholdLookahead(SpeculativeConfig()), CostLookahead(SpeculativeConfig())):
        assert length(chooser, room=1) <= 1
        assert length(chooser, room=0) == 0
        assert chooser.plan([], 100).length == 0


def test_controller_follows_the_configuration() -> None:
    assert isinstance(controller(SpeculativeConfig()), CostLookahead)
    assert isinstance(controller(SpeculativeConfig(controller="threshold")), ThresholdLookahead)
    fixed = controller(SpeculativeConfig(lookahead=6, adaptive_lookahead=False))
    fixed.observe(round_of(6, 0, 0.0))
    assert isinstance(fixed, FixedLookahead)
    assert length(fixed) == 6


def test_fixed_and_threshold_take_the_first_drafter_that_has_something_to_say() -> None:
    options = [Option("model", 0), Option("ngram", 3)]
    for chooser in (FixedLookahead(6), ThresholdLookahead(SpeculativeConfig(lookahead=6))):
        assert (chooser.plan(options, 100).drafter, chooser.plan(options, 100).length) == ("ngram", 3)
