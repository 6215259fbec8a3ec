"""The cost controller chooses a tree's size and shape as it chooses a length: against an artificial clock."""

import random
from dataclasses import dataclass

import pytest

from mlx_spec.acceptance.tree import Shape
from mlx_spec.config import SpeculativeConfig
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.costs import Calibration
from mlx_spec.lookahead.plan import Observation, Option
from mlx_spec.lookahead.shapes import tree_shapes

OPTION = Option("model", 8, trees=True)
CONFIG = SpeculativeConfig(
    tree_speculation=True, max_tree_depth=4, tree_branching_factor=3, acceptance_threshold=0.0, max_lookahead=8
)


@dataclass(frozen=True)
class World:
    """A machine and a text: a pass over w tokens takes `pass_ms + row_ms (w - 1)`, a draft pass `draft_ms` and
    `beside_ms` for every further token; the i-th guess at a place is right with probability `guesses[i]`."""

    pass_ms: float
    row_ms: float
    draft_ms: float
    beside_ms: float
    guesses: tuple[float, ...]

    def verify_ms(self, width: int) -> float:
        return self.pass_ms + self.row_ms * (width - 1)

    def drafting_ms(self, shape: Shape) -> float:
        return self.draft_ms * shape.depth + self.beside_ms * sum(width - 1 for width in shape.widths[:-1])

    def hits(self, shape: Shape, draw: random.Random) -> list[tuple[int, int]]:
        """Of a tree grown by probability this world keeps every guess, with the share of its places."""
        share = 1.0 if shape.nodes is None else min(1.0, shape.nodes / Shape(shape.branching).size) ** 0.25
        hits = []
        for children in shape.branching:
            chance, right = draw.random(), 0
            for rank, p in enumerate(self.guesses[:children], 1):
                chance -= p * (share if rank > 1 else 1.0)
                if chance < 0:
                    right = rank
                    break
            hits.append((children, right))
            if not right:
                break
        return hits

    def rate(self, shape: Shape | None, draw: random.Random, rounds: int = 4000) -> float:
        if shape is None:
            return 1 / self.verify_ms(1)
        tokens = sum(1 + sum(right > 0 for _, right in self.hits(shape, draw)) for _ in range(rounds))
        return tokens / rounds / (self.drafting_ms(shape) + self.verify_ms(shape.size + 1))

    def calibration(self) -> Calibration:
        return Calibration(tuple(self.verify_ms(w) for w in range(1, 10)), self.draft_ms, self.beside_ms)


WORLDS = {
    "wide passes are nearly free": World(20.0, 0.1, 1.0, 0.02, (0.5, 0.2, 0.1)),
    "width costs a little": World(20.0, 0.8, 1.0, 0.1, (0.5, 0.2, 0.1)),
    "width costs more than it brings": World(20.0, 4.0, 0.5, 0.5, (0.7, 0.1, 0.05)),
    "nothing pays": World(20.0, 18.0, 3.0, 3.0, (0.3, 0.1, 0.05)),
    "the first guess is nearly always right": World(20.0, 0.5, 1.0, 0.1, (0.93, 0.04, 0.01)),
    "guesses are all alike": World(20.0, 0.2, 2.0, 0.05, (0.25, 0.22, 0.2)),
}
CHAINS = [Shape((1,) * length) for length in range(1, 9)]


@pytest.mark.parametrize("name", WORLDS)
def test_it_comes_near_the_best_fixed_shape(name: str) -> None:
    world, draw = WORLDS[name], random.Random(1)
    shapes = [*CHAINS, *tree_shapes(CONFIG)]
    assert len(shapes) >= 12
    best = max(world.rate(shape, draw) for shape in (None, *shapes))
    chooser = CostLookahead(CONFIG, world.calibration())
    spent = tokens = 0.0
    for index in range(2000):
        plan = chooser.plan([OPTION], 100)
        noisy = draw.uniform(0.95, 1.05)
        if plan.drafter is None:
            verify = world.verify_ms(1) * noisy
            chooser.observe(Observation(None, 0, 0, 0, 0, (), 0.0, verify))
            accepted, draft = 0, 0.0
        else:
            shape = plan.shape or Shape((1,) * plan.length)
            hits = world.hits(shape, draw)
            accepted = sum(right > 0 for _, right in hits)
            draft, verify = world.drafting_ms(shape) * noisy, world.verify_ms(shape.size + 1) * noisy
            told = plan.length, shape.size, len(hits), accepted, ()
            chooser.observe(Observation(OPTION, *told, draft, verify, shape.depth, plan.shape, hits))
        if index >= 60:
            spent += draft + verify
            tokens += accepted + 1
    assert tokens / spent >= 0.97 * best


def test_where_width_costs_more_than_it_brings_it_drafts_chains_and_where_nothing_pays_nothing() -> None:
    for name, chain in (("width costs more than it brings", True), ("nothing pays", False)):
        world = WORLDS[name]
        chooser = CostLookahead(CONFIG, world.calibration())
        draw, plans = random.Random(2), []
        for _ in range(300):
            plan = chooser.plan([OPTION], 100)
            plans.append(plan)
            if plan.drafter is None:
                chooser.observe(Observation(None, 0, 0, 0, 0, (), 0.0, world.verify_ms(1)))
                continue
            shape = plan.shape or Shape((1,) * plan.length)
            hits = world.hits(shape, draw)
            told = plan.length, shape.size, len(hits), sum(right > 0 for _, right in hits), ()
            times = world.drafting_ms(shape), world.verify_ms(shape.size + 1)
            chooser.observe(Observation(OPTION, *told, *times, shape.depth, plan.shape, hits))
        late = plans[100:]
        usual = [plan for plan in late if "try" not in plan.reason]
        if chain:
            assert sum(plan.shape is None and plan.length > 0 for plan in usual) > 0.95 * len(usual)
        else:
            assert all(plan.parked for plan in usual)
