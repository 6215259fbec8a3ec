"""The queue's window: a row for each prompt, the answer of the one that is chosen, and the table as a file."""

from pathlib import Path

from PySide6.QtCore import QT_TRANSLATE_NOOP, Qt
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.prompts.queue import QueueViewModel
from app.prompts.views.queue_table import COLUMNS, QueueTable
from prompt_files.results import SUFFIXES, Format, export

SIZE = (820, 620)
ROW_PX = 34
FILTERS: dict[str, Format] = {
    QT_TRANSLATE_NOOP("QueueWindow", "CSV table (*.csv)"): "csv",
    "JSON (*.json)": "json",
    "Markdown (*.md)": "markdown",
}


class QueueWindow(QDialog):
    """Shows a queue. Closing the window leaves it running; its button in the menu brings it back."""

    def __init__(self, queue: QueueViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.queue = queue
        self.setWindowTitle(self.tr("Prompt Queue"))
        self.resize(*SIZE)
        self.table = QTableView()
        self.answer = QPlainTextEdit(readOnly=True, objectName="preview")
        self.answer.setAccessibleName(self.tr("Answer of the chosen prompt"))
        self.status, self.note = QLabel(), QLabel(wordWrap=True)
        self.progress = QProgressBar(textVisible=False)
        self.progress.setAccessibleName(self.tr("Progress of the queue"))
        self.run_button, self.export_button, self.clear_button = (
            QPushButton(self.tr("Stop")),
            QPushButton(self.tr("Export…")),
            QPushButton(self.tr("Clear")),
        )
        self._shown: tuple[int, str] | None = None
        self._build()
        self._build_table()
        queue.items_added.connect(self._on_added)
        queue.item_changed.connect(self._show_row)
        queue.item_changed.connect(self._show_state)
        queue.state_changed.connect(self._show_state)
        self._on_added()

    def export_to(self, path: Path, kind: Format) -> bool:
        """Write the table; says so in the window where that fails."""
        try:
            path.write_text(export(self.queue.results(), kind), encoding="utf-8")
        except OSError as error:
            why = self.tr("{} could not be written ({}): choose another place.")
            self.note.setText(why.format(path, error.strerror or error))
            return False
        self.note.setText(self.tr("Written to {}.").format(path))
        return True

    def _build(self) -> None:
        title = QLabel(self.tr("Prompt queue"))
        title.setProperty("role", "title")
        for label in (self.status, self.note):
            label.setProperty("role", "muted")
            label.setTextFormat(Qt.TextFormat.PlainText)
        for button in (self.clear_button, self.export_button, self.run_button):
            button.setProperty("role", "outline")
            button.setAutoDefault(False)
        self.run_button.clicked.connect(self._on_run)
        self.export_button.clicked.connect(self._choose_export)
        self.clear_button.clicked.connect(self.queue.clear)
        parts = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        parts.addWidget(self.table)
        parts.addWidget(self.answer)
        parts.setSizes([300, 220])
        parts.setHandleWidth(12)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.note, 1)
        for button in (self.clear_button, self.export_button, self.run_button):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(8)
        for widget in (title, self.status, self.progress):
            layout.addWidget(widget)
        layout.addSpacing(4)
        layout.addWidget(parts, 1)
        layout.addLayout(row)

    def _build_table(self) -> None:
        table = self.table
        table.setModel(QueueTable(self.queue))
        table.setAccessibleName(self.tr("Prompts and what came of them"))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setTabKeyNavigation(False)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(ROW_PX)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, width in zip(range(1, len(COLUMNS)), (120, 80, 84, 88, 80), strict=True):
            table.setColumnWidth(column, width)
        table.selectionModel().currentRowChanged.connect(lambda: self._show_row(None))

    def _on_added(self) -> None:
        if self.queue.items and not self.table.currentIndex().isValid():
            self.table.selectRow(0)
        self._show_row(None)
        self._show_state()

    def _show_row(self, row: int | None) -> None:
        """Show the chosen row's text; only what is new of it is written, so that one can read and mark meanwhile."""
        chosen = self.table.currentIndex().row()
        if row is not None and row != chosen:
            return
        if not 0 <= chosen < len(self.queue.items):
            self.answer.setPlainText("")
            self._shown = None
            return
        item = self.queue.items[chosen]
        before = self._shown
        text = item.answer if not item.error else "\n\n".join(filter(None, (item.answer, item.error)))
        if before and before[0] == chosen and text.startswith(before[1]) and before[1]:
            cursor = self.answer.textCursor()
            cursor.movePosition(cursor.MoveOperation.End)
            cursor.insertText(text[len(before[1]) :])
        else:
            self.answer.setPlainText(text)
        self._shown = (chosen, text)

    def _show_state(self) -> None:
        queue, total = self.queue, len(self.queue.items)
        done = self.tr("{} of {} done").format(queue.num_done, total)
        failed = self.tr("{} failed").format(queue.num_failed) if queue.num_failed else ""
        self.status.setText(
            " · ".join(filter(None, (done, failed))) if total else self.tr("Drop several .prompt.md files.")
        )
        self.progress.setRange(0, max(1, total))
        self.progress.setValue(queue.num_done + queue.num_failed)
        self.run_button.setText(self.tr("Stop") if queue.is_running else self.tr("Run the Rest"))
        self.run_button.setEnabled(queue.is_running or queue.can_resume)
        self.export_button.setEnabled(total > 0)
        self.clear_button.setEnabled(total > 0)

    def _on_run(self) -> None:
        if self.queue.is_running:
            self.queue.stop()
        else:
            self.queue.resume()

    def _choose_export(self) -> None:
        name, chosen = QFileDialog.getSaveFileName(
            self, self.tr("Export Results"), "results.csv", ";;".join(map(self.tr, FILTERS))
        )
        if name:
            kind = {self.tr(name): kind for name, kind in FILTERS.items()}.get(chosen, "csv")
            path = Path(name)
            self.export_to(path if path.suffix else path.with_suffix(SUFFIXES[kind]), kind)

    def closeEvent(self, event: QCloseEvent) -> None:
        """The queue goes on."""
        self.hide()
        event.ignore()
