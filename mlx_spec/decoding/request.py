"""What may be asked of one answer; and what is to be answered and how: checked, with nothing left to choose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from mlx_spec.config import DrafterName, Exactness, ExactnessChoice, SamplingParams, SpeculativeConfig
from mlx_spec.decoding.cache.chunks import turns_of
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.models.text.options import Tool

Lookahead = int | Literal["auto"]


class AnswerOptions(TypedDict, total=False):
    """The keyword arguments of `SpeculativeDecoder.stream` and `Batch.add`; left out, each is as if nobody asked.

    `drafter`, `lookahead` and `exactness` (None: the decoder's own) stand in for the decoder's settings. With
    `alternatives` each token tells so many of the likeliest in its place. Where the answer `goes_on`, its text goes on
    the prompt's, and keeps a space that it begins with. What is read is kept for its `owner`, the name of a chat: see
    `SpeculativeDecoder.forget_prefixes`. What the answer must look like is its `constraint`: no other token has a
    chance then, and `max_tokens` ends it all the same. A model that thinks first does so for `thinking_tokens` at most:
    then the end of its reasoning is all that may come. With `logprobs` each token tells its log-probability in the
    target's own distribution, and so many of the likeliest in its place; with `prompt_logprobs` so do those of the
    prompt, which is then read anew, and `max_tokens` may be 0. `predicted_ids` are what the answer will mostly be,
    where somebody knows: they are drafted as long as they are right. An answer that may make `one_call_of` these tools
    ends behind its first call.
    """

    drafter: DrafterName | None
    lookahead: Lookahead | None
    alternatives: int
    goes_on: bool
    owner: str | None
    constraint: Constraint | None
    thinking_tokens: int | None
    logprobs: int | None
    prompt_logprobs: bool
    predicted_ids: Sequence[int]
    one_call_of: Sequence[Tool]
    exactness: ExactnessChoice | None


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and the settings of its answer.

    `params` have a seed. `drafter` is what was asked for, `drafters` are the names of all that may draft, the
    preferred one first: none for plain decoding. `max_tokens` is what the context leaves at most. With
    `alternatives` each token tells so many of the likeliest in its place. An answer that `goes_on` continues the
    prompt's own text, and keeps a space that it begins with. `owner` names the chat that it belongs to, if any.
    `parts_at` is how much of its prompt those share that are expected to come. What the answer must look like is its
    `constraint`, if any; it thinks for `thinking_tokens` at most, where that is not None. With `logprobs` each token
    tells its log-probability, and so many of the likeliest in its place; None: not asked. With `prompt_logprobs` so do
    the tokens of the prompt, and `max_tokens` may be 0. `predicted_ids` are what the client takes the answer to be,
    mostly. An answer that may make `one_call_of` these tools ends behind its first call.

    `exactness` is what came of the one that was asked for. A pass of its target has at most `widest` rows, any number
    where that is None, and those of trees only where it `branches`; attention goes `by_row` where MLX's own would see
    how many they are. Where `rows_hold`, passes of any width leave a row its bits: what rounds have read is then what
    a prompt's chunks would have. With `opening_ids` every chat of the model begins, whatever is asked, and with
    `turn_ids` every later question.
    """

    prompt_ids: tuple[int, ...]
    config: SpeculativeConfig
    params: SamplingParams
    drafter: DrafterName
    drafters: tuple[str, ...]
    max_tokens: int
    alternatives: int = 0
    goes_on: bool = False
    owner: str | None = None
    parts_at: frozenset[int] = frozenset()
    constraint: Constraint | None = None
    thinking_tokens: int | None = None
    logprobs: int | None = None
    prompt_logprobs: bool = False
    predicted_ids: tuple[int, ...] = ()
    one_call_of: tuple[Tool, ...] = ()
    exactness: Exactness = "fast"
    widest: int | None = None
    by_row: bool = False
    branches: bool = True
    rows_hold: bool = False
    opening_ids: tuple[int, ...] = ()
    turn_ids: tuple[int, ...] = ()

    @property
    def opening(self) -> int:
        """How many tokens it begins with that every chat begins with; 0 where it does not."""
        count = len(self.opening_ids)
        return count if self.prompt_ids[:count] == self.opening_ids and count < len(self.prompt_ids) else 0

    @property
    def turns(self) -> tuple[int, ...]:
        """Behind how many tokens of the prompt its turns begin, as far as they have passes of their own."""
        return turns_of(self.prompt_ids, self.turn_ids, self.opening)

    @property
    def seed(self) -> int:
        """Of its randomness."""
        assert self.params.seed is not None, "a request is admitted with a seed"
        return self.params.seed
