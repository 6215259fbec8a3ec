"""The rows of a queue as Qt's table model."""

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from app.prompts.queue import QueueItem, QueueViewModel

COLUMNS = ("Prompt", "State", "Tokens", "Tokens/s", "Accepted", "Time")
_STATES = {
    "waiting": "○  Waiting",
    "running": "●  Running",
    "done": "✓  Done",
    "failed": "✕  Failed",
    "stopped": "–  Stopped",
}

Index = QModelIndex | QPersistentModelIndex


class QueueTable(QAbstractTableModel):
    """Follows a QueueViewModel."""

    def __init__(self, queue: QueueViewModel) -> None:
        super().__init__(queue)
        self._queue = queue
        queue.items_added.connect(self._on_added)
        queue.item_changed.connect(self._on_changed)

    def _on_added(self) -> None:
        self.beginResetModel()
        self.endResetModel()

    def _on_changed(self, row: int) -> None:
        self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """A row for each item."""
        return 0 if parent.isValid() else len(self._queue.items)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """As many as `COLUMNS`."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The columns' names."""
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return COLUMNS[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text; its tooltip has the file or the error."""
        item = self._queue.items[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return cell(item, index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return item.error or str(item.prompt.path)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        return None


def cell(item: QueueItem, column: int) -> str:
    """The text of one cell; empty where nothing is known yet."""
    row = item.result()
    match COLUMNS[column]:
        case "Prompt":
            return item.prompt.title
        case "State":
            return _STATES[item.state]
        case "Tokens":
            return "" if row.completion_tokens is None else f"{row.completion_tokens:,}"
        case "Tokens/s":
            return "" if row.tokens_per_second is None else f"{row.tokens_per_second:.1f}"
        case "Accepted":
            return "" if row.acceptance_rate is None else f"{row.acceptance_rate:.0%}"
        case _:
            return "" if row.seconds is None else f"{row.seconds:.1f} s"


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignLeft if column < 2 else Qt.AlignmentFlag.AlignRight
    return side | Qt.AlignmentFlag.AlignVCenter
