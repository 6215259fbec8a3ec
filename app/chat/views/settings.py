"""How a chat's answers are made: its system prompt, its sampling, and presets of both."""

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.engine.request import Settings
from app.look.theme import Palette
from app.look.typography import scaled
from app.look.widgets.choice_box import ChoiceBox
from app.look.widgets.dialog_buttons import ok_and_cancel
from app.store import PresetTable


class ChatSettings(QDialog):
    """Edits a Settings; `settings` is what is set when it was accepted."""

    def __init__(
        self, settings: Settings, presets: PresetTable, palette: Palette, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Chat settings"))
        self._base, self._presets = settings, presets
        self.system = QPlainTextEdit(placeholderText=self.tr("For example: Answer in one paragraph, in plain words."))
        self.system.setObjectName("systemPrompt")
        self.system.setTabChangesFocus(True)
        self.system.setMinimumHeight(scaled(96))
        self.temperature = QDoubleSpinBox(minimum=0, maximum=2, singleStep=0.1, decimals=2)
        self.top_p = QDoubleSpinBox(minimum=0.01, maximum=1, singleStep=0.05, decimals=2)
        self.top_k = QSpinBox(minimum=0, maximum=10_000, specialValueText=self.tr("Off"))
        self.min_p = QDoubleSpinBox(minimum=0, maximum=1, singleStep=0.01, decimals=2, specialValueText=self.tr("Off"))
        self.max_tokens = QSpinBox(minimum=1, maximum=1_000_000, singleStep=256)
        self.preset = ChoiceBox(palette)
        self._save, self._delete = QPushButton(self.tr("Save as…")), QPushButton(self.tr("Delete"))
        self._build()
        self._list_presets()
        self.show_settings(settings)

    @property
    def settings(self) -> Settings:
        """What is set; what is set elsewhere stays."""
        return replace(
            self._base,
            system=self.system.toPlainText().strip(),
            temperature=round(self.temperature.value(), 2),
            top_p=round(self.top_p.value(), 2),
            top_k=self.top_k.value(),
            min_p=round(self.min_p.value(), 2),
            max_tokens=self.max_tokens.value(),
        )

    def show_settings(self, settings: Settings) -> None:
        """Show other settings in the fields."""
        self._base = settings
        self.system.setPlainText(settings.system)
        self.temperature.setValue(settings.temperature)
        self.top_p.setValue(settings.top_p)
        self.top_k.setValue(settings.top_k)
        self.min_p.setValue(settings.min_p)
        self.max_tokens.setValue(settings.max_tokens)

    def save_preset(self, name: str) -> None:
        """Keep what is set under a name; the seed is not part of it."""
        if name.strip():
            self._presets.save(name.strip(), replace(self.settings, seed=None))
            self._list_presets()
            self.preset.setCurrentText(name.strip())

    def _build(self) -> None:
        grid = QGridLayout()
        grid.setVerticalSpacing(12)
        grid.setHorizontalSpacing(16)
        grid.setColumnStretch(2, 1)
        grid.addWidget(_label(self.tr("Preset"), self.preset), 0, 0)
        grid.addLayout(self._preset_row(), 0, 1, 1, 2)
        fields: tuple[tuple[str, QWidget, str], ...] = (
            (self.tr("System prompt"), self.system, self.tr("Read by the model before the first question")),
            (self.tr("Temperature"), self.temperature, self.tr("0 always takes the likeliest token")),
            (self.tr("Top p"), self.top_p, self.tr("Only the likeliest tokens that together have this probability")),
            (self.tr("Top k"), self.top_k, self.tr("Only so many of the likeliest tokens")),
            (self.tr("Min p"), self.min_p, self.tr("Only tokens with this share of the likeliest one's probability")),
            (self.tr("Longest answer"), self.max_tokens, self.tr("In tokens")),
        )
        for row, (name, field, tip) in enumerate(fields, 1):
            field.setAccessibleName(name)
            field.setToolTip(tip)
            grid.addWidget(_label(name, field), row, 0)
            if field is self.system:
                grid.addWidget(field, row, 1, 1, 2)
                continue
            hint = QLabel(tip, wordWrap=True)
            hint.setProperty("role", "muted")
            field.setFixedWidth(scaled(96))
            field.lineEdit().setTextMargins(6, 0, 6, 0)  # a style sheet has no say inside a spin box
            grid.addWidget(field, row, 1)
            grid.addWidget(hint, row, 2)
        buttons = ok_and_cancel(self)
        for button in (self._save, self._delete):
            button.setProperty("role", "outline")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 24)
        layout.setSpacing(24)
        layout.addLayout(grid)
        layout.addWidget(buttons)
        self.setMinimumWidth(scaled(580))

    def _preset_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.preset, 1)
        row.addWidget(self._save)
        row.addWidget(self._delete)
        self.preset.setAccessibleName(self.tr("Preset"))
        self.preset.activated.connect(self._on_preset)
        self._save.clicked.connect(self._on_save)
        self._delete.clicked.connect(self._on_delete)
        return row

    def _list_presets(self) -> None:
        self.preset.clear()
        self.preset.addItem(self.tr("Choose one…"))
        self.preset.addItems(list(self._presets.all()))
        self._delete.setEnabled(False)

    def _on_preset(self, index: int) -> None:
        self._delete.setEnabled(index > 0)
        if (found := self._presets.all().get(self.preset.currentText())) is not None and index > 0:
            self.show_settings(replace(found, seed=self._base.seed))

    def _on_save(self) -> None:
        name, is_given = QInputDialog.getText(self, self.tr("Save preset"), self.tr("Name"))
        if is_given:
            self.save_preset(name)

    def _on_delete(self) -> None:
        if self.preset.currentIndex() > 0:
            self._presets.delete(self.preset.currentText())
            self._list_presets()

    def showEvent(self, event: QShowEvent) -> None:
        """Be high enough for hints of two lines, of which a dialog's own measure knows nothing."""
        super().showEvent(event)
        self.resize(self.width(), max(self.height(), self.layout().totalHeightForWidth(self.width())))


def _label(name: str, field: QWidget) -> QLabel:
    """The name of a field: at its left, as high as its first line."""
    label = QLabel(name)
    label.setBuddy(field)
    is_tall = isinstance(field, QPlainTextEdit)
    upright = Qt.AlignmentFlag.AlignTop if is_tall else Qt.AlignmentFlag.AlignVCenter
    label.setAlignment(Qt.AlignmentFlag.AlignRight | upright)
    label.setContentsMargins(0, 9 if is_tall else 0, 0, 0)
    return label
