"""Token ids to text, one at a time, never half a character."""

from typing import Any

from mlx_lm.tokenizer_utils import NaiveStreamingDetokenizer
from tokenizers.decoders import DecodeStream


class TokenText:
    """Streams the text of one answer.

    `push` gives what a token made final: nothing while a character is incomplete, then the whole of it. Special tokens
    have no text. Uses `tokenizers`' own stream where the tokenizer has one, mlx-lm's otherwise.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = getattr(tokenizer, "_tokenizer", tokenizer)
        self._backend = getattr(self._tokenizer, "backend_tokenizer", None)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._naive = None if self._backend is not None else NaiveStreamingDetokenizer(self._tokenizer)
        self._token_ids: list[int] = []
        self._length = 0

    def push(self, token_id: int) -> str:
        """Add one token; return the text that became final with it."""
        self._token_ids.append(token_id)
        if self._backend is not None:
            text = self._stream.step(self._backend, token_id) or ""
        else:
            assert self._naive is not None
            self._naive.add_token(token_id)
            text = self._naive.last_segment
        self._length += len(text)
        return text

    def finish(self) -> str:
        """The text is over: return what is left of an incomplete character, as replacement characters."""
        whole = self._tokenizer.decode(self._token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        rest: str = whole[self._length :]
        self._length = len(whole)
        return rest

    def peek(self, token_id: int) -> str:
        """The text of a token by itself, as for a draft that was rejected. Special tokens show their name."""
        text: str = self._tokenizer.decode([token_id], skip_special_tokens=False)
        return text
