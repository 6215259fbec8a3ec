"""The models' window: what there is at the left, what is known of the chosen one at the right, downloads below."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.look.theme import Palette
from app.look.typography import scaled
from app.look.widgets.drop_target import DropTarget
from app.look.widgets.segmented import Segmented
from app.models.choice import Choice
from app.models.library import ModelsViewModel
from app.models.sizes import format_bytes
from app.models.views.detail import ModelDetail
from app.models.views.downloads import DownloadsView
from app.models.views.list import ModelList, found_entries, installed_entries
from app.models.views.place import PlaceDialog
from app.models.views.token import TokenDialog
from app.models.views.words import refusal_words, room_words

SIZE = (980, 720)
NARROW_PX = 700  # below this the two parts stand one above the other
FIND, INSTALLED = 0, 1


class ModelsWindow(QDialog):
    """Shows a ModelsViewModel. Closing it stops nothing: downloads are the engine's.

    Signals:
        use_chosen: a Choice, to be loaded.
        try_chosen: a Choice, to be raced.
        import_chosen: the Paths of files and folders.
    """

    use_chosen = Signal(object)
    try_chosen = Signal(object)
    import_chosen = Signal(object)

    def __init__(self, models: ModelsViewModel, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Models"))
        self.resize(*SIZE)
        self.setMinimumSize(460, 420)
        self.models = models
        self.tabs = Segmented((self.tr("Find"), self.tr("Installed")), self.tr("Which models"))
        self.field = QLineEdit(clearButtonEnabled=True)
        self.list, self.detail = ModelList(palette), ModelDetail(models, palette)
        self.empty, self.disk = QLabel(wordWrap=True), QLabel(wordWrap=True)
        self.remark = QLabel(wordWrap=True, objectName="remark")
        self.again = QPushButton(self.tr("Try Again"), autoDefault=False)
        self.told = QLabel(wordWrap=True)
        self.load_words, self.load_bar = QLabel(), QProgressBar(textVisible=False)
        self.import_button = QPushButton(self.tr("Import a File…"), autoDefault=False)
        self.place_button = QPushButton(self.tr("Folder and Hub…"), autoDefault=False)
        self.downloads = DownloadsView(models)
        self.question: QDialog | None = None
        self._pages, self._parts = QStackedWidget(), QSplitter(childrenCollapsible=False)
        self._build()
        self._connect()
        self._show_list()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self.list.apply_palette(palette)
        self.detail.apply_palette(palette)

    def tell(self, words: str) -> None:
        """Say what was done, or why not, until the next is said."""
        self.told.setText(words)
        self.told.setVisible(bool(words))

    def show_loading(self, words: str, percent: int | None) -> None:
        """What the engine is loading, `percent` None where it does not tell how far; nothing for no words."""
        self.load_words.setText(words)
        self.load_bar.setRange(0, 0 if percent is None else 100)
        self.load_bar.setValue(percent or 0)
        self.load_bar.setAccessibleName(words)
        for widget in (self.load_words, self.load_bar):
            widget.setVisible(bool(words))

    def ask_for_token(self) -> None:
        """Let a token of the Hub be entered."""
        self._ask(TokenDialog(self.models.client, self))

    def show_place(self) -> None:
        """Let the folder of the models and the hub be changed."""
        self._ask(PlaceDialog(self.models.client, self))

    def ask_for_files(self) -> None:
        """Let a file be chosen with the system's dialog."""
        names, _ = QFileDialog.getOpenFileNames(self, self.tr("Import Models"), "", "GGUF (*.gguf)")
        if names:
            self.import_chosen.emit([Path(name) for name in names])

    def _build(self) -> None:
        title = QLabel(self.tr("Models"))
        title.setProperty("role", "title")
        self.field.setPlaceholderText(self.tr("Search: words, owner/name, or a page's address"))
        self.field.setAccessibleName(self.tr("Search models"))
        for label in (self.empty, self.disk, self.told, self.load_words):
            label.setProperty("role", "muted")
        for label in (self.empty, self.disk, self.told, self.remark, self.load_words):
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setMargin(24)
        for button in (self.again, self.import_button, self.place_button):
            button.setProperty("role", "outline")
        top, notice, bottom = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for row in (top, notice, bottom):
            row.setSpacing(8)
        top.addWidget(title)
        top.addSpacing(8)
        top.addWidget(self.tabs)
        top.addWidget(self.field, 1)
        notice.addWidget(self.remark, 1)
        notice.addWidget(self.again)
        bottom.addWidget(self.told, 1)
        buttons = QHBoxLayout()  # of their own: beside no words they would spread over the row
        buttons.setSpacing(8)
        buttons.addStretch()
        for button in (self.place_button, self.import_button):
            buttons.addWidget(button)
        bottom.addLayout(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 20, 24, 16)
        layout.setSpacing(10)
        layout.addLayout(top)
        layout.addLayout(notice)
        layout.addWidget(self.load_words)
        layout.addWidget(self.load_bar)
        layout.addWidget(self._build_parts(), 1)
        layout.addWidget(self.downloads)
        layout.addLayout(bottom)
        self.show_loading("", None)
        self.tell("")

    def _build_parts(self) -> QWidget:
        self._pages.addWidget(self.list)
        self._pages.addWidget(self.empty)
        left = QWidget(objectName="column")
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self._pages, 1)
        column.addWidget(self.disk)
        self._parts.addWidget(left)
        self._parts.addWidget(self.detail)
        self._parts.setStretchFactor(0, 2)
        self._parts.setStretchFactor(1, 3)
        self._parts.setSizes([390, 560])
        self._parts.setHandleWidth(16)
        return self._parts

    def _connect(self) -> None:
        models, drops = self.models, DropTarget(self)
        models.found.connect(self._show_list)
        models.stock_changed.connect(self._show_list)
        models.told.connect(self.tell)
        models.removal_weighed.connect(self._confirm_removal)
        self.tabs.chosen.connect(self._show_list)
        self.field.textChanged.connect(self._on_text)
        self.field.returnPressed.connect(lambda: models.search(self.field.text(), at_once=True))
        self.again.clicked.connect(models.open)
        self.list.entry_chosen.connect(models.choose)
        self.detail.use_chosen.connect(self._check_room)
        self.detail.try_chosen.connect(self.try_chosen)
        self.detail.token_wanted.connect(self.ask_for_token)
        self.detail.delete_chosen.connect(models.client.weigh_removal)
        self.downloads.token_wanted.connect(self.ask_for_token)
        self.import_button.clicked.connect(self.ask_for_files)
        self.place_button.clicked.connect(self.show_place)
        drops.dropped.connect(self.import_chosen)

    def _on_text(self, text: str) -> None:
        self.models.search(text)
        if self.tabs.index == INSTALLED:
            self._show_list()

    def _show_list(self) -> None:
        models, is_find = self.models, self.tabs.index == FIND
        entries = list(found_entries(models) if is_find else installed_entries(models, self.field.text()))
        self.list.show_entries(entries)
        self._pages.setCurrentWidget(self.list if entries else self.empty)
        if is_find:
            nothing = self.tr("Nothing is called “{}”. Fewer words find more.").format(models.query)
            self.empty.setText(self.tr("Looking…") if models.is_searching else nothing if models.findings else "")
        elif models.stock.models:
            self.empty.setText(self.tr("Nothing that is installed is called that."))
        else:
            self.empty.setText(self.tr("No model is installed yet: find one, or drop a .gguf file here."))
        self._show_disk(is_find)
        self._show_notice()

    def _show_disk(self, is_find: bool) -> None:
        stock = self.models.stock
        num_models = len(stock.models)
        counted = self.tr("one model") if num_models == 1 else self.tr("{} models").format(num_models)
        taken = self.tr("{} of {}, in {} and Lookahead's own folder.")
        self.disk.setText(taken.format(format_bytes(stock.total_bytes), counted, stock.folder))
        self.disk.setVisible(not is_find and num_models > 0)

    def _show_notice(self) -> None:
        findings, refusal = self.models.findings, self.models.refusal
        offline = self.tr("The model hub is out of reach, so only what is installed shows.")
        said = refusal_words(refusal.message, refusal.kind) if refusal is not None else ""
        if not said and findings is not None and findings.offline:
            said = f"{offline} {findings.offline}"
        self.remark.setText(said)
        for widget in (self.remark, self.again):
            widget.setVisible(bool(said))

    def _confirm_removal(self, name: str, freed_bytes: int) -> None:
        if not self.isVisible():
            return
        text = self.tr("Delete {}?").format(name)
        more = self.tr("That frees {}. It can be downloaded again.")
        known = self.models.installed(name)
        if known is not None and known.source == "imported":
            more = self.tr("That frees {}. The file it was imported from stays.")
        more = more.format(format_bytes(freed_bytes))
        self._confirm(text, more, self.tr("Delete"), lambda: self.models.client.remove(name))

    def _check_room(self, choice: Choice) -> None:
        """What does not fit is loaded only by who says so again."""
        estimate = self.models.estimate()
        if estimate is None or estimate.room != "no":
            self.use_chosen.emit(choice)
            return
        text = self.tr("Load {} all the same?").format(choice.pair or choice.target)
        more = self.tr("{}. The engine may be ended for want of memory; what is used now is loaded again then.")
        more = more.format(room_words(estimate).lstrip("✕ "))
        self._confirm(text, more, self.tr("Load It"), lambda: self.use_chosen.emit(choice))

    def _confirm(self, text: str, more: str, name: str, then: Callable[[], object]) -> None:
        box = QMessageBox(QMessageBox.Icon.NoIcon, "Lookahead", text, QMessageBox.StandardButton.Cancel, self)
        box.setInformativeText(more)
        box.setDefaultButton(QMessageBox.StandardButton.Cancel)
        for label in box.findChildren(QLabel):  # a name may look like markup
            label.setTextFormat(Qt.TextFormat.PlainText)
        box.addButton(name, QMessageBox.ButtonRole.DestructiveRole).clicked.connect(lambda: then())
        self._ask(box)

    def _ask(self, dialog: QDialog) -> None:
        self.question = dialog
        dialog.finished.connect(lambda: self._forget(dialog))
        dialog.open()

    def _forget(self, dialog: QDialog) -> None:
        if self.question is dialog:
            self.question = None

    def showEvent(self, event: QShowEvent) -> None:
        """Look anew: other tools use the same cache."""
        super().showEvent(event)
        self.models.open()
        self.field.setFocus()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow window has its parts one above the other."""
        super().resizeEvent(event)
        is_narrow = self.width() < scaled(NARROW_PX)
        self._parts.setOrientation(Qt.Orientation.Vertical if is_narrow else Qt.Orientation.Horizontal)
        QTimer.singleShot(0, self, self.downloads.fit)
