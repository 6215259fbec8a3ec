"""Token ids to text, one at a time, never half a character."""

from typing import Any

from mlx_lm.tokenizer_utils import NaiveStreamingDetokenizer
from tokenizers.decoders import DecodeStream

_INCOMPLETE = "\ufffd"


class TokenText:
    """Streams the text of one answer.

    `push` gives what a token made final: nothing while a character is incomplete, then the whole of it. Special tokens
    have no text. Uses `tokenizers`' own stream where the tokenizer has one, mlx-lm's otherwise.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = getattr(tokenizer, "_tokenizer", tokenizer)
        self._backend: Any = getattr(self._tokenizer, "backend_tokenizer", None)
        self._special = frozenset(self._tokenizer.all_special_ids)
        self._naive = None if self._backend is not None else NaiveStreamingDetokenizer(self._tokenizer)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._silent: list[int] = []  # tokens since the last that gave text

    def push(self, token_id: int) -> str:
        """Add one token; return the text that became final with it."""
        if token_id in self._special:
            return ""
        text = self._streamed(token_id)
        self._silent = [] if text else [*self._silent, token_id]
        return text

    def _streamed(self, token_id: int) -> str:
        if self._naive is not None:
            self._naive.add_token(token_id)
            segment: str = self._naive.last_segment
            return segment
        try:
            return self._stream.step(self._backend, token_id) or ""
        except Exception:  # noqa: BLE001  # what tokenizers raises when bytes that waited turn out not to be UTF-8
            self._stream = DecodeStream(skip_special_tokens=True)
            return self._decoded([*self._silent, token_id])

    def finish(self) -> str:
        """The text is over: return what is left of an incomplete character, as one replacement character."""
        rest = self._decoded(self._silent) if self._silent else ""
        self._silent = []
        return _INCOMPLETE if _INCOMPLETE in rest else rest

    def _decoded(self, token_ids: list[int]) -> str:
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def peek(self, token_id: int) -> str:
        """The text of a token by itself, as for a draft that was rejected. Special tokens show their name."""
        text: str = self._tokenizer.decode([token_id], skip_special_tokens=False)
        return text
