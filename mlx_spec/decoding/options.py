"""What may be asked of one answer beside its prompt, its sampling and its length: one list for all who pass it on."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from mlx_spec.config import DrafterName, ExactnessChoice
from mlx_spec.decoding.constraints.wanted import Constraint

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
    where somebody knows: they are drafted as long as they are right.
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
    exactness: ExactnessChoice | None
