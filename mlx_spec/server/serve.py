"""`mlx-spec serve`: bind the address, start the engine thread, run uvicorn, and leave quickly when asked to."""

import contextlib
import logging
import socket
import sys
from collections.abc import Collection, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette

from mlx_spec.batching.report import format_report
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.config import Keeping, SpeculativeConfig
from mlx_spec.machine.parent import watch_parent
from mlx_spec.models.gguf.parts import is_gguf, model_name
from mlx_spec.server.address import bind, url_of
from mlx_spec.server.api import create_app
from mlx_spec.server.ending import LIMIT_S, Ending
from mlx_spec.server.engine.fleet import LoaderOf
from mlx_spec.server.engine.job import DrafterChoice
from mlx_spec.server.engine.served import Batch, BatchMaker, Decoder, Loader, Pair, Progress
from mlx_spec.server.engine.thread import EngineThread, usual_batch
from mlx_spec.server.engine.unloading import Unloading
from mlx_spec.server.group.leadership import Leadership
from mlx_spec.server.guard import checked_access
from mlx_spec.server.library.routes import LibraryRoutes
from mlx_spec.server.names import on_this_machine, target_of

DEFAULT_PORT: Final = 8765
_GRACE_S: Final = 1
_KEEPING: Final = Keeping(disk_bytes=None)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Loading:
    """How pairs of models come to the engine, on its thread: with these settings, `anyway` where they do not fit; over
    a group where there is a `leadership`."""

    config: SpeculativeConfig | None
    anyway: bool
    keeping: Keeping
    leadership: Leadership | None

    def load(self, target: str, draft: str | None, drafter: DrafterChoice, progress: Progress) -> tuple[Pair, Decoder]:
        """A pair with its decoder, calibrated. Raises LookaheadError."""
        # Imported here, as it takes seconds: the port is bound without waiting for it.
        from mlx_spec.decoder import SpeculativeDecoder
        from mlx_spec.decoding.cache.blocks.keeping import prefixes_of
        from mlx_spec.models.loading import load_pair

        config, anyway = self.config, self.anyway
        if self.leadership is not None:
            from mlx_spec.server.group.loading import load_led

            return load_led(self.leadership, target, draft, config, drafter, self.keeping, anyway, progress)
        kv_bits = config.kv_bits if config is not None else None
        pair = load_pair(target, draft, anyway=anyway, progress=progress, kv_bits=kv_bits)
        decoder = SpeculativeDecoder(pair, config, drafter=drafter, prefixes=prefixes_of(pair, self.keeping, kv_bits))
        decoder.calibrate(progress)
        decoder.measure_ceiling(progress)
        return pair, decoder

    def named(self, drafter: DrafterChoice, name: str) -> Loader:
        """Loads another model by its name, of a server that was started with `drafter`."""
        # What it can draft by is its own: the drafter that the server was started with may be the first pair's.
        own: DrafterChoice = drafter if drafter in ("none", "ngram") else "auto"
        return lambda progress: self.load(target_of(name), None, own, progress)


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
    keeping: Keeping = _KEEPING,
    settings: BatchSettings | None = None,
    models_loaded: int = 1,
    report: bool = False,
    parent_pid: int | None = None,
    leadership: Leadership | None = None,
) -> None:
    """Serve the pair `target` (a pair's name, or a target with `draft`) until SIGTERM, SIGINT, SIGHUP or the parent's
    end.

    Prints `Listening on http://HOST:PORT` as the first line once bound; `port` 0 takes a free one. The models load
    meanwhile, see /health. `api_key` None takes `$LOOKAHEAD_API_KEY`, and no key where that is not set either.
    Requests may name one of `allow_hosts` besides the server's own, and come from web pages of `allow_origins`; where
    there is a key, "*" is every one.
    What does not fit into memory is loaded only `anyway`; /health tells of it. Models that nobody has used for
    `unload_after_s` are let go until the next request, and so they are when the machine is short of memory. What
    answers have read is kept for the next ones as `keeping` says. So many requests are answered at once, and wait, as
    `settings` say; with a `report` stdout tells at the end what became of them.
    A request may name any model on this machine, too: it is loaded for it, and at most `models_loaded` are in memory
    together.
    With `parent_pid` the process ends when that process is gone. Call it on the main thread, once a process. With
    `leadership` it is rank 0 of a group, over which the target is split: then it serves no other model, keeps it, and
    answers on the socket that it was handed.

    Raises ServerError, before any model is loaded, when the address or the key cannot be used.
    """

    loading = _Loading(config, anyway, keeping, leadership)
    if leadership is not None:
        from mlx_spec.server.group.loading import found

        ranks, exactness = len(leadership.leading.assignment.hosts), config.exactness if config else "auto"
        leadership.agree(partial(found, target, ranks, leadership.split, exactness))
    path = Path(target).expanduser()
    name = model_name(path) if is_gguf(path) else path.resolve().name
    unloading = Unloading(strip=lambda pair: pair.without_models(), idle_s=unload_after_s)
    run_server(
        partial(loading.load, target, draft, drafter),
        load_named=partial(loading.named, drafter) if leadership is None else None,
        models_loaded=models_loaded,
        model_name=name,
        aliases=(target,),
        host=host,
        port=port,
        api_key=api_key,
        allow_hosts=allow_hosts,
        allow_origins=allow_origins,
        unloading=unloading if leadership is None else None,
        parent_pid=parent_pid,
        kv_bits=config.kv_bits if config is not None else None,
        settings=settings,
        make_batch=usual_batch if leadership is None else _led_batch,
        report=report,
        leadership=leadership,
    )


