"""Answers that nobody waits for: one for each length and tree that may be drafted, so that its graphs are built; and
some side by side, so that how a model takes the rows of several is tried."""

from collections.abc import Iterator
from dataclasses import replace

from mlx_spec.config import DrafterName, SamplingParams, SpeculativeConfig
from mlx_spec.decoding.admission import drafting
from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.request import Request
from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.lookahead.fixed import FixedLookahead
from mlx_spec.lookahead.shapes import tree_shapes
from mlx_spec.models.loading import ModelPair


def trial_answers(pair: ModelPair, config: SpeculativeConfig, drafter: DrafterName) -> Iterator[list[Answer]]:
    """To a prompt of two tokens, counted nowhere. Of those that come together the first round, a common one, is worth
    doing."""
    names = drafting(drafter, pair)
    config = replace(config, acceptance_threshold=0.0)  # no draft ends early
    lengths = range(config.max_lookahead + 1 if names else 1)
    shapes = tree_shapes(config) if names else ()
    params, room = SamplingParams(temperature=1.0, seed=0), config.max_lookahead + config.max_tree_depth + 1
    request = Request((0, 0), config, params, drafter, names, room)
    alone = [*map(FixedLookahead, lengths), *(FixedLookahead(shape.depth, shape) for shape in shapes)]
    for count, plans in ((1, alone), (2, map(FixedLookahead, lengths[:2]))):
        for plan in plans:
            yield [Answer(pair, request, lambda *_, plan=plan: plan, StatsCounter()) for _ in range(count)]
