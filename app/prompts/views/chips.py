"""What is attached, as chips above the question: name, size, tokens, a look inside, and away with it."""

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QRect, QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QScrollArea, QWidget

from app.look import icons
from app.look.theme import Palette
from app.prompts.attached_file import AttachedFile, format_size

NAME_PX = 200
SPACING_PX = 6
MAX_HEIGHT_PX = 112  # three lines of chips; more scroll


class Chip(QFrame):
    """One attached file.

    Signals:
        opened: the file's key, when its text is to be shown.
        removed: the file's key.
    """

    opened = Signal(int)
    removed = Signal(int)

    def __init__(self, file: AttachedFile, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("chip")
        self.file = file
        self.label = QPushButton()
        self.label.setProperty("role", "chipName")
        self.label.setCursor(Qt.CursorShape.PointingHandCursor)
        self.label.clicked.connect(lambda: self.opened.emit(self.file.key))
        self.close_button = QPushButton()
        self.close_button.setProperty("role", "chipClose")
        self.close_button.setFixedSize(24, 24)
        self.close_button.setIconSize(QSize(12, 12))
        self.close_button.clicked.connect(lambda: self.removed.emit(self.file.key))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 2)
        layout.setSpacing(0)
        layout.addWidget(self.label)
        layout.addWidget(self.close_button)
        self.show_file(file)
        self.apply_palette(palette)

    def show_file(self, file: AttachedFile) -> None:
        """Tell what is known of it by now."""
        self.file = file
        self.label.ensurePolished()
        name = self.label.fontMetrics().elidedText(file.name, Qt.TextElideMode.ElideMiddle, NAME_PX)
        self.label.setText(f"{name}   {detail(file)}")
        self.label.setAccessibleName(self.tr("{}, {}: show its text").format(file.name, detail(file)))
        self.label.setToolTip(
            "\n".join(filter(None, (str(file.path or file.name), file.note, self.tr("Click to look inside."))))
        )
        self.close_button.setAccessibleName(self.tr("Remove {}").format(file.name))
        self.close_button.setToolTip(self.tr("Remove"))

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self.label.setIcon(icons.icon("file", palette.muted))
        self.close_button.setIcon(icons.icon("close", palette.muted))


class ChipRow(QScrollArea):
    """All chips, in lines.

    Signals:
        opened: the key of a file whose text is to be shown.
        removed: the key of a file that is to go.
    """

    opened = Signal(int)
    removed = Signal(int)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._palette = palette
        self.chips: list[Chip] = []
        self._page = QWidget(objectName="chips")
        self.setObjectName("chipRow")
        self.setWidget(self._page)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Attached files"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.hide()

    def show_files(self, files: Sequence[AttachedFile]) -> None:
        """Show these, keeping the chips of those that stay: the focus does not jump."""
        wanted = {file.key: file for file in files}
        for chip in [chip for chip in self.chips if chip.file.key not in wanted]:
            self.chips.remove(chip)
            chip.hide()
            chip.deleteLater()
        shown = {chip.file.key: chip for chip in self.chips}
        for file in files:
            if (chip := shown.get(file.key)) is not None:
                chip.show_file(file)
            else:
                self._add(file)
        self.setVisible(bool(files))
        self._fit()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        for chip in self.chips:
            chip.apply_palette(palette)

    def _add(self, file: AttachedFile) -> None:
        chip = Chip(file, self._palette, self._page)
        chip.opened.connect(self.opened)
        chip.removed.connect(self.removed)
        self.chips.append(chip)
        chip.show()

    def _fit(self) -> None:
        """Set the chips in lines. By hand: a QLayout written in Python shares its items' ownership with Qt."""
        width, x, y, line = self.viewport().width(), 0, 0, 0
        for chip in self.chips:
            size = chip.sizeHint()
            if x and x + size.width() > width:
                x, y, line = 0, y + line + SPACING_PX, 0
            chip.setGeometry(QRect(QPoint(x, y), size))
            x, line = x + size.width() + SPACING_PX, max(line, size.height())
        self._page.setMinimumHeight(y + line)
        self.setFixedHeight(min(MAX_HEIGHT_PX, y + line))

    def resizeEvent(self, event: object) -> None:
        """Other lines need another height."""
        super().resizeEvent(event)
        self._fit()


def detail(file: AttachedFile) -> str:
    """Size and tokens in words."""
    tokens = "counting…" if file.num_tokens is None else f"{file.num_tokens:,} token" + "s" * (file.num_tokens != 1)
    cut = "cut" if file.was_cut else ""
    return " · ".join(filter(None, (format_size(file.size_bytes), tokens, file.remark, cut)))
