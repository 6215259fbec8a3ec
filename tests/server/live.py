"""A real uvicorn server on a free loopback port, in a thread of the test process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from openai import OpenAI

from mlx_spec.batching.settings import BatchSettings
from mlx_spec.server.address import bind
from mlx_spec.server.api import create_app
from mlx_spec.server.engine.fleet import LoaderOf
from mlx_spec.server.engine.served import Loader
from mlx_spec.server.engine.thread import EngineThread
from mlx_spec.server.engine.unloading import Unloading
from tests.server.scripted_batch import any_batch

KEY = "k-test-1234"


@dataclass(frozen=True)
class Live:
    """A running server and clients for it."""

    url: str
    engine: EngineThread
    http: httpx.Client
    openai: OpenAI


@contextmanager
def live_server(
    load: Loader,
    *,
    api_key: str | None = KEY,
    model_name: str = "scripted",
    unloading: Unloading[Any] | None = None,
    settings: BatchSettings | None = None,
    load_named: LoaderOf | None = None,
    models_loaded: int = 1,
    **access: Any,
) -> Iterator[Live]:
    """Serve until the block ends; the models may still be loading when it begins. `access` is for create_app."""
    engine = EngineThread(
        load, unloading, settings=settings, make_batch=any_batch, load_named=load_named, models_loaded=models_loaded
    )
    engine.start()
    app = create_app(engine, api_key=api_key, model_name=model_name, **access)
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1)
    )
    with bind("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        client = OpenAI(base_url=f"{url}/v1", api_key=api_key or "none", max_retries=0, timeout=20)
        try:
            with httpx.Client(base_url=url, headers=headers, timeout=20) as http, client:
                yield Live(url, engine, http, client)
        finally:
            engine.stop()
            server.should_exit = True
            thread.join(10)
            assert engine.join(10), "the engine thread did not end"


def wait_until(condition: object, timeout_s: float = 5.0) -> bool:
    """Poll the callable `condition` until it is true, or the time is over."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())
