"""One quiet place for what went wrong: what happened, what to do, and the details folded."""

from PySide6.QtCore import QT_TRANSLATE_NOOP, QSize, QSizeF, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from app.engine.problem import Problem, Remedy
from app.look import icons
from app.look.theme import Palette
from app.look.typography import SMALL_PX, mono_font, scaled

REMEDY_NAMES: dict[Remedy, str] = {
    "none": "",
    "retry": QT_TRANSLATE_NOOP("Banner", "Ask again"),
    "restart": QT_TRANSLATE_NOOP("Banner", "Start again"),
    "report": QT_TRANSLATE_NOOP("Banner", "Show the report"),
}
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
        self._sign = QLabel()
        self._text = QLabel(wordWrap=True)
        self._text.setProperty("role", "section")
        self._advice = QLabel(wordWrap=True)
        self._advice.setProperty("role", "advice")
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
        self.apply_palette(palette)
        self.hide()

    def show_problem(self, problem: Problem) -> None:
        """Tell of `problem`, in place of an earlier one."""
        self.problem = problem
        self._text.setText(problem.title)
        self._advice.setText(problem.advice)
        self._advice.setVisible(bool(problem.advice))
        self.setAccessibleName(" ".join(filter(None, (problem.title, problem.advice))))
        self._details.setPlainText(problem.details)
        self._details.setFont(mono_font(SMALL_PX))
        self._fold.setVisible(bool(problem.details))
        self._fold.setChecked(False)
        self._details.hide()
        self._action.setText(self.tr(REMEDY_NAMES[problem.remedy]))
        self._action.setVisible(problem.remedy != "none")
        self.show()

    def unfold(self) -> None:
        """Show the details."""
        self._fold.setChecked(True)

    def clear(self) -> None:
        """Nothing is wrong any more."""
        self.problem = None
        self.hide()

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self._close.setIcon(icons.icon("close", palette.text))
        self._sign.setPixmap(icons.pixmap("warning", palette.correction, 20))

    def _build(self) -> None:
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self._text)
        words.addWidget(self._advice)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._sign)
        row.addSpacing(4)
        row.addLayout(words, 1)
        for button in (self._fold, self._action, self._close):
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 8, 8, 8)
        layout.setSpacing(8)
        layout.addLayout(row)
        layout.addWidget(self._details)
        self._fold.toggled.connect(self._details.setVisible)
        self._close.clicked.connect(self.clear)
        self._details.document().documentLayout().documentSizeChanged.connect(self._fit)
        self._action.clicked.connect(self._on_action)

    def _fit(self, size: QSizeF) -> None:
        """A plain text's size counts lines, those that were wrapped too."""
        lines_px = int(size.height()) * self._details.fontMetrics().lineSpacing()
        self._details.setFixedHeight(min(scaled(DETAILS_PX), lines_px + 20))

    def _on_action(self) -> None:
        if self.problem is not None:
            self.remedy_chosen.emit(self.problem.remedy)
