"""Asks the engine which answers it makes at this moment, once or again and again."""

from PySide6.QtCore import QObject

from app.engine.pages.batch.records import parse_batch
from app.engine.pages.watching import PageClient

POLL_MS = 400


class BatchClient(PageClient):
    """Tells a Batch; None where the engine has no such page, as older ones have not."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__("/v1/batch", POLL_MS, parse_batch, parent)
