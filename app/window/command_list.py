"""The command list: type a few letters of what is wanted, and Enter does it."""

from collections.abc import Iterable

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QAction, QColor, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from app.look.theme import Palette
from app.look.typography import SMALL_PX, body_font
from app.look.widgets.list_line import TITLE_PX, Index, LineDelegate, line_height

WIDTH_PX, HEIGHT_PX = 520, 360
_ACTION = Qt.ItemDataRole.UserRole
_KEYS = Qt.ItemDataRole.UserRole + 1


class CommandList(QDialog):
    """Offers actions; the chosen one is triggered after the list has closed."""

    def __init__(self, commands: Iterable[tuple[str, QAction]], palette: Palette, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self.setObjectName("commandList")
        self.setAccessibleName(self.tr("Commands"))
        self._commands = list(commands)
        self.field = QLineEdit(placeholderText=self.tr("What would you like to do?"))
        self.field.setAccessibleName(self.tr("Command"))
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Matching commands"))
        self.list.setItemDelegate(_CommandDelegate(palette, self.list))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.field)
        layout.addWidget(self.list)
        self.field.textChanged.connect(self._filter)
        self.field.returnPressed.connect(self.run_current)
        self.list.itemClicked.connect(lambda _: self.run_current())
        self.list.itemActivated.connect(lambda _: self.run_current())
        self.field.installEventFilter(self)
        self.resize(min(WIDTH_PX, parent.width() - 48), min(HEIGHT_PX, parent.height() - 96))
        corner = parent.mapToGlobal(parent.rect().topLeft())
        self.move(corner.x() + (parent.width() - self.width()) // 2, corner.y() + 72)
        self._filter("")
        self.field.setFocus()

    def names(self) -> list[str]:
        """What is offered now."""
        return [self.list.item(row).text() for row in range(self.list.count())]

    def run_current(self) -> None:
        """Do what is marked."""
        item = self.list.currentItem()
        self.accept()
        if item is not None:
            item.data(_ACTION).trigger()

    def _filter(self, typed: str) -> None:
        self.list.clear()
        words = typed.casefold().split()
        for menu, action in self._commands:
            name = action.text().replace("&", "")
            if all(word in f"{menu} {name}".casefold() for word in words):
                keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
                item = QListWidgetItem(f"{menu}: {name}", self.list)
                item.setData(_ACTION, action)
                item.setData(_KEYS, keys)
        self.list.setCurrentRow(0)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Up and down move the mark while one types."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()))
            if step is not None:
                row = self.list.currentRow() + step
                self.list.setCurrentRow(max(0, min(self.list.count() - 1, row)))
                return True
        return super().eventFilter(watched, event)


class _CommandDelegate(LineDelegate):
    """The command at the left, its keys at the right."""

    inset = 0

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one line."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        inner = self.draw_ground(painter, option)
        keys = str(index.data(_KEYS) or "")
        painter.setFont(body_font(SMALL_PX))
        painter.setPen(QColor(self._palette.muted))
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, keys)
        inner.setRight(inner.right() - painter.fontMetrics().horizontalAdvance(keys) - 12)
        painter.setFont(body_font(TITLE_PX))
        painter.setPen(QColor(self._palette.text))
        name = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, name)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """A line, with some air."""
        return QSize(0, line_height(TITLE_PX) + 12)
