"""What the window remembers from one run to the next."""

import os
from pathlib import Path

from platformdirs import user_config_path
from PySide6.QtCore import QByteArray, QSettings

from app.theme import CHOICES, Choice


def settings_file() -> Path:
    """`window.ini` in $LOOKAHEAD_HOME when that is set, else in the user's configuration folder."""
    home = os.environ.get("LOOKAHEAD_HOME")
    return (Path(home) if home else user_config_path("Lookahead", appauthor=False)) / "window.ini"


class WindowMemory:
    """Geometry, the panel, and the appearance."""

    def __init__(self, path: Path | None = None) -> None:
        self._settings = QSettings(str(path or settings_file()), QSettings.Format.IniFormat)

    @property
    def geometry(self) -> QByteArray | None:
        """What QWidget.saveGeometry gave."""
        value = self._settings.value("geometry")
        return value if isinstance(value, QByteArray) else None

    @geometry.setter
    def geometry(self, value: QByteArray) -> None:
        self._settings.setValue("geometry", value)

    @property
    def shows_panel(self) -> bool:
        """Whether the panel beside the conversation shows."""
        return str(self._settings.value("panel", "true")) == "true"

    @shows_panel.setter
    def shows_panel(self, value: bool) -> None:
        self._settings.setValue("panel", "true" if value else "false")

    @property
    def appearance(self) -> Choice:
        """$LOOKAHEAD_THEME when that is set, else what was chosen."""
        chosen = os.environ.get("LOOKAHEAD_THEME") or self._settings.value("appearance")
        return next((choice for choice in CHOICES if choice == chosen), "system")

    @appearance.setter
    def appearance(self, value: Choice) -> None:
        self._settings.setValue("appearance", value)
