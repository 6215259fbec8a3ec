"""Log-probabilities as they are told: with the texts and bytes of their tokens."""

from collections.abc import Iterable, Sequence

from mlx_spec.decoding.logprobs.rows import RowLogprobs
from mlx_spec.events import LikelyToken, PromptScored, TokenLogprob
from mlx_spec.models.text.token_names import TokenNames


def told(names: TokenNames, row: RowLogprobs) -> TokenLogprob:
    """A row's tokens by their names."""
    top = tuple(LikelyToken(token_id, *names.of(token_id), logprob) for token_id, logprob in row.top)
    return TokenLogprob(row.token_id, *names.of(row.token_id), row.logprob, top)


def scored_prompt(names: TokenNames, prompt_ids: Sequence[int], rows: Iterable[RowLogprobs]) -> PromptScored:
    """A prompt with the log-probabilities of all its tokens but the first, which follows nothing."""
    first = TokenLogprob(prompt_ids[0], *names.of(prompt_ids[0]), None)
    return PromptScored((first, *(told(names, row) for row in rows)))