def run_server(
    load: Loader,
    *,
    model_name: str,
    load_named: LoaderOf | None = None,
    models_loaded: int = 1,
    aliases: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    api_key: str | None = None,
    allow_hosts: Collection[str] = (),
    allow_origins: Collection[str] = (),
    unloading: Unloading[Any] | None = None,
    parent_pid: int | None = None,
    limit_s: float = LIMIT_S,
    kv_bits: int | None = None,
    settings: BatchSettings | None = None,
    make_batch: BatchMaker = usual_batch,
    report: bool = False,
    leadership: Leadership | None = None,
) -> None:
    """As `serve`, over any loader, whose decoder has `kv_bits`, and any batch of it. Without `load_named` it serves no
    other model. Asked to end, it is left after `limit_s` seconds, whatever it does."""
    access = checked_access(host, api_key, allow_hosts, allow_origins)
    with leadership.listener if leadership is not None else bind(host, port) as listener:
        engine = EngineThread(
            leadership.loader(load) if leadership is not None else load,
            unloading,
            settings=settings,
            make_batch=make_batch,
            load_named=load_named,
            models_loaded=models_loaded,
        )
        library = LibraryRoutes()
        app = create_app(
            engine,
            api_key=access.api_key,
            allowed_hosts=access.hosts,
            allowed_origins=access.origins,
            model_name=model_name,
            aliases=aliases,
            others=on_this_machine if load_named is not None else None,
            library=library,
            kv_bits=kv_bits,
            group=leadership.state if leadership is not None else None,
        )
        server = _Server(app)
        ending = Ending((engine.stop, server.stop), limit_s)
        ending.listen()
        if parent_pid is not None:
            watch_parent(parent_pid, lambda: _leave_with(parent_pid, ending))
        if leadership is not None:
            leadership.watch(engine, ending)
        try:
            engine.start()
            library.restore()
            _tell_address(listener, leadership)
            server.run(sockets=[listener])
        finally:
            ending.ask()  # whatever ended it: from here on, it takes no longer than that allows
            library.close()
            engine.join()
            if report:
                sys.stdout.write(f"\n{format_report(engine.metrics.snapshot())}")
                sys.stdout.flush()
            if leadership is not None:
                leadership.end()


def _led_batch(decoder: Decoder, settings: BatchSettings) -> Batch:
    """The batch of a decoder that `load_led` made."""
    from mlx_spec.server.group.led import LedBatch, LedDecoder

    assert isinstance(decoder, LedDecoder)
    return LedBatch(decoder, settings)


class _Server(uvicorn.Server):
    """uvicorn, which leaves the signals to `Ending`."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app, lifespan="off", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S
            )
        )

    def stop(self) -> None:
        """Take no more connections, and end when those that are open are done. From any thread."""
        AppStatus.should_exit = True  # streams without an end of their own are ended, and not cut
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """None: uvicorn's own would raise the signal once more at the end."""
        yield


def _tell_address(listener: socket.socket, leadership: Leadership | None) -> None:
    """Clients are answered from now on. A group's supervisor has told where."""
    if leadership is not None:
        leadership.leading.serves()
        return
    sys.stdout.write(f"Listening on {url_of(listener)}\n")
    sys.stdout.flush()


def _leave_with(parent_pid: int, ending: Ending) -> None:
    logger.warning("The parent process %d is gone: leaving.", parent_pid)
    ending.ask()
