"""What a request asks of raw logits, before temperature and filters: bans, biases, and penalties for repeating.

The penalties look back on the text so far. A verify pass scores positions whose text is not decided yet, so each of
its rows is penalised with the history it would have if the drafts before it stand: the same that plain decoding has
when it gets there. That keeps speculation exact under every setting.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import mlx.core as mx
import numpy as np

from mlx_spec.config import SamplingParams
from mlx_spec.errors import ConfigError

_BANNED: Final = -np.inf


class Masks(Protocol):
    """What a grammar allows, asked as penalties are."""

    def apply(self, rows: mx.array, drafted: mx.array | None, seen: mx.array | None) -> mx.array:
        """Rows `[n, vocab]` with all that is not allowed at -inf; see `Penalties.apply`. May read the drafts."""
        ...

    def push(self, token_ids: Sequence[int]) -> None:
        """Follow decided tokens."""
        ...


class Penalties:
    """The penalties of one request, with the history that they look back on. Costs nothing where none is set.

    `masks` are a grammar's, and come last: what they do not allow has no chance, whatever its bias. They need the
    drafts on the host, so rows that are masked wait for these.

    Order and meaning are those of vLLM and mlx-lm: biases and bans; then the repetition penalty, over prompt and
    answer; then presence and frequency penalty, over the answer alone. Raises ConfigError for a token id that the
    vocabulary lacks, and where every token is banned.
    """

    def __init__(self, params: SamplingParams, vocab_size: int, masks: Masks | None = None) -> None:
        self._params, self._masks = params, masks
        self._bias = _bias(params, vocab_size)
        off = (1.0, 0.0, 0.0)
        self._looks_back = (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) != off
        if self._looks_back:
            self._in_prompt = mx.zeros((vocab_size,), dtype=mx.bool_)
            self._counts = mx.zeros((vocab_size,), dtype=mx.float32)

    def read_prompt(self, prompt_ids: Sequence[int]) -> None:
        """Add tokens to the prompt, which only the repetition penalty looks back on."""
        if self._looks_back:
            self._in_prompt[mx.array(list(prompt_ids), dtype=mx.int32)] = True

    def push(self, token_ids: Sequence[int]) -> None:
        """Add decided tokens to the answer."""
        if self._looks_back:
            self._counts = self._counts.at[mx.array(list(token_ids), dtype=mx.int32)].add(1.0)
        if self._masks is not None:
            self._masks.push(token_ids)

    def apply(self, logits: mx.array, drafted: mx.array | None = None, seen: mx.array | None = None) -> mx.array:
        """Penalised logits `[n, vocab]` (float32) of logits `[n, vocab]`, lazily.

        `drafted` `[m]`, m >= n - 1, are the tokens proposed behind the decided ones, None for none. The last row comes
        after all of them, each row before it after one fewer: a verify pass has gamma + 1 rows and gamma drafts, a
        draft model's step i one row and i drafts. Of a tree, `seen` `[n, m]` (bool) tells which of them each row comes
        after. Without a setting the logits come back as they are.
        """
        rows = logits
        if self._bias is not None:
            rows = rows.astype(mx.float32) + self._bias
        rows = self._repelled(rows.astype(mx.float32), drafted, seen) if self._looks_back else rows
        return rows if self._masks is None else self._masks.apply(rows, drafted, seen)

    def parts(
        self, logits: mx.array, drafted: mx.array | None = None, seen: mx.array | None = None
    ) -> tuple[mx.array, mx.array | None]:
        """As `apply`, but a bias `[vocab]` that is all there is to add comes back by itself, for who adds it as it
        reads."""
        if self._looks_back:
            return self.apply(logits, drafted, seen), None
        return (logits if self._masks is None else self._masks.apply(logits, drafted, seen)), self._bias

    def _repelled(self, rows: mx.array, drafted: mx.array | None, seen: mx.array | None) -> mx.array:
        """The rows with what their history takes away."""
        counts = self._counts_before(rows.shape[0], drafted, seen)
        factor, presence = self._params.repetition_penalty, self._params.presence_penalty
        if factor != 1.0:
            penalised = mx.where(rows > 0, rows / factor, rows * factor)
            rows = mx.where(mx.logical_or(self._in_prompt, counts > 0), penalised, rows)
        return rows - self._params.frequency_penalty * counts - presence * (counts > 0)

    def _counts_before(self, rows: int, drafted: mx.array | None, seen: mx.array | None) -> mx.array:
        """How often each token stands in the answer, as each row has it, `[rows, vocab]`."""
        if drafted is None:
            return self._counts[None]
        count, row = drafted.shape[0], mx.arange(rows)[:, None]
        if seen is None:  # a chain: row i counts the first `count - (rows - 1) + i` drafts
            seen = mx.arange(count)[None] < row + (count - rows + 1)
        counts = mx.broadcast_to(self._counts, (rows, self._counts.shape[0]))
        return counts.at[row, drafted[None]].add(seen.astype(mx.float32))


def _bias(params: SamplingParams, vocab_size: int) -> mx.array | None:
    """What is added to every row, `[vocab]`: a ban is a bias of minus infinity. None where nothing is."""
    if not params.logit_bias and not params.banned_token_ids:
        return None
    biases = dict(params.logit_bias)
    for field, token_ids in (("logit_bias", tuple(biases)), ("banned_token_ids", params.banned_token_ids)):
        unknown = [token_id for token_id in token_ids if token_id >= vocab_size]
        if unknown:
            raise ConfigError(field, unknown[0], f"made of token ids from 0 to {vocab_size - 1}")
    row = np.zeros(vocab_size, dtype=np.float32)
    row[list(biases)] = list(biases.values())
    row[list(params.banned_token_ids)] = _BANNED
    if not np.isfinite(row).any():
        raise ConfigError(
            "banned_token_ids", f"{vocab_size} ids", "short of the whole vocabulary, so that one token is left"
        )
    return mx.array(row)
