"""`mlx-spec serve`: bind the address, start the engine thread, run uvicorn, and leave quickly when asked to."""

import contextlib
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any, Final

import uvicorn
from sse_starlette.sse import AppStatus

from mlx_spec.config import SpeculativeConfig
from mlx_spec.errors import ServerError
from mlx_spec.machine.parent import watch_parent
from mlx_spec.models.gguf.parts import is_gguf, model_name
from mlx_spec.server.api import create_app
from mlx_spec.server.ending import LIMIT_S, Ending
from mlx_spec.server.engine.job import DrafterChoice
from mlx_spec.server.engine.thread import Decoder, EngineThread, Loader, Pair, Progress
from mlx_spec.server.engine.unloading import Unloading
from mlx_spec.server.guard import LOOPBACK_NAMES, checked_hosts, checked_origins
from mlx_spec.server.library.routes import LibraryRoutes

DEFAULT_PORT: Final = 8765
KEY_VARIABLE: Final = "LOOKAHEAD_API_KEY"
_GRACE_S: Final = 1

logger = logging.getLogger(__name__)


def serve(
    target: str,
    draft: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    api_key: str | None = None,
    allow_hosts: Collection[str] = (),
    allow_origins: Collection[str] = (),
    config: SpeculativeConfig | None = None,
    drafter: DrafterChoice = "auto",
    anyway: bool = False,
    unload_after_s: float | None = None,
    parent_pid: int | None = None,
) -> None:
    """Serve the pair `target` (a pair's name, or a target with `draft`) until SIGTERM, SIGINT, SIGHUP or the parent's
    end.

    Prints `Listening on http://HOST:PORT` as the first line once bound; `port` 0 takes a free one. The models load
    meanwhile, see /health. `api_key` None takes `$LOOKAHEAD_API_KEY`, and no key where that is not set either.
    Requests may name one of `allow_hosts` besides the server's own, and come from web pages of `allow_origins`; where
    there is a key, "*" is every one.
    What does not fit into memory is loaded only `anyway`; /health tells of it. Models that nobody has used for
    `unload_after_s` are let go until the next request, and so they are when the machine is short of memory.
    With `parent_pid` the process ends when that process is gone. Call it on the main thread, once a process.

    Raises ServerError, before any model is loaded, when the address or the key cannot be used.
    """

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        # Imported here, as it takes seconds: the port is bound without waiting for it.
        from mlx_spec.decoder import SpeculativeDecoder
        from mlx_spec.models.loading import load_pair

        pair = load_pair(target, draft, anyway=anyway, progress=progress)
        decoder = SpeculativeDecoder(pair, config, drafter=drafter)
        decoder.calibrate(progress)
        decoder.measure_ceiling(progress)
        return pair, decoder

    path = Path(target).expanduser()
    name = model_name(path) if is_gguf(path) else path.resolve().name
    run_server(
        load,
        model_name=name,
        aliases=(target,),
        host=host,
        port=port,
        api_key=api_key,
        allow_hosts=allow_hosts,
        allow_origins=allow_origins,
        unloading=Unloading(strip=lambda pair: pair.without_models(), idle_s=unload_after_s),
        parent_pid=parent_pid,
    )


def run_server(
    load: Loader,
    *,
    model_name: str,
    aliases: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    api_key: str | None = None,
    allow_hosts: Collection[str] = (),
    allow_origins: Collection[str] = (),
    unloading: Unloading[Any] | None = None,
    parent_pid: int | None = None,
    limit_s: float = LIMIT_S,
) -> None:
    """As `serve`, over any loader. Asked to end, it is left after `limit_s` seconds, whatever it does."""
    api_key = checked_key(api_key, host)
    hosts = checked_hosts(allow_hosts, has_key=api_key is not None)
    origins = checked_origins(allow_origins, has_key=api_key is not None)
    with bind(host, port) as listener:
        engine = EngineThread(load, unloading)
        allowed = {*LOOPBACK_NAMES, host.lower(), *hosts} if is_loopback(host) and hosts is not None else None
        library = LibraryRoutes()
        app = create_app(
            engine,
            api_key=api_key,
            allowed_hosts=allowed,
            allowed_origins=origins,
            model_name=model_name,
            aliases=aliases,
            library=library,
        )
        config = uvicorn.Config(
            app, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S
        )
        server = _Server(config)
        ending = Ending((engine.stop, server.stop), limit_s)
        ending.listen()
        if parent_pid is not None:
            watch_parent(parent_pid, lambda: _leave_with(parent_pid, ending))
        try:
            engine.start()
            library.restore()
            sys.stdout.write(f"Listening on {_url(listener)}\n")
            sys.stdout.flush()
            server.run(sockets=[listener])
        finally:
            ending.ask()  # whatever ended it: from here on, it takes no longer than that allows
            library.close()
            engine.join()


def checked_key(api_key: str | None, host: str) -> str | None:
    """The key to ask for: `api_key`, or the environment's; None for none. Raises ServerError."""
    if api_key is None:
        api_key = os.environ.get(KEY_VARIABLE) or None
    if api_key is None:
        if not is_loopback(host):
            raise ServerError(
                f"Serving on {host} would open the engine to the network: "
                f"give an API key (--api-key or {KEY_VARIABLE})."
            )
        return None
    if not api_key or not all("!" <= character <= "~" for character in api_key):
        raise ServerError("The API key must be printable ASCII characters without spaces, and at least one.")
    return api_key


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host.lower() == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, so that a client may connect from now on. Raises ServerError."""
    if not 0 <= port <= 65535:
        raise ServerError(f"Cannot listen on {host}, port {port}: a port is a whole number from 0 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServerError(f"The address {host!r}, port {port} is not one of this machine's: {error}.") from error
    try:
        # A port whose last connections are still fading away may be taken; one that somebody listens on may not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ServerError(f"Cannot listen on {host}, port {port}: {error.strerror}; choose another port.") from error
    return listener


class _Server(uvicorn.Server):
    """uvicorn, which leaves the signals to `Ending`."""

    def stop(self) -> None:
        """Take no more connections, and end when those that are open are done. From any thread."""
        AppStatus.should_exit = True  # streams without an end of their own are ended, and not cut
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """None: uvicorn's own would raise the signal once more at the end."""
        yield


def _leave_with(parent_pid: int, ending: Ending) -> None:
    logger.warning("The parent process %d is gone: leaving.", parent_pid)
    ending.ask()


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
