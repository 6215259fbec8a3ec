"""Settings that have a name."""

from app.engine.request import Settings
from app.store.records import settings_from_json, settings_to_json
from app.store.session import Session


class PresetTable:
    """Named settings, by which a chat's own can be replaced."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> dict[str, Settings]:
        """Every preset, by name in the order of the alphabet."""
        rows = self._session.read("SELECT name, settings FROM preset ORDER BY name COLLATE NOCASE")
        return {str(name): settings_from_json(settings) for name, settings in rows}

    def save(self, name: str, settings: Settings) -> None:
        """Keep `settings` as `name`, in place of an earlier one of that name."""
        self._session.change("INSERT OR REPLACE INTO preset VALUES (?, ?)", (name, settings_to_json(settings)))

    def delete(self, name: str) -> None:
        """Forget a preset."""
        self._session.change("DELETE FROM preset WHERE name = ?", (name,))
