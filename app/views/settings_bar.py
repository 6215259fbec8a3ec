"""The bar above the conversation: its title, and how the next answers are made."""

from dataclasses import replace

from PySide6.QtCore import QRegularExpression, QSize, Qt, Signal
from PySide6.QtGui import QRegularExpressionValidator
from PySide6.QtWidgets import QDoubleSpinBox, QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from app import icons
from app.conversation import Drafter, Lookahead, Settings
from app.theme import Palette
from app.typography import scaled
from app.views.choice_box import ChoiceBox
from app.views.drafter_words import EVERYWHERE, drafter_name
from app.views.elided_label import ElidedLabel

MAX_LOOKAHEAD = 32
MAX_SEED_DIGITS = 10
SEED_PX = 108
TEMPERATURE_PX = 56
LOOKAHEAD_PX = 112
LOOKAHEAD_TIP = """How tokens are guessed ahead: it changes the speed, never the words.
Auto: by the draft model or the n-gram, whichever pays, as many as pay, none where none does
Draft model: only a small model guesses
N-gram: only what stood in the text before is guessed
Off: nothing is guessed, plain decoding
1 to 32: always that many"""


class SettingsBar(QFrame):
    """The chat's title, temperature, lookahead and seed; the switches of both sides.

    Signals:
        new_chosen: the button for a new chat was pressed.
        settings_changed: a Settings, after every change.
        details_chosen: all settings of the chat are wanted.
        sidebar_toggled: whether the list of chats is to show.
        panel_toggled: whether the panel beside is to show.
    """

    new_chosen = Signal()
    settings_changed = Signal(object)
    details_chosen = Signal()
    sidebar_toggled = Signal(bool)
    panel_toggled = Signal(bool)

    def __init__(self, palette: Palette, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("topBar")
        self._base = Settings()
        self.sidebar = self._switch(self.tr("Show the chats"), self.tr("Show or hide the list of chats"))
        self._new = self._switch(self.tr("New chat"), self.tr("New chat"))
        self._new.setCheckable(False)
        self._title = ElidedLabel()
        self._title.setProperty("role", "chatTitle")
        self.temperature = QDoubleSpinBox(minimum=0, maximum=2, singleStep=0.1, decimals=2, value=0.7)
        self.temperature.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.lookahead = _LookaheadBox(palette)
        self.seed = QLineEdit(placeholderText=self.tr("random"), clearButtonEnabled=False)
        self.seed.setValidator(QRegularExpressionValidator(QRegularExpression(rf"\d{{0,{MAX_SEED_DIGITS}}}"), self))
        self.seed.setFixedWidth(SEED_PX)
        self._temperature_label = QLabel(self.tr("Temperature"))
        self.details = self._switch(self.tr("Chat settings"), self.tr("System prompt and sampling of this chat"))
        self.details.setCheckable(False)
        shown = self.tr("Show or hide the lookahead panel")
        self.panel = self._switch(self.tr("Show the lookahead panel"), shown)
        self._build()
        self.wear(palette)

    @property
    def settings(self) -> Settings:
        """What is set."""
        seed = int(self.seed.text()) if self.seed.hasAcceptableInput() and self.seed.text() else None
        drafter, lookahead = self.lookahead.value
        temperature = round(self.temperature.value(), 2)
        return replace(self._base, temperature=temperature, lookahead=lookahead, drafter=drafter, seed=seed)

    def show_settings(self, settings: Settings) -> None:
        """Show the settings of another chat."""
        self._base = settings
        self.blockSignals(True)
        self.temperature.setValue(settings.temperature)
        self.lookahead.choose(settings.drafter, settings.lookahead)
        self.seed.setText("" if settings.seed is None else str(settings.seed))
        self.blockSignals(False)

    def show_title(self, title: str) -> None:
        """Tell which chat is open."""
        self._title.show_text(title)

    def use_seed(self, seed: int) -> None:
        """Write a seed into its field."""
        self.seed.setText(str(seed))

    def set_narrow(self, is_narrow: bool) -> None:
        """In a narrow window the words give way, and there is no room for a panel."""
        self.panel.setVisible(not is_narrow)
        self._temperature_label.setText(self.tr("Temp.") if is_narrow else self.tr("Temperature"))
        self.seed.setFixedWidth(scaled(SEED_PX - 16 if is_narrow else SEED_PX))

    def wear(self, palette: Palette) -> None:
        """Put on other colours."""
        self.sidebar.setIcon(icons.icon("sidebar", palette.text))
        self._new.setIcon(icons.icon("new", palette.text))
        self.details.setIcon(icons.icon("sliders", palette.text))
        self.panel.setIcon(icons.icon("panel", palette.text))
        self.lookahead.wear(palette)
        self.temperature.setFixedWidth(scaled(TEMPERATURE_PX))
        self.lookahead.setFixedWidth(scaled(LOOKAHEAD_PX))

    def _build(self) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(6)
        layout.addWidget(self.sidebar)
        layout.addWidget(self._new)
        layout.addSpacing(4)
        layout.addWidget(self._title, 1)
        fields: tuple[tuple[str, QWidget, str], ...] = (
            ("Temperature", self.temperature, "0 always takes the likeliest token; more is more varied"),
            ("Lookahead", self.lookahead, LOOKAHEAD_TIP),
            ("Seed", self.seed, "The same question and seed bring the same words. Empty: another seed each time"),
        )
        for name, field, tip in fields:
            label = self._temperature_label if field is self.temperature else QLabel(name)
            label.setProperty("role", "muted")
            label.setBuddy(field)
            field.setAccessibleName(name)
            for widget in (label, field):
                widget.setToolTip(tip)
            layout.addWidget(label)
            layout.addWidget(field)
            layout.addSpacing(8)
        layout.addWidget(self.details)
        layout.addWidget(self.panel)
        self._new.clicked.connect(self.new_chosen)
        self.details.clicked.connect(self.details_chosen)
        self.sidebar.toggled.connect(self.sidebar_toggled)
        self.sidebar.toggled.connect(lambda is_on: self._new.setVisible(not is_on))
        self.panel.toggled.connect(self.panel_toggled)
        for signal in (self.temperature.valueChanged, self.lookahead.currentIndexChanged, self.seed.textChanged):
            signal.connect(lambda: self.settings_changed.emit(self.settings))

    def _switch(self, name: str, tip: str) -> QPushButton:
        button = QPushButton(checkable=True)
        button.setAccessibleName(name)
        button.setToolTip(tip)
        button.setFixedSize(34, 30)
        button.setIconSize(QSize(18, 18))
        return button


class _LookaheadBox(ChoiceBox):
    """Auto, one drafter, Off, 1 to 32."""

    def __init__(self, palette: Palette) -> None:
        super().__init__(palette)
        ways: tuple[tuple[str, Drafter], ...] = (
            *((drafter_name(drafter), drafter) for drafter in EVERYWHERE[:-1]),
            (self.tr("Off"), "none"),
        )
        self._values: dict[str, tuple[Drafter, Lookahead]] = {name: (drafter, "auto") for name, drafter in ways}
        self._values |= {str(length): ("auto", length) for length in range(1, MAX_LOOKAHEAD + 1)}
        self._shown: tuple[str, tuple[Drafter, Lookahead]] = ("", ("auto", "auto"))
        self.addItems(list(self._values))
        self.insertSeparator(len(ways))
        self.setMaxVisibleItems(12)

    @property
    def value(self) -> tuple[Drafter, Lookahead]:
        """What is chosen."""
        name, shown = self._shown
        return shown if self.currentText() == name else self._values[self.currentText()]

    def choose(self, drafter: Drafter, lookahead: Lookahead) -> None:
        """Show what is set; a fixed length is shown without its drafter, which stays until another line is chosen."""
        wanted = (drafter, lookahead) if lookahead == "auto" else ("auto", lookahead)
        if wanted not in self._values.values():  # a head, chosen in the panel
            self._values[drafter_name(drafter)] = wanted
            self.addItem(drafter_name(drafter))
        name = next(name for name, value in self._values.items() if value == wanted)
        self._shown = name, (drafter, lookahead)
        self.setCurrentText(name)
