"""The routes of /v1/models/… that find, judge, fetch and keep models: docs/PROTOCOL.md over `mlx_spec.models.library`.

Everything there waits on disks and networks, so it runs in worker threads; the library itself is imported by the first
request that needs it.
"""

import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlx_spec.errors import StorageError
from mlx_spec.machine.resources import data_folder
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.answers.stream import SHUTDOWN_GRACE_S
from mlx_spec.server.library.answers import answered, asked_of, field_of, tokens_of
from mlx_spec.server.library.changes import changes_of
from mlx_spec.server.requests.validation import RequestError

if TYPE_CHECKING:
    from mlx_spec.models.library.access import HubAccess
    from mlx_spec.models.library.fetching.downloads import Downloads
    from mlx_spec.models.library.fetching.status import DownloadStatus

_PING_S: Final = 10
_UNDER_WAY: Final = frozenset({"queued", "listing", "downloading", "waiting", "finishing"})


class LibraryRoutes:
    """The library behind a server. Its downloads go on where an earlier process left them, once `restore` is called."""

    def __init__(self) -> None:
        self._downloads: Downloads | None = None
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """To be placed before the routes that take a model's name as the rest of the path."""
        return [
            Route("/v1/models/installed", self.installed, methods=["GET"]),
            Route("/v1/models/installed/{name:path}/verify", self.verify, methods=["POST"]),
            Route("/v1/models/installed/{name:path}", self.remove, methods=["DELETE"]),
            Route("/v1/models/pairs", self.pairs, methods=["GET"]),
            Route("/v1/models/suggestions", self.suggestions, methods=["GET"]),
            Route("/v1/models/search", self.search, methods=["GET"]),
            Route("/v1/models/judge", self.judge, methods=["GET"]),
            Route("/v1/models/downloads", self.downloads, methods=["GET"]),
            Route("/v1/models/downloads", self.add, methods=["POST"]),
            Route("/v1/models/downloads/events", self.events, methods=["GET"]),
            Route("/v1/models/downloads/{name:path}/{action:str}", self.change, methods=["POST"]),
            Route("/v1/models/downloads/{name:path}", self.forget, methods=["DELETE"]),
            Route("/v1/models/token", self.set_token, methods=["PUT", "DELETE"]),
            Route("/v1/models/place", self.place, methods=["GET"]),
            Route("/v1/models/place/folder", self.move, methods=["PUT"]),
            Route("/v1/models/place/mirror", self.set_mirror, methods=["PUT"]),
        ]

    def restore(self) -> None:
        """Take up unfinished downloads, in a thread of its own: imports and disks must not hold up the server."""
        if any((data_folder() / "downloads").glob("*.json")):
            threading.Thread(target=self._all_downloads, name="restore downloads", daemon=True).start()

    def close(self) -> bool:
        """Stop the downloads for the process's end; whether none of their threads would hold that up."""
        with self._lock:
            return self._downloads is None or self._downloads.close()

    async def installed(self, request: Request) -> Response:
        """What is here."""
        from mlx_spec.models.library.cache import installed_models, total_bytes

        def look() -> Json:
            access = _access()
            models = [model.to_dict() for model in installed_models(access)]
            return {"models": models, "total_bytes": total_bytes(access), "folder": str(access.cache_folder)}

        return await answered(look)

    async def verify(self, request: Request) -> Response:
        """Whether a model's bytes are right."""
        from mlx_spec.models.library.cache import verify

        name = request.path_params["name"]
        return await answered(lambda: asdict(verify(name, _access())))

    async def remove(self, request: Request) -> Response:
        """Delete a model; with `?dry_run=true` tell what that would free."""
        from mlx_spec.models.library.cache import remove

        name, dry_run = request.path_params["name"], request.query_params.get("dry_run") == "true"
        return await answered(lambda: asdict(remove(name, _access(), dry_run=dry_run)))

    async def pairs(self, request: Request) -> Response:
        """The known pairs, or those of `?target=`, the better first."""
        from mlx_spec.models.pairs import PAIRS, recommend
        from mlx_spec.models.races import facts_of

        target = request.query_params.get("target")

        def look() -> Json:
            chosen = list(PAIRS.values()) if target is None else recommend(target)
            return {"pairs": [facts_of(pair) for pair in chosen]}

        return await answered(look)

    async def suggestions(self, request: Request) -> Response:
        """Known pairs that fit this machine, and how fast they ought to be."""
        from mlx_spec.server.library.suggested import suggested

        return await answered(suggested)

    async def search(self, request: Request) -> Response:
        """Models for `?q=`."""
        from mlx_spec.models.library.search import search

        text = request.query_params.get("q", "")
        return await answered(lambda: search(text, _access()).to_dict())

    async def judge(self, request: Request) -> Response:
        """What the model `?name=` would take here, at `?context=` tokens."""
        from mlx_spec.models.library.judge import judge_named

        name, context = asked_of(request, "name"), tokens_of(request.query_params.get("context"))
        return await answered(lambda: judge_named(name, _access(), context_tokens=context).to_dict())

    async def downloads(self, request: Request) -> Response:
        """How all downloads stand."""
        return await answered(self._statuses)

    async def add(self, request: Request) -> Response:
        """Queue the model `{"name": …}`, or go on with it."""
        name = await field_of(request, "name")
        return await answered(lambda: self._told(self._all_downloads().add(name)))

    async def change(self, request: Request) -> Response:
        """Pause, resume or cancel a download."""
        name, action = request.path_params["name"], request.path_params["action"]
        if action not in ("pause", "resume", "cancel"):
            raise RequestError(f"{action!r} is nothing that a download does: pause, resume or cancel it.", "action")

        def act() -> Json:
            downloads = self._all_downloads()
            if action == "resume":
                downloads.status(name)  # only what is on the list can go on
            act_on: Callable[[str], Any] = getattr(downloads, action)
            return self._told(act_on(name))

        return await answered(act)

    async def forget(self, request: Request) -> Response:
        """Take a download that is over off the list."""
        name = request.path_params["name"]

        def drop() -> Json:
            self._all_downloads().forget(name)
            return self._statuses()

        return await answered(drop)

    async def set_token(self, request: Request) -> Response:
        """Keep `{"token": …}` in the keychain, or remove it. It is never told to anybody."""
        from mlx_spec.models.library.access import forget_token, hub_token, keep_token

        token = await field_of(request, "token") if request.method == "PUT" else None

        def keep() -> Json:
            if token is not None:
                keep_token(token)
            else:
                forget_token()
            return {"has_token": hub_token() is not None}

        return await answered(keep)

    async def place(self, request: Request) -> Response:
        """Where models are kept, and which Hub they come from."""
        return await answered(_place)

    async def move(self, request: Request) -> Response:
        """Move the cache to `{"folder": …}` on the engine's machine."""
        from mlx_spec.models.library.cache import move_cache

        folder = await field_of(request, "folder")
        if not folder.strip():
            raise RequestError("folder is empty: name a new or empty folder.", "folder")

        def carry() -> Json:
            if busy := self._under_way():
                raise StorageError(f"{busy} is being downloaded: pause it, or wait for its end, and move then.")
            moved = move_cache(_access(), Path(folder.strip()))
            return _place() | {"moved_bytes": moved}

        return await answered(carry)

    async def set_mirror(self, request: Request) -> Response:
        """Ask the Hub at `{"address": …}` from now on; an empty address is huggingface.co."""
        from mlx_spec.models.library.access import set_mirror

        address = (await field_of(request, "address")).strip()

        def keep() -> Json:
            set_mirror(address or None)
            return _place()

        return await answered(keep)

    def _under_way(self) -> str | None:
        statuses = self._all_downloads().statuses()
        return next((status.repo_id for status in statuses if status.state in _UNDER_WAY), None)

    async def events(self, request: Request) -> Response:
        """Server-sent events: how all downloads stand, now and after every change."""
        downloads = await run_in_threadpool(self._all_downloads)
        ended = anyio.Event()  # by the server, when it stops: else the stream would be cut
        return EventSourceResponse(
            changes_of(downloads, ended),
            ping=_PING_S,
            sep="\n",
            shutdown_event=ended,
            shutdown_grace_period=SHUTDOWN_GRACE_S,
        )

    def _told(self, status: "DownloadStatus") -> Json:
        return {"run": self._all_downloads().run} | status.to_dict()

    def _statuses(self) -> Json:
        return self._all_downloads().listing().to_dict()

    def _all_downloads(self) -> "Downloads":
        from mlx_spec.models.library.fetching.downloads import Downloads

        with self._lock:
            if self._downloads is None:
                self._downloads = Downloads(data_folder() / "downloads")
                self._downloads.restore()
            return self._downloads


def _access() -> "HubAccess":
    from mlx_spec.models.library.access import hub_access

    return hub_access()


def _place() -> Json:
    access = _access()
    folder = access.cache_folder
    return {"folder": str(folder), "lies_in": str(folder.resolve()), "endpoint": access.endpoint}
