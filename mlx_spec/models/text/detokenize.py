"""Token ids to text, one at a time, never half a character."""

from collections.abc import Sequence
from typing import Any, Final

_INCOMPLETE: Final = "\ufffd"
# So many tokens of a prompt tell how the text before an answer ends.
_TAIL: Final = 8
# A character is four bytes at most: so many tokens without an end are no character.
_MOST_WAITING: Final = 32


class TokenText:
    """Streams the text of one answer.

    `push` gives what a token made final: nothing while a character is incomplete, then the whole of it. Special tokens
    have no text. A decoder may take a space off the front of a text; so that it takes none off the middle, tokens are
    decoded behind those before them, and what those say is cut off.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = getattr(tokenizer, "_tokenizer", tokenizer)
        self._backend: Any = getattr(self._tokenizer, "backend_tokenizer", None)
        self._special = frozenset(self._tokenizer.all_special_ids)
        # A word that any text may stand behind, for tokens without neighbours.
        self._word: list[int] = self._tokenizer.encode("a", add_special_tokens=False)[-1:]
        self._word_text = self._decoded(self._word)
        self._before: list[int] = []  # tokens whose text is out
        self._said = ""  # what they say
        self._waiting: list[int] = []  # tokens since the last that gave text

    def go_on_from(self, prompt_ids: Sequence[int]) -> None:
        """The answer goes on the text of these ids, and does not begin one of its own."""
        tail = [token_id for token_id in prompt_ids[-_TAIL:] if token_id not in self._special]
        while tail and self._decoded(tail).endswith(_INCOMPLETE):
            self._waiting.insert(0, tail.pop())  # the prompt ends inside a character: it comes whole, with its end
        self._stand_behind(tail if self._decoded(tail) else self._word)

    def push(self, token_id: int) -> str:
        """Add one token; return the text that became final with it."""
        if token_id in self._special:
            return ""
        self._waiting.append(token_id)
        text = self._text_of_waiting()
        if not text or (text.endswith(_INCOMPLETE) and len(self._waiting) < _MOST_WAITING):
            return ""
        self._stand_behind(self._waiting)
        self._waiting = []
        return text

    def finish(self) -> str:
        """The text is over: return what is left, an incomplete character as one replacement character."""
        rest = self._text_of_waiting() if self._waiting else ""
        self._waiting = []
        whole = rest.rstrip(_INCOMPLETE)
        return whole + _INCOMPLETE if whole != rest else rest

    def peek(self, token_id: int) -> str:
        """The text of a token in a text, as for a draft that was rejected. Special tokens show their name."""
        if token_id not in self._special:
            text = self._decoded([*self._word, token_id])
            if text.startswith(self._word_text):
                return text[len(self._word_text) :]
        name: str = self._tokenizer.decode([token_id], skip_special_tokens=False)
        return name

    def _text_of_waiting(self) -> str:
        """What the waiting tokens say behind those before them."""
        said, text = self._said, self._decoded([*self._before, *self._waiting])
        if not text.startswith(said):
            # A run of bytes, part of which is out already, turned out to be no UTF-8: it changes as a whole.
            said, text = self._word_text, self._decoded([*self._word, *self._waiting])
        return text[len(said) :]

    def _stand_behind(self, token_ids: list[int]) -> None:
        self._before, self._said = token_ids, self._decoded(token_ids)

    def _decoded(self, token_ids: list[int]) -> str:
        if self._backend is not None:
            # As it is: transformers may tidy up spaces, after the fact.
            fast: str = self._backend.decode(token_ids, skip_special_tokens=True)
            return fast
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text
