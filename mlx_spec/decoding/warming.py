"""Answers that nobody waits for: one for each length and tree that may be drafted, so that its graphs are built."""

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


def trial_answers(pair: ModelPair, config: SpeculativeConfig, drafter: DrafterName) -> Iterator[Answer]:
    """To a prompt of two tokens, counted nowhere; of each the first round is worth doing."""
    names = drafting(drafter, pair)
    config = replace(config, acceptance_threshold=0.0)  # no draft ends early
    lengths = range(config.max_lookahead + 1 if names else 1)
    shapes = tree_shapes(config) if names else ()
    params, room = SamplingParams(temperature=1.0, seed=0), config.max_lookahead + config.max_tree_depth + 1
    request = Request((0, 0), config, params, drafter, names, room)
    for plan in [*map(FixedLookahead, lengths), *(FixedLookahead(shape.depth, shape) for shape in shapes)]:
        yield Answer(pair, request, lambda *_, plan=plan: plan, StatsCounter())
