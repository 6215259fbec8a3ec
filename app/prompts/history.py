"""What was sent before, to be brought back with the up key. Knows no Qt."""

LONGEST = 200


class ComposerHistory:
    """Walks back through sent texts and forward again to what was being written."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._index: int | None = None
        self._draft = ""

    def remember(self, text: str) -> None:
        """Add what was sent; a repetition counts once."""
        if text.strip() and (not self._texts or self._texts[-1] != text):
            self._texts = [*self._texts, text][-LONGEST:]
        self._index = None

    def begin_with(self, texts: list[str]) -> None:
        """Where nothing was sent yet, the questions of an opened chat are what came before."""
        if not self._texts:
            self._texts = texts[-LONGEST:]

    def is_shown(self, text: str) -> bool:
        """Whether `text` is what the history put there, unchanged."""
        return self._index is not None and text == self._texts[self._index]

    def older(self, current: str) -> str | None:
        """The text before, None at the beginning. `current` is kept where it is not from here."""
        if not self._texts:
            return None
        if not self.is_shown(current):
            self._draft, self._index = current, len(self._texts)
        assert self._index is not None
        if self._index == 0:
            return None
        self._index -= 1
        return self._texts[self._index]

    def newer(self, current: str) -> str | None:
        """The text after, or what was being written; None where `current` is not from here."""
        if not self.is_shown(current):
            return None
        assert self._index is not None
        self._index += 1
        if self._index < len(self._texts):
            return self._texts[self._index]
        self._index = None
        return self._draft
