"""The drafts known for a target, the better first, each with its reason; one of them is chosen."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QLabel, QRadioButton, QVBoxLayout, QWidget

from app.engine.model_records import Pair
from app.models.choice import BUILT_IN, Choice
from app.models.views.facts import vocabulary_words


class DraftRows(QWidget):
    """A radio button for each draft, and one for none.

    Signals:
        chosen: the Pair whose draft is to be used, None for no draft.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[object, ...] = ()
        self.radios: list[QRadioButton] = []
        self._group = QButtonGroup(self)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 8, 0, 0)
        self._layout.setSpacing(4)

    def show_pairs(self, pairs: Sequence[Pair], choice: Choice, usable: set[str]) -> None:
        """Show the drafts of `choice`'s target; nothing where none is known."""
        self.setVisible(bool(pairs))
        shown = (tuple(pairs), tuple(pair.draft in usable for pair in pairs))
        if shown != self._shown:
            self._shown = shown
            self._fill(pairs, usable)
        drafts = [*(pair.draft for pair in pairs), ""]
        if choice.draft in drafts and self.radios:
            self.radios[drafts.index(choice.draft)].setChecked(True)

    def _fill(self, pairs: Sequence[Pair], usable: set[str]) -> None:
        while (item := self._layout.takeAt(0)) is not None:
            item.widget().hide()
            item.widget().deleteLater()
        self.radios = []
        title = QLabel(self.tr("Drafts for it, the better first"))
        title.setProperty("role", "section")
        self._layout.addWidget(title)
        for pair in pairs:
            here = self.tr("installed") if pair.draft in usable else self.tr("to download")
            if pair.name == BUILT_IN:
                here = self.tr("comes with Lookahead")
            self._add(f"{pair.draft} · {here}", self._reason(pair), pair)
        none = self.tr("Looks ahead by what the text itself repeats (n-gram).")
        self._add(self.tr("No draft"), none, None)

    def _reason(self, pair: Pair) -> str:
        """Why it is one; that target and draft share a vocabulary is what one expects."""
        return pair.note if pair.kind == "same" else f"{pair.note} {vocabulary_words(pair.kind)}."

    def _add(self, name: str, note: str, pair: Pair | None) -> None:
        radio, reason = QRadioButton(name.replace("&", "&&")), QLabel(note, wordWrap=True)
        reason.setProperty("role", "muted")
        reason.setTextFormat(Qt.TextFormat.PlainText)
        reason.setIndent(24)
        radio.setToolTip(name)
        radio.setAccessibleDescription(note)
        radio.setMinimumWidth(1)
        radio.clicked.connect(lambda: self.chosen.emit(pair))
        self._group.addButton(radio)
        self.radios.append(radio)
        self._layout.addWidget(radio)
        self._layout.addWidget(reason)
