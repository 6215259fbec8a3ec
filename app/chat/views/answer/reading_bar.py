"""How far the prompt has been read, for prompts that take a while, and how many others are before it."""

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from app.engine.protocol import Prefill, Standing

# Of a long chat nearly all is known: what is left to read would be too short to see it grow.
LARGEST_KNOWN_SHARE = 0.75
SHARES = 1000  # layouts stretch in whole numbers


class ReadingBar(QWidget):
    """A line of text over a thin bar. What the engine still knew is a part of its own before it, outlined."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = QLabel(wordWrap=True)
        self._text.setProperty("role", "muted")
        self._known = QFrame(objectName="knownPart")
        self._known.setAccessibleName(self.tr("Prompt known"))
        self._bar = QProgressBar(textVisible=False)
        self._bar.setAccessibleName(self.tr("Prompt read"))
        self._parts = QHBoxLayout()
        self._parts.setSpacing(3)
        self._parts.addWidget(self._known)
        self._parts.addWidget(self._bar)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self._text)
        layout.addLayout(self._parts)
        self._known.hide()

    @property
    def words(self) -> str:
        """The line of text."""
        return self._text.text()

    @property
    def progress(self) -> tuple[int, int]:
        """How many tokens of how many the bar shows as read; of 0 where that is unknown."""
        return self._bar.value(), self._bar.maximum()

    @property
    def known_share(self) -> float:
        """How much of the width is shown as known, 0 to 1."""
        return 0.0 if self._known.isHidden() else self._parts.stretch(0) / SHARES

    def show_progress(self, progress: Prefill | None) -> None:
        """Show `progress`, or that it is unknown."""
        if progress is None:
            self._text.setText(self.tr("Reading the prompt…"))
            self._bar.setRange(0, 0)
        else:
            self._text.setText(self._told(progress))
            self._bar.setRange(0, max(1, progress.to_read))
            self._bar.setValue(progress.read)
        self._show_known(progress)
        self._bar.show()
        self.show()

    def show_standing(self, standing: Standing) -> None:
        """Show that the answer waits for others; on again, it is read, and how far is not known yet."""
        if standing.state == "on":
            self.show_progress(None)
            return
        self._show_known(None)
        self._bar.hide()
        ahead = self.tr("Waiting, {0:,} ahead").format(standing.ahead)
        aside = self.tr("Set aside for others, as memory is short; it goes on by itself, with the same words")
        self._text.setText(ahead if standing.state == "waiting" else aside)
        self.show()

    def _told(self, progress: Prefill) -> str:
        total, known = progress.total_tokens, progress.cached_tokens
        if not known:
            words = self.tr("Reading the prompt… {0:,} of {1:,} tokens")
            return words.format(progress.processed_tokens, total)
        words = self.tr("Reading {0:,} of {1:,} tokens… {2:,} known")
        if progress.read:
            words = self.tr("Reading {0:,} of {1:,} tokens… {2:,} known, {3:,} read")
        return words.format(progress.to_read, total, known, progress.read)

    def _show_known(self, progress: Prefill | None) -> None:
        known = progress.cached_tokens if progress else 0
        share = min(LARGEST_KNOWN_SHARE, known / max(1, progress.total_tokens)) if progress else 0.0
        why = self.tr("The beginning, mostly the chat so far, was still in memory: {0:,} tokens are not read again")
        words = why.format(known) if known else ""
        self._parts.setStretch(0, round(share * SHARES))
        self._parts.setStretch(1, SHARES - round(share * SHARES))
        self._known.setVisible(known > 0)
        self.setToolTip(words)
        for part in (self._known, self._bar):
            part.setAccessibleDescription(words)
