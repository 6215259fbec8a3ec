"""Asks the engine which machines answer together, while somebody looks."""

from PySide6.QtCore import QObject

from app.engine.pages.group.records import parse_group
from app.engine.pages.watching import PageClient

POLL_MS = 1_000


class GroupClient(PageClient):
    """Tells a Group; None where the engine answers alone."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__("/v1/group", POLL_MS, parse_group, parent)
