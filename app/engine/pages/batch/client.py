"""Asks the engine which answers it makes at this moment, once or again and again."""

from typing import Any

from app.engine.pages.batch.records import Batch, parse_batch
from app.engine.pages.watching import PageClient

POLL_MS = 400


class BatchClient(PageClient):
    """Tells a Batch; None where the engine has no such page, as older ones have not."""

    path = "/v1/batch"
    poll_ms = POLL_MS

    def parsed(self, page: Any) -> Batch:
        """See PageClient."""
        return parse_batch(page)
