"""A limit on how much a model thinks: when it is used up, the end of the reasoning is all that may come.

The limit counts the answer's own tokens, and forces tokens as a grammar's mask does, at drafted positions too: so the
words are the same whatever was drafted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import mlx.core as mx
import numpy as np

from mlx_spec.decoding.constraints.matcher import Matcher, paths
from mlx_spec.models.text.reasoning import ReasoningMarks, reasoning_marks
from mlx_spec.sampling.penalties import Masks

_NEVER: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class _State:
    """Where an answer is. `begin` are tokens of the mark that opens reasoning, `close` of the one that ends it, which
    were said last; `count` tokens were thought."""

    place: Literal["before", "inside", "behind"]
    begin: int = 0
    close: int = 0
    count: int = 0


class ThinkingLimit:
    """Masks for one answer that may think `limit` tokens, between the tokens of `marks`; `inner` masks go on as they
    are. Reasoning that the prompt has begun `is_open`."""

    def __init__(self, inner: Masks | None, marks: ReasoningMarks, limit: int, width: int, *, is_open: bool) -> None:
        self._inner, self._marks, self._limit, self._width = inner, marks, limit, width
        self._state = _State("inside" if is_open else "before")

    def push(self, token_ids: Sequence[int]) -> None:
        """Follow decided tokens."""
        for token_id in token_ids:
            self._state = self._after(self._state, token_id)
        if self._inner is not None:
            self._inner.push(token_ids)

    def apply(self, rows: mx.array, drafted: mx.array | None, seen: mx.array | None) -> mx.array:
        """As `Masks.apply`. Reads the drafts only where the limit may be reached among them."""
        if self._inner is not None:
            rows = self._inner.apply(rows, drafted, seen)
        num_drafted = 0 if drafted is None else drafted.shape[0]
        if self._left(self._state) > num_drafted:
            return rows
        forced = [self._forced(self._behind(path)) for path in paths(rows, drafted, seen)]
        if not any(token_id is not None for token_id in forced):
            return rows
        only = np.full((len(forced), self._width), np.nan, dtype=np.float32)
        for row, token_id in enumerate(forced):
            if token_id is not None:
                only[row] = -np.inf
                only[row, token_id] = 0.0  # whatever it had, and also where a bias bans it
        told = mx.array(only)
        return mx.where(mx.isnan(told), rows, told.astype(rows.dtype))

    def _behind(self, path: Sequence[int]) -> _State:
        state = self._state
        for token_id in path:
            state = self._after(state, token_id)
        return state

    def _after(self, state: _State, token_id: int) -> _State:
        marks = self._marks
        match state.place:
            case "before":
                if marks.begin and token_id == marks.begin[state.begin]:
                    is_whole = state.begin + 1 == len(marks.begin)
                    return _State("inside") if is_whole else _State("before", begin=state.begin + 1)
                return _State("behind")
            case "inside":
                close = _matched(marks.end, state.close, token_id)
                if close == len(marks.end):
                    return _State("behind")
                return _State("inside", close=close, count=state.count + 1)
            case "behind":
                return state

    def _left(self, state: _State) -> int:
        """How many more tokens may come before one is forced; more than anybody drafts where none will be."""
        match state.place:
            case "before":
                return self._limit + len(self._marks.begin) - state.begin
            case "inside":
                return max(0, self._limit - state.count)
            case "behind":
                return _NEVER

    def _forced(self, state: _State) -> int | None:
        """The token that must come."""
        if state.place != "inside" or state.count < self._limit:
            return None
        return self._marks.end[state.close]


def _matched(mark: Sequence[int], count: int, token_id: int) -> int:
    """How many tokens of `mark` end a text which ended with `count` of them before `token_id`."""
    said = [*mark[:count], token_id]
    return next(size for size in range(len(said), -1, -1) if list(mark[:size]) == said[len(said) - size :])


def limited(
    inner: Matcher | None, tokenizer: Any, prompt_ids: Sequence[int], limit: int | None, width: int
) -> Masks | None:
    """The masks of an answer to a prompt, with the `limit` in tokens that is set to its thinking, if any; as they are
    for a model that has no marks of reasoning."""
    marks = reasoning_marks(tokenizer, prompt_ids) if limit is not None else None
    if marks is None or limit is None:
        return inner
    return ThinkingLimit(inner, marks, limit, width, is_open=marks.is_open)
