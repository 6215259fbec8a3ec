"""A page of the panel: the engine's newest step, whose rows are in it, and who waits."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from app.engine.pages.batch.records import Batch
from app.look.theme import Palette
from app.speculation.requests import Named, RequestsViewModel
from app.speculation.views.charts.key import rows_key
from app.speculation.views.page import Page
from app.speculation.views.request_line import RequestLine


class RequestsPage(Page):
    """Asks only while it is looked at."""

    needs_rounds = False

    def __init__(self, requests: RequestsViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._requests, self._palette = requests, palette
        self.note = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignHCenter)
        self.note.setProperty("role", "muted")
        self.lines: dict[str, RequestLine] = {}
        self._figures = {name: QLabel() for name in ("speed", "answers", "blocks")}
        self._pool = QProgressBar(textVisible=False)
        self._pool.setAccessibleName(self.tr("Blocks of the cache in use"))
        self._head, self._waiting = QWidget(), QWidget()
        self._key = QLabel(wordWrap=True)
        self._key.setProperty("role", "muted")
        self._build()
        requests.changed.connect(self._on_changed)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        for line in self.lines.values():
            line.apply_palette(palette)
        self.refresh()

    def refresh(self) -> None:
        """Show what the engine told last."""
        requests, batch = self._requests, self._requests.batch
        is_told = batch is not None and not requests.is_idle
        self.note.setText(self._note())
        self.note.setVisible(not is_told)
        self._head.setVisible(batch is not None)
        self._key.setVisible(is_told and bool(requests.running))
        self._waiting.setVisible(bool(requests.waiting))
        if batch is not None:
            self._show_figures(batch)
        self._key.setText(rows_key(self._palette))
        self._show_lines([*requests.running, *requests.waiting])

    def figures(self) -> dict[str, str]:
        """The figures as they show."""
        return {name: label.text() for name, label in self._figures.items()}

    def _build(self) -> None:
        self._lines = QVBoxLayout()
        self._lines.setSpacing(12)
        self._waiting_lines = QVBoxLayout()
        self._waiting_lines.setSpacing(8)
        title = QLabel(self.tr("Waiting"))
        title.setProperty("role", "section")
        waiting = QVBoxLayout(self._waiting)
        waiting.setContentsMargins(0, 0, 0, 0)
        waiting.setSpacing(8)
        waiting.addWidget(QFrame(objectName="separator"))
        waiting.addWidget(title)
        waiting.addLayout(self._waiting_lines)
        self._build_head()
        self.note.setContentsMargins(20, 40, 20, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(12)
        layout.addWidget(self._head)
        layout.addLayout(self._lines)
        layout.addWidget(self._key)
        layout.addWidget(self._waiting)
        layout.addWidget(self.note)
        layout.addStretch()

    def _build_head(self) -> None:
        names = {
            "speed": (self.tr("Tokens/s in all"), self.tr("Of all answers together, over the last steps")),
            "answers": (self.tr("Answers in the step"), self.tr("How many are made at once, of how many at the most")),
            "blocks": (self.tr("Blocks used"), self.tr("The keys and values of what was read and written lie in them")),
        }
        grid = QGridLayout(self._head)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(0, 1)
        for row, (name, (words, meaning)) in enumerate(names.items()):
            label, figure = QLabel(words), self._figures[name]
            label.setProperty("role", "muted")
            figure.setProperty("role", "figure")
            figure.setAccessibleName(words)
            for widget in (label, figure):
                widget.setToolTip(meaning)
            grid.addWidget(label, row, 0)
            grid.addWidget(figure, row, 1, Qt.AlignmentFlag.AlignRight)
        grid.addWidget(self._pool, len(names), 0, 1, 2)

    def _note(self) -> str:
        if self._requests.is_unknown:
            return self.tr("This engine does not tell what it does for whom.")
        if self._requests.batch is None:
            return self.tr("The engine has not told yet what it does.")
        return self.tr("Nobody asks the engine anything now.")

    def _show_figures(self, batch: Batch) -> None:
        speed, blocks = batch.tokens_per_second, batch.blocks
        self._figures["speed"].setText("–" if speed is None else f"{speed:.1f}")
        self._figures["answers"].setText(self.tr("{0:,} of {1:,}").format(len(batch.running), batch.max_batch))
        self._figures["blocks"].setText(self.tr("{0:,} of {1:,}").format(blocks.used, blocks.total))
        self._pool.setRange(0, max(1, blocks.total))
        self._pool.setValue(blocks.used)

    def _show_lines(self, requests: list[Named]) -> None:
        """Lines keep their requests, and take the engine's order."""
        there = {named.request.id for named in requests}
        for gone in [name for name in self.lines if name not in there]:
            line = self.lines.pop(gone)
            line.hide()
            line.deleteLater()
        num_running = len(self._requests.running)
        for number, named in enumerate(requests):
            line = self.lines.get(named.request.id)
            if line is None:
                line = self.lines[named.request.id] = RequestLine(self._palette, self)
                line.stop_chosen.connect(self._requests.stop)
            layout, place = (
                (self._lines, number) if number < num_running else (self._waiting_lines, number - num_running)
            )
            if layout.indexOf(line) != place:
                layout.insertWidget(place, line)
            line.show_request(named)
            line.show()

    def _on_changed(self) -> None:
        if self.isVisible():
            self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Begin to ask."""
        super().showEvent(event)
        self._requests.watch(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Ask no more."""
        super().hideEvent(event)
        self._requests.watch(False)
