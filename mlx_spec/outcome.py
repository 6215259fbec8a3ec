"""What one round decided, read from the device: the one host read of a round."""

import math
from dataclasses import dataclass, replace
from typing import cast

import mlx.core as mx

from mlx_spec.acceptance import Verdict
from mlx_spec.alternatives import LazyTops, Tops, likeliest
from mlx_spec.drafters.base import Draft
from mlx_spec.errors import NumericalError
from mlx_spec.sampling import log_normaliser


@dataclass(frozen=True, slots=True)
class Outcome:
    """The tokens of a round, and their probabilities under the warped distribution (at temperature 0, the softmax).

    `token_ids` are the accepted drafts and the target's own token after them, whose probability is `next_p`. `end` is
    set where the answer ended among the accepted drafts, after that many of them. `target_top` and `draft_top` are the
    likeliest tokens of each of the round's rows, where they were asked for.
    """

    accepted: int
    token_ids: list[int]
    draft_ids: list[int]
    drafted_p: list[float]
    drafted_q: list[float | None]
    next_p: float
    end: int | None = None
    target_top: Tops = ()
    draft_top: Tops = ()

    @property
    def tested(self) -> int:
        """Drafts that reached the acceptance test: the accepted ones and the first rejected one."""
        return self.end if self.end is not None else min(self.accepted + 1, len(self.draft_ids))

    def ended_after(self, emitted: int) -> "Outcome":
        """The same round, but where the answer ended among its accepted drafts, those behind the end do not count."""
        return self if emitted >= self.accepted else replace(self, accepted=emitted, end=emitted)

    def ratios(self) -> list[float]:
        """p/q of each tested draft that has a q."""
        tested = zip(self.drafted_p[: self.tested], self.drafted_q, strict=False)
        return [p / max(q, 1e-9) for p, q in tested if q is not None]


def read_outcome(verdict: Verdict, rows: mx.array, draft: Draft | None, alternatives: int = 0) -> Outcome:
    """Evaluate the round's graph and read it. `rows` `[gamma + 1, vocab]` are the target's scores. `alternatives`
    is how many of the likeliest tokens of each row to tell besides.

    Raises NumericalError when the rows that decided are not numbers.
    """
    normaliser = log_normaliser(rows)
    chosen = _probabilities(rows, normaliser, verdict.token_ids)
    arrays = [verdict.accepted_count, verdict.token_ids, chosen]
    if draft is not None:
        arrays += [draft.token_ids, _probabilities(rows[:-1], normaliser[:-1], draft.token_ids)]
        if draft.scores is not None:
            arrays.append(_probabilities(draft.scores, log_normaliser(draft.scores), draft.token_ids))
    tops: list[LazyTops] = []
    if alternatives:
        tops.append(likeliest(rows, normaliser, alternatives))
        if draft is not None and draft.scores is not None:
            tops.append(likeliest(draft.scores, log_normaliser(draft.scores), alternatives))
    mx.eval(arrays, [top.arrays for top in tops])
    accepted = cast(int, arrays[0].item())
    token_ids, chosen_p, *drafted = (cast(list[float], array.tolist()) for array in arrays[1:])
    _check_numbers(chosen_p[: accepted + 1])
    draft_ids = cast(list[int], drafted[0]) if drafted else []
    return Outcome(
        accepted=accepted,
        token_ids=cast(list[int], token_ids)[: accepted + 1],
        draft_ids=draft_ids,
        drafted_p=drafted[1] if drafted else [],
        drafted_q=cast(list[float | None], drafted[2]) if len(drafted) > 2 else [None] * len(draft_ids),
        next_p=chosen_p[accepted],
        target_top=tops[0].read() if tops else (),
        draft_top=tops[1].read() if len(tops) > 1 else (),
    )


def _probabilities(rows: mx.array, normaliser: mx.array, token_ids: mx.array) -> mx.array:
    """Probability `[n]` of one token in each row of scores `[n, vocab]`."""
    return mx.exp(mx.take_along_axis(rows, token_ids[:, None], axis=-1)[:, 0] - normaliser)


def _check_numbers(probabilities: list[float]) -> None:
    if not all(math.isfinite(p) for p in probabilities):
        raise NumericalError(
            "The target model produced logits that are not numbers (NaN): its weights are damaged or its precision "
            "is too low; import or download the model again."
        )
