"""Where one writes: the field, what is attached, how much of the context that takes, and the button that sends."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.engine.problem import Problem
from app.engine.token_counter import TokenCount
from app.look import icons
from app.look.theme import Palette
from app.prompts.attached_file import AttachedFile
from app.prompts.views.chips import ChipRow
from app.prompts.views.context_meter import ContextMeter
from app.prompts.views.field import ComposerField
from app.store import Attachment


class Composer(QFrame):
    """The text field with its chips; one button sends or stops.

    Signals:
        submitted: the text, when it is to be sent with what is attached.
        stop_chosen: the stop button was pressed.
        attach_chosen: files are to be chosen in a dialog.
        text_changed: after every change of the text or of what is attached.
        cleared: what was written and attached is on its way.
        problem_raised: a Problem about files or a paste.
    """

    submitted = Signal(str)
    stop_chosen = Signal()
    attach_chosen = Signal()
    text_changed = Signal()
    cleared = Signal()
    problem_raised = Signal(object)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("composer")
        self.chips = ChipRow(palette)
        self.field = ComposerField(self)
        self.meter = ContextMeter(palette)
        self.reading = QLabel()
        self.reading.setProperty("role", "muted")
        self.attach_button = _button(self.tr("Attach files"))
        self.attach_button.clicked.connect(self.attach_chosen)
        self.button = _button(self.tr("Send (Enter)"))
        self.button.setProperty("role", "primary")
        self.button.clicked.connect(self._on_button)
        # Whoever knows the context may look at the question first, and send it or ask back.
        self.gate: Callable[[Callable[[], None]], None] = lambda send: send()
        self._files: tuple[AttachedFile, ...] = ()
        self._is_busy = False
        self._palette = palette
        self._build()
        self.field.textChanged.connect(self.text_changed)
        self.field.enter_pressed.connect(self.submit)
        self.field.picture_pasted.connect(self._refuse_picture)
        self.field.focus_changed.connect(lambda has: self.mark("focused", has))
        self.field.hovered_with_files.connect(lambda is_over: self.mark("dropping", is_over))
        self.set_state(can_send=False, is_busy=False)

    @property
    def text(self) -> str:
        """What is written."""
        return self.field.toPlainText()

    @property
    def has_content(self) -> bool:
        """Whether there is something to send: a word or a file."""
        return bool(self.text.strip() or self._files)

    @property
    def parts(self) -> tuple[Attachment, ...]:
        """What is sent with the text."""
        return tuple(file.part for file in self._files)

    def set_text(self, text: str) -> None:
        """Replace what is written."""
        self.field.setPlainText(text)

    def clear(self) -> None:
        """The question is on its way: the field is for the next one, and the up key brings this one back."""
        self.field.history.remember(self.text)
        self.set_text("")
        self.cleared.emit()

    def show_files(self, files: Sequence[AttachedFile]) -> None:
        """Show what is attached."""
        self._files = tuple(files)
        self.chips.show_files(files)
        self.text_changed.emit()

    def set_state(self, *, can_send: bool, is_busy: bool) -> None:
        """Whether the button sends or stops, and whether it can."""
        self._is_busy = is_busy
        self.button.setEnabled(is_busy or can_send)
        name = self.tr("Stop (Esc)") if is_busy else self.tr("Send (Enter)")
        self.button.setAccessibleName(name)
        self.button.setToolTip(name)
        self._draw()

    def show_count(self, count: TokenCount | None) -> None:
        """Show how much of the context the conversation and the next question fill; None hides it."""
        self.meter.show_count(count)

    def show_reading(self, num_read: int, num_files: int) -> None:
        """Tell how many dropped files are read; nothing once they all are."""
        is_over = num_read >= num_files
        self.reading.setText(
            "" if is_over else self.tr("Reading {} of {} files…").format(f"{num_read + 1:,}", f"{num_files:,}")
        )

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._palette = palette
        self.chips.apply_palette(palette)
        self.meter.apply_palette(palette)
        self._draw()

    def submit(self) -> None:
        """Hand over the text; whoever takes it empties the field."""
        if self.button.isEnabled() and not self._is_busy:
            self.gate(lambda: self.submitted.emit(self.text))

    def mark(self, name: str, is_on: bool) -> None:
        """Show that the field has the focus, or that a file would be taken."""
        self.setProperty(name, "true" if is_on else "false")
        self.style().unpolish(self)
        self.style().polish(self)

    def _build(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.attach_button)
        row.addWidget(self.reading)
        row.addStretch()
        row.addWidget(self.meter)
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 8, 8)
        layout.setSpacing(4)
        layout.addWidget(self.chips)
        layout.addWidget(self.field)
        layout.addLayout(row)

    def _draw(self) -> None:
        name = "stop" if self._is_busy else "send"
        self.button.setIcon(icons.icon(name, self._palette.on_accent, self._palette.muted))
        self.attach_button.setIcon(icons.icon("attach", self._palette.muted))

    def _refuse_picture(self) -> None:
        advice = self.tr("Models here read text: paste the words of the picture, or say what is on it.")
        self.problem_raised.emit(Problem(self.tr("Pictures cannot be attached."), advice))

    def _on_button(self) -> None:
        if self._is_busy:
            self.stop_chosen.emit()
        else:
            self.submit()


def _button(name: str) -> QPushButton:
    button = QPushButton()
    button.setFixedSize(32, 32)
    button.setIconSize(QSize(20, 20))
    button.setAccessibleName(name)
    button.setToolTip(name)
    return button
