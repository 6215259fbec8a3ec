"""Bytes to tokens, exactly: the tokens that come back spell the bytes that were given, no more and no less."""

from collections.abc import Sequence
from typing import Any

from mlx_spec.models.text.vocabulary import Vocabulary, by_bytes


class Speller:
    """Writes bytes with the tokens of one vocabulary.

    The tokenizer's own way is taken where its tokens spell just these bytes, because that is what its model was
    trained on. A sentencepiece tokenizer puts a space in front of every text, a normalizer may change characters, and
    half a character is not text at all: then the space is taken off again, or the longest tokens that fit are taken
    from left to right. A byte that no token spells is left out.
    """

    def __init__(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.bytes_of = vocabulary.spelled()
        """The bytes of each id that stands for text."""
        self.ids_of = by_bytes(vocabulary, self.bytes_of)
        """The ids that stand for the same bytes, the one to write them with first."""
        self._longest = max(map(len, self.ids_of), default=0)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._tokenizer, self._backend = tokenizer, backend

    def spell(self, text: bytes) -> list[int]:
        """The tokens of `text`; none of them is special."""
        if not text:
            return []
        try:
            token_ids = self._encoded(text.decode())
        except UnicodeDecodeError:
            return self.spell_greedily(text)
        pieces = [self.bytes_of.get(token_id) for token_id in token_ids]
        if None not in pieces:
            spelled = b"".join(piece for piece in pieces if piece is not None)
            if spelled == text:
                return token_ids
            if spelled == b" " + text and pieces[0]:
                return self.spell_greedily(pieces[0][1:]) + token_ids[1:]
        return self.spell_greedily(text)

    def spell_greedily(self, text: bytes) -> list[int]:
        """The longest token that fits, again and again."""
        token_ids, begin = [], 0
        while begin < len(text):
            for end in range(min(len(text), begin + self._longest), begin, -1):
                if same := self.ids_of.get(text[begin:end]):
                    token_ids.append(same[0])
                    begin = end
                    break
            else:
                begin += 1
        return token_ids

    def text_of(self, token_ids: Sequence[int]) -> bytes:
        """The bytes of tokens that are all text. Raises KeyError for one that is not."""
        return b"".join(self.bytes_of[token_id] for token_id in token_ids)

    def _encoded(self, text: str) -> list[int]:
        # The backend itself where there is one: the wrapper warns about texts longer than its model's context.
        if self._backend is not None:
            return list(self._backend.encode(text, add_special_tokens=False).ids)
        return list(self._tokenizer.encode(text, add_special_tokens=False))
