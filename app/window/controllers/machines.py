"""Where machines that are found or ask meet a window."""

from PySide6.QtCore import QObject

from app.engine.process import EngineProcess
from app.machines import MachinesViewModel
from app.machines.views import MachinesDialog
from app.window.frame import MainWindow
from app.window.memory import engine_options


class MachinesController(QObject):
    """Belongs to one window; what it shows is shared by all."""

    def __init__(self, window: MainWindow, engine: EngineProcess, machines: MachinesViewModel) -> None:
        super().__init__(window)
        self._window, self._engine, self.machines = window, engine, machines
        self.dialog: MachinesDialog | None = None
        menus = window.menus
        menus.add(menus.file, ("machines", self.tr("Engine on Several Macs…"), None, self.show))

    def show(self) -> None:
        """Show the machines."""
        if self.dialog is None:
            self.dialog = MachinesDialog(self.machines, self._window.theme.palette, self._window)
            self._window.theme.changed.connect(self.dialog.apply_palette)
            self.dialog.finished.connect(self._use)
        self.dialog.show()
        self.dialog.raise_()

    def _use(self) -> None:
        """Where the engine is split, and over other machines now, it starts again."""
        options, engine = engine_options(self._window.memory), self._engine
        if engine.remote is None and options != engine.options:
            engine.stop()
            engine.options = options
            engine.start()
