"""What a pair's drafts usually bring, measured on answers that nobody trained on: it is shipped with the pair, so that
the first answer on a machine begins with it."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, cast

from mlx_spec.config import DrafterName, SamplingParams, SpeculativeConfig
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import RoundFinished
from mlx_spec.lookahead.experience import Experience, rates_of
from mlx_spec.lookahead.odds import Acceptance
from mlx_spec.models.loading import ModelPair
from mlx_spec.training.answers.corpus import is_held_out
from mlx_spec.training.answers.prompts import questions
from mlx_spec.training.answers.templates import chat_format

_LENGTH: Final = 8


def held_out_questions(tokenizer: Any, seed: int, count: int) -> list[list[int]]:
    """The first `count` of the recipe's own questions that fall on the held-out side, as prompts of ids.

    Raises TrainingError where the tokenizer has no chat template to cut.
    """

    def found() -> Iterator[list[int]]:
        chat = chat_format(tokenizer)
        for question in questions(seed):
            asked = (*chat.encode(question), *chat.template.reply)
            if is_held_out(asked):
                yield [*chat.template.opening, *asked]

    return list(islice(found(), count))


def measure_experience(
    pair: ModelPair,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams,
    max_tokens: int,
    tell: Callable[[str, float], None] = lambda stage, fraction: None,
) -> Experience:
    """Answer each prompt with each head and draft model of the pair, in chains of eight that end where the draft is
    unsure; `tell` is told a stage and its share."""
    config = SpeculativeConfig(lookahead=_LENGTH, adaptive_lookahead=False)
    accepted = {}
    for name in (*pair.heads, *(("model",) if pair.draft is not None else ())):
        decoder = SpeculativeDecoder(pair, config, drafter=cast(DrafterName, name))
        acceptance = Acceptance()
        for number, prompt in enumerate(prompts):
            tell(f"Answering with {name}", number / len(prompts))
            acceptance.begin()
            for event in decoder.stream(prompt, params, max_tokens):
                if isinstance(event, RoundFinished) and event.drafted:
                    tested = sum(token.state != "untested" for token in event.drafted)
                    acceptance.observe(event.lookahead, len(event.drafted), tested, event.accepted_count)
        accepted[f"{name}/0"] = rates_of(acceptance)
    return Experience(accepted)
