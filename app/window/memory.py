"""What the window remembers from one run to the next."""

import json
import os
import socket
from pathlib import Path
from typing import Any

from platformdirs import user_config_path
from PySide6.QtCore import QByteArray, QSettings

from app.look.theme import CHOICES, Appearance
from app.look.typography import SCALES


def settings_file() -> Path:
    """`window.ini` in $LOOKAHEAD_HOME when that is set, else in the user's configuration folder."""
    home = os.environ.get("LOOKAHEAD_HOME")
    return (Path(home) if home else user_config_path("Lookahead", appauthor=False)) / "window.ini"


class WindowMemory:
    """Geometry, what shows at the sides, the appearance, where the engine is, and what it loads."""

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
    def shows_sidebar(self) -> bool:
        """Whether the chats beside the conversation show."""
        return str(self._settings.value("sidebar", "true")) == "true"

    @shows_sidebar.setter
    def shows_sidebar(self, value: bool) -> None:
        self._settings.setValue("sidebar", "true" if value else "false")

    @property
    def has_begun(self) -> bool:
        """Whether somebody has begun to chat: until then the first page shows."""
        return str(self._settings.value("begun", "no")) == "yes"

    @has_begun.setter
    def has_begun(self, value: bool) -> None:
        self._settings.setValue("begun", "yes" if value else "no")

    @property
    def open_chat(self) -> int | None:
        """The chat that was open last."""
        value = str(self._settings.value("chat", ""))
        return int(value) if value.isdecimal() else None

    @open_chat.setter
    def open_chat(self, value: int | None) -> None:
        self._settings.setValue("chat", "" if value is None else str(value))

    @property
    def font_scale(self) -> float:
        """How much larger than usual all text is."""
        try:
            chosen = float(str(self._settings.value("font", "1")))
        except ValueError:
            return 1.0
        return chosen if chosen in SCALES else 1.0

    @font_scale.setter
    def font_scale(self, value: float) -> None:
        self._settings.setValue("font", str(value))

    @property
    def high_contrast(self) -> bool:
        """Whether stronger colours are used."""
        return str(self._settings.value("contrast", "usual")) == "high"

    @high_contrast.setter
    def high_contrast(self, value: bool) -> None:
        self._settings.setValue("contrast", "high" if value else "usual")

    @property
    def remote_url(self) -> str:
        """Where the engine is that answers in place of one on this computer; empty for none."""
        return str(self._settings.value("remote", ""))

    @remote_url.setter
    def remote_url(self, value: str) -> None:
        self._settings.setValue("remote", value)

    @property
    def is_several(self) -> bool:
        """Whether the engine of this computer is split over several machines."""
        return str(self._settings.value("several", "no")) == "yes"

    @is_several.setter
    def is_several(self, value: bool) -> None:
        self._settings.setValue("several", "yes" if value else "no")

    @property
    def group_hosts(self) -> tuple[str, ...]:
        """The other machines that it is split over, by name."""
        try:
            kept = json.loads(str(self._settings.value("group_hosts", "[]")))
        except ValueError:
            return ()
        return tuple(one for one in kept if isinstance(one, str)) if isinstance(kept, list) else ()

    @group_hosts.setter
    def group_hosts(self, value: tuple[str, ...]) -> None:
        self._settings.setValue("group_hosts", json.dumps(list(value)))

    @property
    def is_offered(self) -> bool:
        """Whether other machines may ask to use this one."""
        return str(self._settings.value("offered", "no")) == "yes"

    @is_offered.setter
    def is_offered(self, value: bool) -> None:
        self._settings.setValue("offered", "yes" if value else "no")

    @property
    def unload_after_min(self) -> int:
        """After how many idle minutes the engine lets its models go; 0 for never."""
        value = str(self._settings.value("unload_after", "0"))
        return int(value) if value.isdecimal() else 0

    @unload_after_min.setter
    def unload_after_min(self, value: int) -> None:
        self._settings.setValue("unload_after", str(value))

    @property
    def keeps_on_disk(self) -> bool:
        """Whether the engine keeps on disk what it has read."""
        return str(self._settings.value("prefix_disk", "on")) == "on"

    @keeps_on_disk.setter
    def keeps_on_disk(self, value: bool) -> None:
        self._settings.setValue("prefix_disk", "on" if value else "off")

    @property
    def models(self) -> str:
        """What the engine loads, as LoadedModels wrote it; empty for what comes with Lookahead."""
        return str(self._settings.value("models", ""))

    @models.setter
    def models(self, value: str) -> None:
        self._settings.setValue("models", value)

    @property
    def looks_for_updates(self) -> bool:
        """Whether somebody agreed to have newer versions looked for."""
        return str(self._settings.value("updates", "no")) == "yes"

    @looks_for_updates.setter
    def looks_for_updates(self, value: bool) -> None:
        self._settings.setValue("updates", "yes" if value else "no")

    @property
    def update_asked_s(self) -> float:
        """When that was done last, in seconds since 1970; 0 for never."""
        try:
            return float(str(self._settings.value("update_asked", "0")))
        except ValueError:
            return 0.0

    @update_asked_s.setter
    def update_asked_s(self, value: float) -> None:
        self._settings.setValue("update_asked", str(value))

    @property
    def update_skipped(self) -> str:
        """The version that is not to be told of again."""
        return str(self._settings.value("update_skipped", ""))

    @update_skipped.setter
    def update_skipped(self, value: str) -> None:
        self._settings.setValue("update_skipped", value)

    @property
    def races(self) -> dict[str, Any]:
        """The last race with each choice of models, by what the engine was told to load."""
        try:
            kept = json.loads(str(self._settings.value("races", "{}")))
        except ValueError:
            return {}
        return kept if isinstance(kept, dict) else {}

    @races.setter
    def races(self, value: dict[str, Any]) -> None:
        self._settings.setValue("races", json.dumps(value))

    @property
    def appearance(self) -> Appearance:
        """$LOOKAHEAD_THEME when that is set, else what was chosen."""
        chosen = os.environ.get("LOOKAHEAD_THEME") or self._settings.value("appearance")
        return next((choice for choice in CHOICES if choice == chosen), "system")

    @appearance.setter
    def appearance(self, value: Appearance) -> None:
        self._settings.setValue("appearance", value)


def engine_options(memory: WindowMemory) -> tuple[str, ...]:
    """What the engine of this computer is started with besides its models."""
    kept = () if memory.keeps_on_disk else ("--prefix-disk", "0")
    if memory.is_several and memory.group_hosts:
        return (*kept, "--hosts", ",".join((socket.gethostname(), *memory.group_hosts)), "--backend", "ring")
    return kept
