"""What a draft or a head brings a round when it decodes for real: held-out questions, answered with fixed chains and
trees. The measure of training that no clock disturbs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from mlx_spec.config import DrafterName, SamplingParams, SpeculativeConfig, fixed_rounds
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.errors import ConfigError
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair
from mlx_spec.training.answers.corpus import Sample
from mlx_spec.training.answers.held_out import shuffled
from mlx_spec.training.evaluate import Estimate


@dataclass(frozen=True, slots=True)
class Rounds:
    """Tokens a round, the target's own included, of one shape over some answers; answers are taken as independent."""

    shape: str
    answers: int
    tokens: int
    rounds: int
    tokens_a_round: Estimate

    def __str__(self) -> str:
        return f"{self.shape}: {self.tokens_a_round} tokens a round ({self.tokens:,} tokens, {self.answers} answers)"


def shape_settings(shape: str) -> SpeculativeConfig:
    """What "4" or "6x8:48" asks for, see `fixed_rounds`. Raises ConfigError."""
    if shape == "off":
        raise ConfigError("shapes", shape, "a chain's length as in 4, or a tree as in 3x2 or 6x8:48")
    return fixed_rounds(int(shape) if shape.isdecimal() else shape)


def measure_rounds(
    pair: ModelPair,
    drafter: DrafterName,
    shapes: tuple[str, ...],
    held_out: list[Sample],
    questions: int,
    params: SamplingParams,
    max_tokens: int,
    tell: Callable[[str, float], None] = lambda stage, fraction: None,
) -> list[Rounds]:
    """Answer the first questions of some held-out dialogues, chosen by the seed of `params`, the same ones for each
    shape; `tell` is told a stage and its share.

    Raises ConfigError for a shape that is none, and for a drafter that the pair was loaded without.
    """
    decoders = {shape: SpeculativeDecoder(pair, shape_settings(shape), drafter=drafter) for shape in shapes}
    asked = [sample.question.tolist() for sample in shuffled(held_out, params.seed)[:questions]]
    found = []
    for shape, decoder in decoders.items():
        counts = []
        for number, question in enumerate(asked):
            tell(f"Answering with {shape}", number / len(asked))
            *_, end = decoder.stream(question, params, max_tokens)
            assert isinstance(end, GenerationFinished)
            counts.append((end.stats.total_tokens_generated, end.stats.target_forward_passes))
        tell(f"Answering with {shape}", 1.0)
        found.append(_rounds_of(shape, counts))
    return found


def _rounds_of(shape: str, counts: list[tuple[int, int]]) -> Rounds:
    tokens, rounds = np.asarray(counts, np.float64).T
    mean = float(tokens.sum() / rounds.sum())
    error = float(np.sqrt(np.square(tokens - mean * rounds).sum()) / rounds.sum())
    return Rounds(shape, len(counts), int(tokens.sum()), int(rounds.sum()), Estimate(mean, error))


def numbers(measured: Rounds) -> dict[str, object]:
    """As plain numbers, for `--json`."""
    return asdict(measured) | {"tokens_a_round": [measured.tokens_a_round.mean, measured.tokens_a_round.error]}
