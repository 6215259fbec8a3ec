"""Asks the engine which machines answer together, while somebody looks."""

from typing import Any

from app.engine.pages.group.records import Group, parse_group
from app.engine.pages.watching import PageClient

POLL_MS = 1_000


class GroupClient(PageClient):
    """Tells a Group; None where the engine answers alone."""

    path = "/v1/group"
    poll_ms = POLL_MS

    def parsed(self, page: Any) -> Group:
        """See PageClient."""
        return parse_group(page)
