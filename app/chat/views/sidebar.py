"""The chats on the left: found, opened, named, copied, deleted."""

from itertools import pairwise

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QAction, QIcon, QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.chat.activity import ChatActivity
from app.chat.list import ChatListViewModel
from app.chat.views.item import ANSWERING, CHAT, MARK, SNIPPET, UNREAD, ChatDelegate
from app.look import icons
from app.look.theme import Palette
from app.look.typography import widened
from app.store import Hit

WIDTH_PX = 240


class Sidebar(QFrame):
    """Lists the chats of a ChatListViewModel.

    Signals:
        chat_chosen: the id of the chat to open.
        new_chosen: the button for a new chat was pressed.
        export_chosen: ids of chats to export, as a tuple.
    """

    chat_chosen = Signal(int)
    new_chosen = Signal()
    export_chosen = Signal(object)

    def __init__(
        self, chats: ChatListViewModel, activity: ChatActivity, palette: Palette, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("sidebar")
        self.setAccessibleName(self.tr("Chats"))
        self.setFixedWidth(WIDTH_PX)
        self._chats, self._activity, self._palette = chats, activity, palette
        self._open_id: int | None = None
        self.search = QLineEdit(placeholderText=self.tr("Search"), clearButtonEnabled=True)
        self.search.setAccessibleName(self.tr("Search all chats"))
        self._lens = QAction(self)
        self.search.addAction(self._lens, QLineEdit.ActionPosition.LeadingPosition)
        self.new = QPushButton()
        self.list = _ChatList(self)
        self._delegate = ChatDelegate(palette, self.list)
        self._empty = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignHCenter)
        self._empty.setProperty("role", "muted")
        self._undo_bar = QFrame(objectName="undoBar")
        self._undo_text = QLabel()
        self._undo = QPushButton(self.tr("Undo"))
        self._build()
        self._connect()
        self.apply_palette(palette)
        self.show_chats()

    @property
    def selected_ids(self) -> tuple[int, ...]:
        """The chats that are marked."""
        return tuple(item.data(CHAT).id for item in self.list.selectedItems() if item.data(CHAT))

    def titles(self) -> list[str]:
        """What is listed, headings included."""
        return [self.list.item(row).text() for row in range(self.list.count())]

    def show_chats(self) -> None:
        """List the chats anew, unless a title is being edited."""
        if self.list.is_editing:
            return
        scrolled = self.list.verticalScrollBar().value()
        self.list.blockSignals(True)
        self.list.clear()
        num_chats = 0
        for group in self._chats.groups():
            if group.hits:
                heading = QListWidgetItem(group.heading, self.list)
                heading.setFlags(Qt.ItemFlag.NoItemFlags)
            for hit in group.hits:
                num_chats += 1
                self._add(hit)
        self.list.blockSignals(False)
        self.list.verticalScrollBar().setValue(scrolled)
        looks = bool(self._chats.query)
        nothing = self.tr("Nothing found.") if looks else self.tr("Your chats will be listed here.")
        self._empty.setText(nothing)
        self._empty.setVisible(num_chats == 0)

    def marks(self) -> dict[str, str]:
        """The chats that have a mark, by title: what is said of each."""
        items = [self.list.item(row) for row in range(self.list.count())]
        return {item.text(): item.data(MARK) for item in items if item.data(MARK)}

    def mark_open(self, chat_id: int | None) -> None:
        """Show which chat is open."""
        self._open_id = chat_id
        self.list.blockSignals(True)
        self.list.clearSelection()
        for row in range(self.list.count()):
            item = self.list.item(row)
            if (chat := item.data(CHAT)) is not None and chat.id == chat_id:
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)

    def rename_selected(self) -> None:
        """Edit the title of the chat that is marked."""
        if items := self.list.selectedItems():
            self.list.editItem(items[0])

    def delete_selected(self) -> None:
        """Delete the chats that are marked."""
        self._chats.delete(self.selected_ids)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self.setFixedWidth(widened(WIDTH_PX))
        self.new.setIcon(icons.icon("new", palette.text))
        self._lens.setIcon(QIcon(icons.pixmap("search", palette.muted, 16)))
        self._delegate.apply_palette(palette)
        self.list.viewport().update()

    def _build(self) -> None:
        self.new.setAccessibleName(self.tr("New chat"))
        self.new.setToolTip(self.tr("New chat"))
        self.new.setIconSize(QSize(18, 18))
        self.new.setFixedSize(34, 30)
        self.list.setItemDelegate(self._delegate)
        top = QHBoxLayout()
        top.setContentsMargins(12, 8, 8, 8)
        top.setSpacing(4)
        top.addWidget(self.search, 1)
        top.addWidget(self.new)
        undo = QHBoxLayout(self._undo_bar)
        undo.setContentsMargins(12, 4, 4, 4)
        undo.addWidget(self._undo_text, 1)
        undo.addWidget(self._undo)
        self._undo.setProperty("role", "link")
        self._undo_bar.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        self._empty.setContentsMargins(16, 24, 16, 0)
        layout.addWidget(self._empty)
        layout.addWidget(self.list, 1)
        layout.addWidget(self._undo_bar)
        for first, second in pairwise((self.search, self.new, self.list, self._undo)):
            QWidget.setTabOrder(first, second)

    def _connect(self) -> None:
        self.search.textChanged.connect(self._chats.look_for)
        self.new.clicked.connect(self.new_chosen)
        self.list.currentItemChanged.connect(self._on_current)
        self.list.itemChanged.connect(self._on_renamed)
        self.list.customContextMenuRequested.connect(self._show_menu)
        self._undo.clicked.connect(self._chats.undo_delete)
        self._chats.changed.connect(self.show_chats)
        self._chats.deleted.connect(self._on_deleted)
        self._activity.changed.connect(self._show_marks)

    def _add(self, hit: Hit) -> None:
        item = QListWidgetItem(hit.chat.title, self.list)
        item.setData(CHAT, hit.chat)
        item.setData(SNIPPET, hit.snippet)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        self._show_mark(item)
        if hit.chat.id == self._open_id:
            self.list.setCurrentItem(item)

    def _show_marks(self) -> None:
        self.list.blockSignals(True)
        for row in range(self.list.count()):
            self._show_mark(self.list.item(row))
        self.list.blockSignals(False)
        self.list.viewport().update()

    def _show_mark(self, item: QListWidgetItem) -> None:
        """Who is answered, and who was answered unseen: a mark for the eye, the same in words for the ear."""
        if (chat := item.data(CHAT)) is None:
            return
        is_answering, is_unread = chat.id in self._activity.answering, chat.id in self._activity.unread
        words = self.tr("being answered") if is_answering else self.tr("answered, not yet read") if is_unread else ""
        told = ", ".join(filter(None, (chat.title, words)))
        item.setData(MARK, ANSWERING if is_answering else UNREAD if is_unread else None)
        item.setData(Qt.ItemDataRole.AccessibleTextRole, told)
        item.setToolTip(told)

    def _on_deleted(self, titles: tuple[str, ...]) -> None:
        self._undo_bar.setVisible(bool(titles))
        told = self.tr("Chat deleted") if len(titles) == 1 else self.tr("{0} chats deleted").format(len(titles))
        self._undo_text.setText(told)

    def _on_current(self, item: QListWidgetItem | None) -> None:
        if item is not None and (chat := item.data(CHAT)) is not None and chat.id != self._open_id:
            self.chat_chosen.emit(chat.id)

    def _on_renamed(self, item: QListWidgetItem) -> None:
        if (chat := item.data(CHAT)) is not None and item.text() != chat.title:
            self._chats.rename(chat.id, item.text())

    def _show_menu(self, at: QPoint) -> None:
        if (item := self.list.itemAt(at)) is None or (chat := item.data(CHAT)) is None:
            return
        menu = QMenu(self)
        menu.addAction(self.tr("Rename"), lambda: self.list.editItem(item))
        menu.addAction(self.tr("Duplicate"), lambda: self._chats.duplicate(chat.id))
        menu.addAction(self.tr("Export…"), lambda: self.export_chosen.emit((chat.id,)))
        menu.addSeparator()
        menu.addAction(self.tr("Delete"), lambda: self._chats.delete((chat.id,)))
        menu.exec(self.list.viewport().mapToGlobal(at))


class _ChatList(QListWidget):
    def __init__(self, sidebar: Sidebar) -> None:
        super().__init__(sidebar)
        self._sidebar = sidebar
        self.setAccessibleName(self.tr("Chats"))
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QListWidget.EditTrigger.EditKeyPressed | QListWidget.EditTrigger.DoubleClicked)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setFrameShape(QFrame.Shape.NoFrame)

    @property
    def is_editing(self) -> bool:
        """Whether a title is being edited."""
        return self.state() == QListWidget.State.EditingState

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Delete deletes, as in a list of files."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self._sidebar.delete_selected()
        else:
            super().keyPressEvent(event)
