"""A process that fetches one model: `python -m tests.hub.fetch_process ENDPOINT CACHE REPO`, to be killed at will.

Prints how it ended, and what its memory grew by in bytes over what it had when everything was imported.
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


if __name__ == "__main__":
    endpoint, cache, repo_id = sys.argv[1:]
    idle = _peak_bytes()
    status = fetch(repo_id, HubAccess(endpoint, None, Path(cache)), replace(HASTY, read_timeout_s=20.0))
    print(status.state, _peak_bytes() - idle)  # noqa: T201
