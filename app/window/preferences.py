"""The settings of the application: how it looks, which engine answers, and how long that keeps its models."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from app.engine.network import EngineAddress
from app.engine.process import EngineProcess
from app.engine.remote import AddressError, forget_token, keep_token, parse_address, read_token
from app.look.theme import CHOICES, Theme
from app.look.typography import SCALES, scale, scaled
from app.look.widgets.choice_box import ChoiceBox
from app.look.widgets.dialog_buttons import ok_and_cancel
from app.look.widgets.tick_box import TickBox
from app.machines import MachinesViewModel
from app.machines.views import MachinesDialog
from app.models import LoadedModels
from app.upkeep import UpdatesViewModel
from app.upkeep.views import UpdateConsent
from app.window.memory import WindowMemory, engine_options

UNLOAD_MINUTES = (0, 10, 30, 120)


class Preferences(QDialog):
    """What is chosen acts at once, but for what starts the engine again, which waits until the window is accepted."""

    def __init__(
        self,
        theme: Theme,
        memory: WindowMemory,
        engine: EngineProcess,
        loaded: LoadedModels,
        parent: QWidget | None = None,
        *,
        updates: UpdatesViewModel | None = None,
        machines: MachinesViewModel | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Settings"))
        self._theme, self._memory, self._engine, self._loaded = theme, memory, engine, loaded
        self.appearance, self.size = ChoiceBox(theme.palette), ChoiceBox(theme.palette)
        self.contrast = TickBox(self.tr("Stronger contrast"), theme.palette)
        self.unloading = ChoiceBox(theme.palette)
        self.keeping = TickBox(self.tr("Keep what was read on disk"), theme.palette)
        self._keeping_words = QLabel()  # one line: a form gives no room for lines that are broken
        self._keeping_words.setProperty("role", "muted")
        self.local = QRadioButton(self.tr("On this computer"))
        self.several = QRadioButton(self.tr("On several Macs"))
        self.remote = QRadioButton(self.tr("On another computer"))
        self.choosing = QPushButton(self.tr("Machines…"), autoDefault=False)
        self.choosing.setProperty("role", "outline")
        self._machines = machines
        self.consent = UpdateConsent(updates, theme.palette) if updates is not None else None
        self.url = QLineEdit(placeholderText="http://big-mac.local:8080")
        self.token = QLineEdit(echoMode=QLineEdit.EchoMode.Password)
        self.wrong = QLabel(wordWrap=True)
        self.wrong.setProperty("role", "wrong")
        self._build()
        self._show()
        self._connect()

    def accept(self) -> None:
        """Use the engine that is set; a bad address is told and nothing changes."""
        if self.several.isChecked() and not self._memory.group_hosts:
            self._refuse(self.tr("Choose the machines first."), self.choosing)
            return
        if not self.remote.isChecked():
            forget_token(self._memory.remote_url)
            self._memory.remote_url = ""
            self._memory.is_several = self.several.isChecked()
            self._use(None)
        else:
            try:
                url = parse_address(self.url.text())
            except AddressError as error:
                self._refuse(str(error), self.url)
                return
            self._memory.remote_url = url
            keep_token(url, self.token.text().strip())
            self._use(EngineAddress(url, self.token.text().strip()))
        super().accept()

    def show_machines(self) -> None:
        """Find, join and choose the machines that the engine is split over."""
        if self._machines is not None:
            dialog = MachinesDialog(self._machines, self._theme.palette, self)
            self._theme.changed.connect(dialog.apply_palette)
            dialog.exec()

    def _refuse(self, why: str, field: QWidget) -> None:
        if self.consent is not None and self.isVisible():
            self.consent.setMinimumHeight(self.consent.height())  # or its broken lines would have to make room
        self.wrong.setText(why)
        self.wrong.show()
        field.setFocus()

    def _use(self, address: EngineAddress | None) -> None:
        self._memory.keeps_on_disk = self.keeping.isChecked()
        options = engine_options(self._memory)
        # An engine on another computer has options of its own: these wait until there is one here again.
        is_told = address is not None or options == self._engine.options
        if address != self._engine.remote or not is_told:
            self._engine.stop()
            self._engine.remote, self._engine.options = address, options
            self._engine.start()

    def _build(self) -> None:
        names = {"system": self.tr("Like the system"), "light": self.tr("Light"), "dark": self.tr("Dark")}
        for choice in CHOICES:
            self.appearance.addItem(names[choice], choice)
        for factor in SCALES:
            self.size.addItem(f"{factor:.0%}", factor)
        for minutes in UNLOAD_MINUTES:
            after = self.tr("When idle for {} minutes").format(minutes)
            self.unloading.addItem(after if minutes else self.tr("When memory is short"), minutes)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 24)
        layout.setSpacing(24)
        layout.addLayout(self._form())
        layout.addWidget(ok_and_cancel(self))
        self.setMinimumWidth(scaled(460))
        self.wrong.hide()

    def _form(self) -> QFormLayout:
        form = QFormLayout()
        form.setVerticalSpacing(12)
        form.setHorizontalSpacing(16)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignRight)
        kinds = QButtonGroup(self)
        for button in (self.local, self.several, self.remote):
            kinds.addButton(button)
        several = QWidget()
        row = QHBoxLayout(several)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.several)
        row.addStretch()
        row.addWidget(self.choosing)
        self.several.setAccessibleName(self.tr("Engine on several Macs"))
        self.local.setAccessibleName(self.tr("Engine on this computer"))
        self.remote.setAccessibleName(self.tr("Engine on another computer"))
        rows: tuple[tuple[str, QWidget], ...] = (
            (self.tr("Appearance"), self.appearance),
            (self.tr("Text size"), self.size),
            ("", self.contrast),
            (self.tr("Unload models"), self.unloading),
            ("", self.keeping),
            ("", self._keeping_words),
            (self.tr("Engine"), self.local),
            ("", several),
            ("", self.remote),
            (self.tr("Address"), self.url),
            (self.tr("Token"), self.token),
            ("", self.wrong),
        )
        for name, field in rows:
            form.addRow(name, field)
            if field is self._keeping_words and self.consent is not None:
                form.addRow("", self.consent)
            if name and field is not self.local:
                field.setAccessibleName(name)
        return form

    def _show(self) -> None:
        self.appearance.setCurrentIndex(self.appearance.findData(self._theme.choice))
        self.size.setCurrentIndex(self.size.findData(scale()))
        self.contrast.setChecked(self._theme.is_high)
        told = self.tr("Long chats then go on at once after a restart")
        more = self.tr("A deleted chat takes with it what was kept. A change starts the engine again.")
        self._keeping_words.setText(told)
        self.keeping.setToolTip(more)
        self.keeping.setAccessibleDescription(f"{told}. {more}")
        self.keeping.setChecked(self._memory.keeps_on_disk)
        self.unloading.setCurrentIndex(max(self.unloading.findData(self._loaded.unload_after_min), 0))
        remote = self._engine.remote
        is_several = remote is None and self._memory.is_several
        (self.several if is_several else self.local if remote is None else self.remote).setChecked(True)
        self.url.setText(remote.url if remote else self._memory.remote_url)
        self.token.setText(remote.api_key if remote else read_token(self._memory.remote_url))
        self._show_engine()

    def _show_engine(self) -> None:
        for field in (self.url, self.token):
            field.setEnabled(self.remote.isChecked())
        for field in (self.unloading, self.keeping):
            field.setEnabled(not self.remote.isChecked())
        self.choosing.setEnabled(self._machines is not None and self.several.isChecked())

    def _connect(self) -> None:
        self.appearance.currentIndexChanged.connect(self._on_appearance)
        self.size.currentIndexChanged.connect(lambda _: self._theme.set_scale(self.size.currentData()))
        self.contrast.toggled.connect(self._on_contrast)
        self.unloading.currentIndexChanged.connect(lambda _: self._loaded.unload_after(self.unloading.currentData()))
        self.choosing.clicked.connect(self.show_machines)
        for kind in (self.remote, self.several):
            kind.toggled.connect(self._show_engine)
        for box in (self.appearance, self.size, self.contrast, self.unloading, self.keeping):
            self._theme.changed.connect(box.apply_palette)

    def _on_appearance(self) -> None:
        self._memory.appearance = self.appearance.currentData()
        self._theme.choose(self.appearance.currentData())

    def _on_contrast(self, is_high: bool) -> None:
        self._memory.high_contrast = is_high
        self._theme.set_high(is_high)
