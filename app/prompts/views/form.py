"""The form of a prompt file: a field for each of its variables, what it asks for, and Run."""

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.look.theme import Palette
from app.look.widgets.choice_box import ChoiceBox
from prompt_files import PromptFile, Variable

WIDTH_PX = 560
MAX_HEIGHT_PX = 640
TEASER_CHARS = 400

Field = QLineEdit | QPlainTextEdit | QComboBox


class PromptForm(QDialog):
    """Asks for the values of one prompt file, or once for those that several have in common.

    Signals:
        run_chosen: {name: value} of every variable. Whoever runs it accepts the form, or says why not.
    """

    run_chosen = Signal(object)

    def __init__(
        self, prompts: Sequence[PromptFile], palette: Palette, remark: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.prompts, self._palette = tuple(prompts), palette
        self.variables = common_variables(self.prompts)
        self.fields: dict[str, Field] = {}
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(WIDTH_PX)
        self.setMaximumHeight(MAX_HEIGHT_PX)
        one = self.prompts[0] if len(self.prompts) == 1 else None
        title = one.title if one else self.tr("{} prompts").format(len(self.prompts))
        self.setWindowTitle(title)
        heading = QLabel(title, wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        heading.setProperty("role", "title")
        about = QLabel(told_settings(one) if one else told_names(self.prompts), wordWrap=True)
        about.setTextFormat(Qt.TextFormat.PlainText)
        about.setProperty("role", "muted")
        self.run_button = QPushButton(
            self.tr("Run") if one else self.tr("Run {} prompts").format(len(self.prompts)), default=True
        )
        self.run_button.setProperty("role", "wide")
        self.run_button.clicked.connect(self._run)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(8)
        layout.addWidget(heading)
        layout.addWidget(about)
        self._remark = QLabel(wordWrap=True, objectName="remark", textFormat=Qt.TextFormat.PlainText)
        layout.addWidget(self._remark)
        self.show_remark(remark)
        layout.addSpacing(8)
        layout.addWidget(self._middle(one), 1)
        layout.addSpacing(8)
        layout.addLayout(self._buttons())
        self._check()

    def show_remark(self, remark: str) -> None:
        """Tell what stands against running it, or what will be different; empty for nothing."""
        self._remark.setText(remark)
        self._remark.setVisible(bool(remark))

    def values(self) -> dict[str, str]:
        """What the fields hold."""
        return {name: _value(field) for name, field in self.fields.items()}

    def fill(self, values: Mapping[str, str]) -> None:
        """Write values into the fields."""
        for name, value in values.items():
            field = self.fields[name]
            if isinstance(field, QComboBox):
                field.setCurrentText(value)
            elif isinstance(field, QPlainTextEdit):
                field.setPlainText(value)
            else:
                field.setText(value)

    def _middle(self, one: PromptFile | None) -> QWidget:
        if not self.variables:
            text = one.filled({})[0] if one else "\n\n".join(prompt.filled({})[0] for prompt in self.prompts)
            preview = QPlainTextEdit(text, readOnly=True, objectName="preview")
            preview.setAccessibleName(self.tr("The prompt"))
            return preview
        page = QWidget(objectName="column")
        form = QVBoxLayout(page)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        for variable in self.variables:
            field = self._field(variable)
            label = QLabel(variable.label, textFormat=Qt.TextFormat.PlainText)
            label.setProperty("role", "name")
            label.setBuddy(field)
            form.addWidget(label)
            form.addWidget(field)
            form.addSpacing(8)
        form.addStretch()
        area = QScrollArea(widgetResizable=True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setAccessibleName(self.tr("Variables"))
        area.setWidget(page)
        area.setMinimumHeight(min(page.sizeHint().height() + 8, MAX_HEIGHT_PX - 220))
        return area

    def _field(self, variable: Variable) -> Field:
        field: Field
        if variable.choices:
            field = ChoiceBox(self._palette)
            field.addItems(variable.choices)
            field.setCurrentText(variable.default or variable.choices[0])
            field.currentTextChanged.connect(self._check)
        elif variable.lines > 1:
            field = QPlainTextEdit(variable.default or "", objectName="formText")
            field.setFixedHeight(variable.lines * field.fontMetrics().lineSpacing() + 16)
            field.setTabChangesFocus(True)
            field.textChanged.connect(self._check)
        else:
            field = QLineEdit(variable.default or "")
            field.textChanged.connect(self._check)
        field.setAccessibleName(variable.label)
        self.fields[variable.name] = field
        return field

    def _buttons(self) -> QHBoxLayout:
        self._missing = QLabel()
        self._missing.setProperty("role", "muted")
        cancel = QPushButton(self.tr("Cancel"))
        cancel.setProperty("role", "outline")
        cancel.clicked.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(self._missing, 1)
        row.addWidget(cancel)
        row.addWidget(self.run_button)
        return row

    def _check(self) -> None:
        """Run can be pressed once every variable without a default has a value."""
        values = self.values()
        missing = [v.label for v in self.variables if v.default is None and not values.get(v.name, "").strip()]
        self.run_button.setEnabled(not missing)
        if hasattr(self, "_missing"):
            self._missing.setText(self.tr("Still to fill: {}").format(", ".join(missing)) if missing else "")

    def _run(self) -> None:
        self.run_chosen.emit(self.values())


def common_variables(prompts: Sequence[PromptFile]) -> tuple[Variable, ...]:
    """The variables of all prompts, each once by its name, as the first prompt with it has it."""
    found: dict[str, Variable] = {}
    for prompt in prompts:
        for variable in prompt.variables:
            found.setdefault(variable.name, variable)
    return tuple(found.values())


def told_settings(prompt: PromptFile) -> str:
    """What the file asks for, in words."""
    settings = prompt.settings
    parts = [
        prompt.path.name,
        QCoreApplication.translate("PromptForm", "temperature {0:g}").format(settings.temperature)
        if settings.temperature is not None
        else "",
        f"top-p {settings.top_p:g}" if settings.top_p is not None else "",
        QCoreApplication.translate("PromptForm", "at most {0:,} tokens").format(settings.max_tokens)
        if settings.max_tokens is not None
        else "",
        QCoreApplication.translate("PromptForm", "seed {0}").format(settings.seed) if settings.seed is not None else "",
        QCoreApplication.translate("PromptForm", "lookahead {0}").format(settings.lookahead)
        if settings.lookahead is not None
        else "",
        QCoreApplication.translate("PromptForm", "pair {0}").format(settings.pair) if settings.pair is not None else "",
        QCoreApplication.translate("PromptForm", "with a system prompt") if settings.system else "",
    ]
    return " · ".join(filter(None, parts))


def told_names(prompts: Sequence[PromptFile]) -> str:
    """The first few files by name, and how many there are besides."""
    names = [prompt.path.name for prompt in prompts[:4]]
    more = len(prompts) - len(names)
    return ", ".join(names) + (
        QCoreApplication.translate("PromptForm", " and {0} more").format(more) if more > 0 else ""
    )


def _value(field: Field) -> str:
    if isinstance(field, QComboBox):
        return field.currentText()
    return field.toPlainText() if isinstance(field, QPlainTextEdit) else field.text()
