"""What single tokens are called where each is told by itself: their own text, and the bytes that they spell."""

from typing import Any

from mlx_spec.models.text.vocabulary import kind_of, token_bytes


class TokenNames:
    """Names tokens one by one. Half a character is told by its bytes; a special token by its name, and has none.

    Their bytes, joined, are the text. Only a space that a tokenizer leaves out in front of a text is in them as well.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = getattr(tokenizer, "_tokenizer", tokenizer)
        self._kind = kind_of(self._tokenizer)
        added = getattr(self._tokenizer, "added_tokens_decoder", {})
        self._special = {token_id for token_id, token in added.items() if token.special}
        self._special |= set(self._tokenizer.all_special_ids)
        self._known: dict[int, tuple[str, bytes | None]] = {}

    def of(self, token_id: int) -> tuple[str, bytes | None]:
        """A token's text and its bytes, None for one that is no text. Bytes that are not UTF-8 are U+FFFD in the text;
        an id without a token has neither."""
        if token_id not in self._known:
            self._known[token_id] = self._named(token_id)
        return self._known[token_id]

    def _named(self, token_id: int) -> tuple[str, bytes | None]:
        token = self._tokenizer.convert_ids_to_tokens(token_id)
        if token is None:
            return "", None
        if token_id in self._special:
            return str(token), None
        spelled = token_bytes(str(token), self._kind)
        return spelled.decode(errors="replace"), spelled
