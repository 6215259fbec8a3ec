"""One quiet place for what went wrong: what happened, what to do, and the details folded."""

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from app import icons
from app.problem import Problem, Remedy
from app.theme import Palette

REMEDY_NAMES: dict[Remedy, str] = {"none": "", "retry": "Ask again", "restart": "Start again"}
DETAILS_PX = 120


class Banner(QFrame):
    """Shows the newest Problem until it is solved or closed.

    Signals:
        remedy_chosen: the Remedy that the button named.
    """

    remedy_chosen = Signal(str)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self.problem: Problem | None = None
        self._text = QLabel(wordWrap=True)
        self._fold = QPushButton(self.tr("Details"), checkable=True)
        self._fold.setProperty("role", "link")
        self._action = QPushButton()
        self._action.setProperty("role", "outline")
        self._close = QPushButton()
        self._close.setAccessibleName(self.tr("Close the message"))
        self._close.setFixedSize(28, 28)
        self._close.setIconSize(QSize(16, 16))
        self._details = QPlainTextEdit(readOnly=True)
        self._details.setAccessibleName(self.tr("Details of the problem"))
        self._build()
        self.wear(palette)
        self.hide()

    def show_problem(self, problem: Problem) -> None:
        """Tell of `problem`, in place of an earlier one."""
        self.problem = problem
        self._text.setText(" ".join(filter(None, (problem.title, problem.advice))))
        self._text.setAccessibleName(self._text.text())
        self._details.setPlainText(problem.details)
        num_lines = problem.details.count("\n") + 1
        self._details.setFixedHeight(min(DETAILS_PX, num_lines * self._details.fontMetrics().lineSpacing() + 14))
        self._fold.setVisible(bool(problem.details))
        self._fold.setChecked(False)
        self._details.hide()
        self._action.setText(REMEDY_NAMES[problem.remedy])
        self._action.setVisible(problem.remedy != "none")
        self.show()

    def unfold(self) -> None:
        """Show the details."""
        self._fold.setChecked(True)

    def clear(self) -> None:
        """Nothing is wrong any more."""
        self.problem = None
        self.hide()

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self._close.setIcon(icons.icon("close", palette.text))

    def _build(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self._text, 1)
        for button in (self._fold, self._action, self._close):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 8, 8, 8)
        layout.addLayout(row)
        layout.addWidget(self._details)
        self._fold.toggled.connect(self._details.setVisible)
        self._close.clicked.connect(self.clear)
        self._action.clicked.connect(self._on_action)

    def _on_action(self) -> None:
        if self.problem is not None:
            self.remedy_chosen.emit(self.problem.remedy)
