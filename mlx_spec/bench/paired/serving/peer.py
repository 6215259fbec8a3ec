"""mlx-lm's server as a child of the bench: on a free port, loaded, and ended with it. It inherits the bench's BLAS."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from mlx_spec.bench.paired.chat_client import ChatClient
from mlx_spec.bench.paired.own_server import end, last_line
from mlx_spec.errors import LookaheadError, ServerError
from mlx_spec.machine.program import interpreter

PEER_MODEL: Final = "default_model"
"""What it calls the model that it was started with."""
_POLL_S: Final = 0.2
_START_S: Final = 300.0

Tell = Callable[[str, float], None]


@contextlib.contextmanager
def peer_server(folder: Path, tell: Tell = lambda stage, fraction: None) -> Iterator[tuple[str, int]]:
    """The address and the process id of a server with the target in `folder`. Raises ServerError."""
    port = _free_port()
    command = [
        interpreter("Measuring beside mlx-lm's server"),
        "-m",
        "mlx_lm",
        "server",
        "--model",
        str(folder),
        "--port",
        str(port),
    ]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*command, "--log-level", "WARNING"],
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            text=True,
        )
        try:
            tell("starting mlx-lm's server", 0.0)
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + _START_S
            while not _is_healthy(url):
                if process.poll() is not None or time.monotonic() > until:
                    raise ServerError(f"mlx-lm's server does not start: {last_line(errors)}")
                time.sleep(_POLL_S)
            yield url, process.pid
        finally:
            end(process)


def _is_healthy(url: str) -> bool:
    try:
        with ChatClient(url) as client:
            return client.get("/health").get("status") == "ok"
    except LookaheadError:  # it does not listen yet
        return False


def _free_port() -> int:
    """Taken by nobody at this moment: mlx-lm's server does not tell which one it took."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
