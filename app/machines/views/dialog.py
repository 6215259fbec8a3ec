"""The page on which machines are found, joined, chosen and watched."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.look.theme import Palette
from app.look.typography import scaled
from app.look.widgets.tick_box import TickBox
from app.machines.lines import Line, way_words
from app.machines.several import MachinesViewModel
from app.machines.views.code import CodePanel
from app.machines.views.line import MachineLine


class MachinesDialog(QDialog):
    """What is chosen here acts when the settings are accepted, as it starts the engine again."""

    def __init__(self, machines: MachinesViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Engine on Several Macs"))
        self.machines = machines
        self.code = CodePanel()
        self.lines: dict[tuple[str, str], MachineLine] = {}
        self.empty = _muted()
        self.problem = QLabel(wordWrap=True)
        self.problem.setProperty("role", "wrong")
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        self.name = QLineEdit(placeholderText=self.tr("Name or address, as ssh knows it"))
        self.add = QPushButton(self.tr("Add"), autoDefault=False)
        self.offered = TickBox(self.tr("Let another Mac use this one"), palette)
        self.note, self.way, self.checked = _muted(), _muted(), _muted()
        self.check = QPushButton(self.tr("Check Them"), autoDefault=False)
        self.check.setProperty("role", "outline")
        self.check.setToolTip(self.tr("Who answers, with which memory and versions, and how quick the ways are"))
        self._group, self._others = QVBoxLayout(), QVBoxLayout()
        self._build()
        self.resize(scaled(560), scaled(640))
        machines.changed.connect(self.refresh)
        self.code.answered.connect(machines.confirm)
        self.code.refused.connect(lambda: machines.confirm(False, never=True))
        self.name.returnPressed.connect(self._add_typed)
        self.check.clicked.connect(machines.check)
        self.add.clicked.connect(self._add_typed)
        self.offered.clicked.connect(lambda: machines.offer(self.offered.isChecked()))
        self.refresh()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self.offered.apply_palette(palette)

    def refresh(self) -> None:
        """Show what is known now."""
        machines, lines = self.machines, self.machines.lines
        self.code.show_code(machines.code)
        self._show_lines([line for line in lines if line.kind in ("own", "chosen")], self._group)
        others = [line for line in lines if line.kind in ("joined", "found")]
        self._show_lines(others, self._others)
        self._forget({(line.kind, line.fingerprint or line.name) for line in lines})
        self.empty.setVisible(not others)
        self.way.setText(way_words(machines.group))
        self.way.setVisible(bool(self.way.text()))
        self.check.setVisible(any(line.kind == "chosen" for line in lines))
        self.check.setEnabled(not machines.is_checking)
        self.check.setText(self.tr("Checking…") if machines.is_checking else self.tr("Check Them"))
        self.checked.setText(machines.checked)
        self.checked.setVisible(bool(machines.checked))
        self.problem.setText(machines.problem)
        self.problem.setVisible(bool(machines.problem))
        self.offered.setChecked(machines.is_offered)
        self.note.setText(machines.note)
        self.note.setVisible(bool(machines.note))

    def _build(self) -> None:
        scroll = QScrollArea(widgetResizable=True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self._column())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(scroll, 1)
        layout.addLayout(self._foot())
        self.setMinimumSize(scaled(340), scaled(320))

    def _column(self) -> QWidget:
        """All that scrolls."""
        column = QWidget(objectName="column")
        inner = QVBoxLayout(column)
        inner.setContentsMargins(24, 24, 24, 24)
        inner.setSpacing(12)
        told = _muted(
            self.tr(
                "One model, split over several Macs: each holds a part of it, and together they say what one would say."
                " Drafts are made on this one."
            )
        )
        for layout in (self._group, self._others):
            layout.setSpacing(14)
        every: list[QWidget | QLayout] = [told, self.code, self.problem, *self._in_the_group()]
        every += [QFrame(objectName="separator"), *self._on_this_network()]
        every += [QFrame(objectName="separator"), self.offered, self.note]
        for part in every:
            inner.addLayout(part) if isinstance(part, QLayout) else inner.addWidget(part)
        inner.addStretch()
        return column

    def _in_the_group(self) -> list[QWidget | QLayout]:
        """Those that were chosen, and what is known of the ways between them."""
        checking = QHBoxLayout()
        checking.addWidget(self.check)
        checking.addStretch()
        return [_section(self.tr("In the group")), self._group, self.way, checking, self.checked]

    def _on_this_network(self) -> list[QWidget | QLayout]:
        """Those that could be, and a line for one that is not found."""
        self.empty.setText(
            self.tr(
                "No other Mac offers itself on this network. Open these settings on another one, and let it be used."
            )
        )
        typed = QHBoxLayout()
        typed.setSpacing(8)
        typed.addWidget(self.name, 1)
        typed.addWidget(self.add)
        self.add.setProperty("role", "outline")
        self.name.setAccessibleName(self.tr("Name or address of another Mac"))
        return [_section(self.tr("On this network")), self._others, self.empty, typed]

    def _foot(self) -> QHBoxLayout:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.button(QDialogButtonBox.StandardButton.Close).setProperty("role", "outline")
        buttons.button(QDialogButtonBox.StandardButton.Close).setAutoDefault(False)
        buttons.rejected.connect(self.reject)
        foot = QHBoxLayout()
        foot.setContentsMargins(24, 12, 24, 16)
        foot.addWidget(buttons)
        return foot

    def _show_lines(self, lines: list[Line], layout: QVBoxLayout) -> None:
        """Lines keep their machines, so that a button is where it was when one reaches for it."""
        for place, line in enumerate(lines):
            key = (line.kind, line.fingerprint or line.name)
            if key not in self.lines:
                self.lines[key] = MachineLine(self)
                self.lines[key].pressed.connect(self._on_pressed)
            shown = self.lines[key]
            if layout.indexOf(shown) != place:
                layout.insertWidget(place, shown)
            shown.show_line(line, is_joining=self.machines.is_joining)
            shown.show()

    def _forget(self, there: set[tuple[str, str]]) -> None:
        for key in [key for key in self.lines if key not in there]:
            line = self.lines.pop(key)
            line.hide()
            line.deleteLater()

    def _on_pressed(self, line: Line) -> None:
        match line.kind:
            case "chosen":
                self.machines.remove(line.name)
            case "joined":
                self.machines.add(line.name)
            case "found":
                self.machines.join(line.fingerprint)

    def _add_typed(self) -> None:
        self.machines.add(self.name.text())
        if not self.machines.problem:
            self.name.clear()

    def showEvent(self, event: QShowEvent) -> None:
        """Begin to look."""
        super().showEvent(event)
        self.machines.watch(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Look no more."""
        super().hideEvent(event)
        self.machines.watch(False)


def _muted(words: str = "") -> QLabel:
    label = QLabel(words, wordWrap=True)
    label.setProperty("role", "muted")
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def _section(words: str) -> QLabel:
    label = QLabel(words)
    label.setProperty("role", "section")
    return label
