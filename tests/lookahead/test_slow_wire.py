"""Where each collective of a pass takes 5 ms more, longer drafts pay: the controller sees whole passes, and follows."""

from collections import Counter

import pytest

from mlx_spec.config import SpeculativeConfig, tree_settings
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.plan import Option, Plan
from mlx_spec.lookahead.shapes import largest_tree
from tests.lookahead.machines import SEEDS, Machine

# A target whose rows cost, as on one machine; and a draft that is right seven times in ten.
ALONE = [20.0 + 5.0 * rows for rows in range(1, 10)]
DRAFT_MS, ALPHA = 6.0, 0.7
COLLECTIVE_MS = 5.0


def over(collectives: int) -> list[float]:
    """The passes of that target over several machines: each makes so many collectives, whatever its rows."""
    return [milliseconds + COLLECTIVE_MS * collectives for milliseconds in ALONE]


def best(verify_ms: list[float]) -> int:
    machine = Machine(verify_ms, DRAFT_MS, ALPHA)
    return max(range(9), key=machine.rate)


def usual(lengths: list[int]) -> int:
    return Counter(lengths).most_common(1)[0][0]


@pytest.mark.parametrize("is_calibrated", [True, False], ids=["calibrated", "from its rounds alone"])
def test_a_slower_wire_makes_drafts_longer(is_calibrated: bool) -> None:
    # A pipeline over four machines, and layers that are all divided between two.
    tables = [over(collectives) for collectives in (0, 3, 60)]
    assert [best(table) for table in tables] == sorted({best(table) for table in tables})  # each is longer
    chosen = []
    for table in tables:
        lengths = []
        for seed in SEEDS[:6]:
            known = Calibration(tuple(table), DRAFT_MS) if is_calibrated else None
            chooser, machine = (
                CostLookahead(SpeculativeConfig(), known),
                Machine(table, DRAFT_MS, ALPHA, seed, even=True),
            )
            machine.run(chooser, 40)
            lengths += machine.run(chooser, 20)
        chosen.append(sum(lengths) / len(lengths))
        assert abs(usual(lengths) - best(table)) <= 1
    assert chosen[0] < chosen[1] < chosen[2]


def test_a_wire_that_becomes_slow_is_noticed_by_the_rounds_that_it_slows() -> None:
    before, after = over(0), over(60)
    for seed in SEEDS[:4]:
        chooser = CostLookahead(SpeculativeConfig(), Calibration(tuple(before), DRAFT_MS))
        quick = Machine(before, DRAFT_MS, ALPHA, seed, even=True)
        short = usual(quick.run(chooser, 60))
        slow = Machine(after, DRAFT_MS, ALPHA, seed, even=True)
        slow.run(chooser, 40)
        assert usual(slow.run(chooser, 20)) > short


def test_a_pass_that_mostly_waits_makes_trees_as_wide_as_they_may_be_pay() -> None:
    """Over 242 waits of 5 ms rows are nearly free; over two they cost what they cost on one machine."""
    config = SpeculativeConfig(**tree_settings("6x8:32"))

    def planned(fixed_ms: float) -> Plan:
        passes = Calibration(tuple(fixed_ms + 9.0 * rows for rows in range(1, 49)))
        controller = CostLookahead(config, passes)
        controller.begin()
        return controller.plan([Option("eagle", 32, trees=True)], 40)

    assert planned(1_400.0).shape == largest_tree(config)
    assert planned(110.0).shape is None
