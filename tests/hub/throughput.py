"""Our download beside huggingface_hub's, for the same files over loopback: `python -m tests.hub.throughput [MB]`.

The two take turns, with a cache of their own each time; ours also checks every byte's sha256, which plain HTTP
downloads of the library do not. Prints the median of each in MB/s, and their ratio: 0.8 or more is asked for.
"""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from huggingface_hub import snapshot_download
from huggingface_hub.utils import disable_progress_bars

from mlx_spec.models.library.access import HubAccess
from mlx_spec.models.library.fetching.download import Download
from tests.hub.contents import heavy_model
from tests.hub.loopback import serving

REPO: Final = "org/heavy"
TURNS: Final = 5


def serve(size_bytes: int, told: Connection) -> None:
    """A Hub in a process of its own, so that it takes none of the client's interpreter."""
    with serving({REPO: heavy_model(size_bytes, files=4)}) as hub:
        told.send(hub.endpoint)
        told.recv()


def ours(endpoint: str, cache: Path) -> None:
    """Fetch with mlx_spec."""
    download = Download(REPO, HubAccess(endpoint, None, cache))
    download.start()
    download.join()
    assert download.status().state == "done", download.status()


def theirs(endpoint: str, cache: Path) -> None:
    """Fetch with huggingface_hub."""
    snapshot_download(REPO, cache_dir=cache, endpoint=endpoint)


def seconds(fetch: Callable[[str, Path], None], endpoint: str) -> float:
    """How long a fetch into an empty cache takes."""
    cache = Path(tempfile.mkdtemp(prefix="throughput-"))
    try:
        begun = time.perf_counter()
        fetch(endpoint, cache)
        return time.perf_counter() - begun
    finally:
        shutil.rmtree(cache)


def main() -> None:
    """Measure and print."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    here, there = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=serve, args=(megabytes * 10**6, there), daemon=True)
    server.start()
    endpoint = here.recv()
    disable_progress_bars()
    seconds(ours, endpoint)  # imports and first connections
    taken: dict[str, list[float]] = {"ours": [], "huggingface_hub": []}
    for _ in range(TURNS):
        taken["ours"].append(seconds(ours, endpoint))
        taken["huggingface_hub"].append(seconds(theirs, endpoint))
    speeds = {name: megabytes / statistics.median(times) for name, times in taken.items()}
    for name, speed in speeds.items():
        print(f"{name}: {speed:.0f} MB/s (median of {TURNS})")  # noqa: T201
    print(f"ratio: {speeds['ours'] / speeds['huggingface_hub']:.2f}")  # noqa: T201
    here.send("end")
    server.join(10)


if __name__ == "__main__":
    main()
