"""The bar above the conversation: its title, and how the next answers are made."""

from dataclasses import replace
from functools import partial

from PySide6.QtCore import QT_TRANSLATE_NOOP, QRegularExpression, QSize, Qt, Signal
from PySide6.QtGui import QRegularExpressionValidator, QResizeEvent
from PySide6.QtWidgets import QDoubleSpinBox, QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from app.engine.drafters import EVERYWHERE, drafter_name
from app.engine.request import Drafter, Lookahead, Settings
from app.look import icons
from app.look.theme import Palette
from app.look.typography import scaled, widened
from app.look.widgets.arrangements import Arrangements
from app.look.widgets.choice_box import ChoiceBox
from app.look.widgets.elided_label import ElidedLabel

MAX_LOOKAHEAD = 32
MAX_SEED_DIGITS = 10
SEED_PX = 92
TITLE_PX = 88  # kept for the title while there are words to leave out
TEMPERATURE_PX = 56
LOOKAHEAD_PX = 112
LOOKAHEAD_TIP = QT_TRANSLATE_NOOP(
    "SettingsBar",
    """How tokens are guessed ahead: it changes the speed, never the words.
Auto: by the draft model or the n-gram, whichever pays, as many as pay, none where none does
Draft model: only a small model guesses
N-gram: only what stood in the text before is guessed
Off: nothing is guessed, plain decoding
1 to 32: always that many""",
)


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
        self._labels = [QLabel(), QLabel(self.tr("Lookahead")), QLabel(self.tr("Seed"))]
        self.details = self._switch(self.tr("Chat settings"), self.tr("System prompt and sampling of this chat"))
        self.details.setCheckable(False)
        shown = self.tr("Show or hide the lookahead panel")
        self.panel = self._switch(self.tr("Show the lookahead panel"), shown)
        self._build()
        self.apply_palette(palette)

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

    def set_panel_possible(self, is_possible: bool) -> None:
        """Whether there is room for a panel to show."""
        if self.panel.isHidden() == is_possible:
            self.panel.setVisible(is_possible)
            self._fit(anew=True)

    def apply_palette(self, palette: Palette) -> None:
        """Put on other colours."""
        self.sidebar.setIcon(icons.icon("sidebar", palette.text))
        self._new.setIcon(icons.icon("new", palette.text))
        self.details.setIcon(icons.icon("sliders", palette.text))
        self.panel.setIcon(icons.icon("panel", palette.text))
        self.lookahead.apply_palette(palette)
        self.temperature.setFixedWidth(scaled(TEMPERATURE_PX))
        self.lookahead.setFixedWidth(scaled(LOOKAHEAD_PX))
        self.seed.setFixedWidth(scaled(SEED_PX))
        self._fit(anew=True)

    def _build(self) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(6)
        layout.addWidget(self.sidebar)
        layout.addWidget(self._new)
        layout.addSpacing(4)
        layout.addWidget(self._title, 1)
        varied = self.tr("0 always takes the likeliest token; more is more varied")
        same = self.tr("The same question and seed bring the same words. Empty: another seed each time")
        fields: tuple[tuple[str, QWidget, str], ...] = (
            (self.tr("Temperature"), self.temperature, varied),
            (self.tr("Lookahead"), self.lookahead, self.tr(LOOKAHEAD_TIP)),
            (self.tr("Seed"), self.seed, same),
        )
        for (name, field, tip), label in zip(fields, self._labels, strict=True):
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
        # In a narrow window the words give way, and then the seed.
        ways = ((self.tr("Temperature"), True, True), (self.tr("Temp."), True, True), ("", False, True))
        arrange = [partial(self._arrange, *way) for way in (*ways, ("", False, False))]
        self._arrangements = Arrangements(layout, arrange)
        self._new.clicked.connect(self.new_chosen)
        self.details.clicked.connect(self.details_chosen)
        self.sidebar.toggled.connect(self.sidebar_toggled)
        self.sidebar.toggled.connect(self._on_sidebar)
        self.panel.toggled.connect(self.panel_toggled)
        for signal in (self.temperature.valueChanged, self.lookahead.currentIndexChanged, self.seed.textChanged):
            signal.connect(lambda: self.settings_changed.emit(self.settings))

    def _arrange(self, temperature: str, has_labels: bool, has_seed: bool) -> None:
        self._labels[0].setText(temperature)
        for label in self._labels:
            label.setVisible(has_labels)
        self.seed.setVisible(has_seed)

    def _fit(self, *, anew: bool) -> None:
        if anew:
            self._arrangements.forget()
        self._arrangements.fit(self.width() - widened(TITLE_PX))

    def _switch(self, name: str, tip: str) -> QPushButton:
        button = QPushButton(checkable=True)
        button.setAccessibleName(name)
        button.setToolTip(tip)
        button.setFixedSize(34, 30)
        button.setIconSize(QSize(18, 18))
        return button

    def _on_sidebar(self, is_on: bool) -> None:
        self._new.setVisible(not is_on)
        self._fit(anew=True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave words out where there is no room for them."""
        super().resizeEvent(event)
        self._fit(anew=False)


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
