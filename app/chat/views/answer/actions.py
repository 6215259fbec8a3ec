"""The row under an answer: its alternatives, copy it, ask again, go on, branch, use its seed, and how it ended."""

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from app.chat.views.version_stepper import VersionStepper
from app.look import icons
from app.look.theme import Palette
from app.store import Answer, Versions


class AnswerActions(QWidget):
    """Shown once the answer is closed; keeps its room before that, so that nothing jumps.

    Signals:
        copy_chosen, again_chosen, continue_chosen, branch_chosen, seed_chosen: a button was pressed.
        stepped: the alternative this many places further is wanted.
    """

    copy_chosen = Signal()
    again_chosen = Signal()
    continue_chosen = Signal()
    branch_chosen = Signal()
    seed_chosen = Signal()
    stepped = Signal(int)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stepper = VersionStepper(self.tr("answer"), palette)
        self._copy = self._button("", self.tr("Copy answer"), self.tr("Copy the answer as markdown"))
        self._again = self._button("", self.tr("Ask again"), self.tr("Ask again: this answer stays as an alternative"))
        branch = self.tr("Branch: go on from here in a new chat")
        self._branch = self._button("", self.tr("Branch from here"), branch)
        self._continue = self._button(
            self.tr("Continue"), self.tr("Continue the answer"), self.tr("Let the answer go on where it ended")
        )
        seed = self.tr("Use it for the next answers: the same question brings the same words")
        self._seed = self._button("", self.tr("Use this seed again"), seed)
        self._ending = QLabel()
        self._ending.setProperty("role", "muted")
        self._is_last = True
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.stepper, self._copy, self._again, self._branch, self._seed, self._continue):
            layout.addWidget(widget)
        layout.addStretch()
        layout.addWidget(self._ending)
        self._connect()
        self.apply_palette(palette)

    @property
    def focus_chain(self) -> list[QWidget]:
        """What Tab reaches."""
        steps = [self.stepper.before, self.stepper.after]
        return [*steps, self._copy, self._again, self._branch, self._seed, self._continue]

    def show_answer(self, answer: Answer, versions: Versions[Answer], *, is_last: bool) -> None:
        """Offer what this answer allows; only the newest can go on."""
        is_closed = not answer.is_open
        self.stepper.show_versions(versions, is_enabled=is_closed)
        self._copy.setVisible(is_closed and bool(answer.text))
        self._again.setVisible(is_closed)
        self._branch.setVisible(is_closed and bool(answer.text))
        self._continue.setVisible(is_last and answer.can_continue)
        self._seed.setVisible(is_closed)
        self._seed.setText(self.tr("Seed {0}").format(answer.seed))
        endings = {"stopped": self.tr("Stopped"), "failed": self.tr("Interrupted")}
        cut = self.tr("Length limit reached")
        self._ending.setText(cut if answer.was_cut else endings.get(answer.state, ""))

    def apply_palette(self, palette: Palette) -> None:
        """Draw the icons in the palette's colours."""
        self.stepper.apply_palette(palette)
        icon_names = ("copy", "again", "branch", "dice", "continue")
        buttons = (self._copy, self._again, self._branch, self._seed, self._continue)
        for button, name in zip(buttons, icon_names, strict=True):
            button.setIcon(icons.icon(name, palette.muted))
            button.ensurePolished()
        # The row keeps its height while they come and go.
        self.setFixedHeight(max(button.sizeHint().height() for button in buttons))

    def _connect(self) -> None:
        self._copy.clicked.connect(self.copy_chosen)
        self._again.clicked.connect(self.again_chosen)
        self._branch.clicked.connect(self.branch_chosen)
        self._continue.clicked.connect(self.continue_chosen)
        self._seed.clicked.connect(self.seed_chosen)
        self.stepper.stepped.connect(self.stepped)

    def _button(self, text: str, name: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setProperty("role", "chip")
        button.setAccessibleName(name)
        button.setToolTip(tip)
        button.setIconSize(QSize(15, 15))
        return button
