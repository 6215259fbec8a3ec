"""A process that fetches one model, to be killed at will.

`python -m tests.hub.fetch_process ENDPOINT CACHE REPO` prints how it ended, and what its memory grew by in bytes over
what it had when everything was imported.
"""

import resource
import sys
from dataclasses import replace
from pathlib import Path

from mlx_spec.models.library.access import HubAccess
from tests.hub.fetching import HASTY, fetch


def _peak_bytes() -> int:
    """The most memory this process has had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def fetch_here(endpoint: str, cache: Path, repo_id: str) -> None:
    """Fetch in this process, which ends with code 0 where that succeeded."""
    status = fetch(repo_id, HubAccess(endpoint, None, cache), replace(HASTY, read_timeout_s=20.0))
    if status.state != "done":
        sys.exit(f"{status}")


if __name__ == "__main__":
    idle = _peak_bytes()
    fetch_here(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    print(_peak_bytes() - idle)  # noqa: T201
