"""Our own server as a child of the bench: on a free port, loaded and warm, and never left behind."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from mlx_spec.bench.paired.chat_client import ChatClient
from mlx_spec.bench.paired.crowd import process_seconds
from mlx_spec.bench.paired.models import ModelChoice
from mlx_spec.errors import LookaheadError, ServerError
from mlx_spec.machine.program import own_command

_LISTENING: Final = "Listening on "
_KEY_VARIABLE: Final = "LOOKAHEAD_API_KEY"
_POLL_S: Final = 0.2
_LEAVE_S: Final = 10.0
_IDLE_WINDOW_S: Final = 0.5
_IDLE_SHARE: Final = 0.1
_IDLE_LIMIT_S: Final = 180.0

Tell = Callable[[str, float], None]


@contextlib.contextmanager
def own_server(
    models: ModelChoice,
    tell: Tell = lambda stage, fraction: None,
    *,
    options: Sequence[str] = (),
    checkout: Path | None = None,
) -> Iterator[tuple[str, int]]:
    """The address and the process id of a server that has loaded its models. `options` are further ones of `serve`;
    with a `checkout` it is that folder's code.

    Raises ServerError where it does not start, LookaheadError where it cannot load them.
    """
    environment = {name: value for name, value in os.environ.items() if name != _KEY_VARIABLE}
    if checkout is not None:
        check_checkout(checkout)
        environment["PYTHONPATH"] = str(checkout.resolve())  # before what is installed
    command = own_command("serve", "--port", "0", "--parent-pid", str(os.getpid()))
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*command, *models.arguments(), *options],
            env=environment,
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith(_LISTENING):
                process.wait()
                raise ServerError(f"Our own server does not start: {last_line(errors)}")
            url = line.removeprefix(_LISTENING).strip()
            tell("starting our server", 0.0)
            _wait_until_loaded(url, process, errors)
            yield url, process.pid
        finally:
            end(process)


def check_checkout(folder: Path) -> None:
    """Raises ServerError where a folder holds no code of ours."""
    if not (folder / "mlx_spec" / "cli").is_dir():
        raise ServerError(f"There is no engine in {folder}: name the folder of a checkout, which has mlx_spec/ in it.")


def wait_until_idle(
    pid: int,
    *,
    busy_seconds: Callable[[int], float] = process_seconds,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Wait until a process computes nothing any more, such as a server that still warms up; False where it goes on for
    minutes."""
    began = clock()
    while clock() - began < _IDLE_LIMIT_S:
        before, used = clock(), busy_seconds(pid)
        sleep(_IDLE_WINDOW_S)
        if busy_seconds(pid) - used <= _IDLE_SHARE * (clock() - before):
            return True
    return False


def _wait_until_loaded(url: str, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
    with ChatClient(url) as client:
        while True:
            if process.poll() is not None:
                raise ServerError(f"Our own server has ended: {last_line(errors)}")
            health = client.get("/health")
            if health["status"] == "ready":
                return
            if health["status"] == "failed":
                raise LookaheadError(str(health["message"]))
            time.sleep(_POLL_S)


def last_line(errors: IO[str]) -> str:
    """What a server said at last."""
    errors.seek(0)
    lines = errors.read().strip().splitlines()
    return lines[-1].removeprefix("mlx-spec: ") if lines else "it says nothing about why."


def end(process: "subprocess.Popen[str]") -> None:
    """End a server, and wait until it has."""
    process.terminate()
    try:
        process.wait(_LEAVE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
