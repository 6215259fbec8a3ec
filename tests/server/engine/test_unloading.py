"""Models that nobody uses are let go, and come back with the next request."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.errors import DoesNotFitError, LookaheadError
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import weights_bytes
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from mlx_spec.server.engine.unloading import Unloading
from tests.server.live import Live, live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.tiny import tiny_pair

HELLO = [{"role": "user", "content": "hello"}]


class Loads:
    """A loader that counts, of a tiny real pair, and may be told to fail."""

    def __init__(self) -> None:
        self.count = 0
        self.weights = 0
        self.error: LookaheadError | None = None
        self.due = threading.Event()
        self.prefixes: Prefixes | None = None

    def unloading(self) -> Unloading[ModelPair]:
        """Models go as soon as `due` is set and nobody asks."""
        return Unloading(strip=lambda pair: pair.without_models(), scarce=self.due.is_set, scarce_idle_s=0.05)

    def __call__(self, progress: Progress) -> tuple[Pair, Decoder]:
        self.count += 1
        if self.error:
            raise self.error
        pair = tiny_pair()
        self.weights = weights_bytes(pair.target)
        self.prefixes = Prefixes(1 << 30)
        return pair, SpeculativeDecoder(pair, prefixes=self.prefixes)


@contextmanager
def serving(loads: Loads) -> Iterator[Live]:
    with live_server(loads, model_name="tiny", unloading=loads.unloading()) as live:
        assert wait_until(lambda: live.http.get("/health").json()["status"] == "ready")
        yield live


def said(live: Live) -> Any:
    body = {"messages": HELLO, "max_tokens": 8, "temperature": 0}
    return live.http.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]


def unload(live: Live, loads: Loads) -> None:
    """Wait until the models are gone."""
    loads.due.set()
    assert wait_until(lambda: not live.http.get("/v1/models/memory").json()["loaded"])
    loads.due.clear()


def test_idle_models_go_and_the_next_request_brings_them_back() -> None:
    loads = Loads()
    with serving(loads) as live:
        before, card = said(live), live.http.get("/v1/models").json()
        counted = live.http.get("/v1/speculation/stats").json()
        unload(live, loads)
        health = live.http.get("/health").json()
        assert health["status"] == "ready"
        assert "was unloaded, as this machine is short of memory" in health["message"]
        # All that needs no weights is still there.
        assert live.http.get("/v1/models").json() == card
        assert live.http.get("/v1/speculation/stats").json() == counted
        assert live.http.post("/v1/tokenize", json={"text": "the"}).status_code == 200
        assert loads.count == 1
        assert said(live) == before
        assert loads.count == 2


def test_their_memory_is_free_then() -> None:
    loads = Loads()
    gc.collect()
    with serving(loads) as live:
        said(live)
        held = live.http.get("/v1/models/memory").json()
        unload(live, loads)
        freed = live.http.get("/v1/models/memory").json()
    assert held["models_bytes"] - freed["models_bytes"] > 0.9 * loads.weights
    assert freed["kept_bytes"] == 0


def test_after_so_many_minutes_without_a_request_they_go() -> None:
    unloading = Unloading(strip=lambda pair: pair, idle_s=600.0, scarce=lambda: False)
    assert unloading.reason(599.0) is None
    assert unloading.reason(600.0) == "nobody asked for 10 minutes"
    loads = Loads()
    soon: Unloading[ModelPair] = Unloading(strip=lambda pair: pair.without_models(), idle_s=0.1, scarce=lambda: False)
    with live_server(loads, unloading=soon) as live:
        assert wait_until(lambda: "nobody asked for" in live.http.get("/health").json()["message"])


def test_how_long_they_stay_can_be_changed_while_the_server_runs() -> None:
    loads = Loads()
    with serving(loads) as live:
        said(live)
        assert live.http.get("/v1/models/memory").json()["unload_after_s"] is None
        told = live.http.put("/v1/models/memory", json={"unload_after_s": 0.1}).json()
        assert told["unload_after_s"] == 0.1
        assert wait_until(lambda: not live.http.get("/v1/models/memory").json()["loaded"])
        assert live.http.put("/v1/models/memory", json={"unload_after_s": 0}).json()["unload_after_s"] is None
        said(live)
        assert loads.count == 2
        for bad in ({"unload_after_s": -1}, {"unload_after_s": "10"}, {"unload_after_s": True}, {}, []):
            refused = live.http.put("/v1/models/memory", json=bad)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "unload_after_s"), bad


def test_without_a_setting_they_stay_unless_memory_is_scarce() -> None:
    assert Unloading(strip=lambda pair: pair, scarce=lambda: False).reason(1e9) is None
    scarce = Unloading(strip=lambda pair: pair, scarce=lambda: True)
    assert scarce.reason(59.0) is None, "somebody may be reading the answer, and ask again"
    assert scarce.reason(61.0) is not None


def test_models_that_do_not_come_back_are_told_of_and_tried_again() -> None:
    loads = Loads()
    with serving(loads) as live:
        before = said(live)
        unload(live, loads)
        loads.error = DoesNotFitError("It needs 9 GB, and 1 GB are there.", needed_bytes=9, available_bytes=1)
        refused = live.http.post("/v1/chat/completions", json={"messages": HELLO})
        assert refused.status_code >= 500
        assert "It needs 9 GB" in refused.json()["error"]["message"]
        loads.error = None
        assert said(live) == before


def test_what_is_taken_stands_beside_what_was_expected() -> None:
    mx.synchronize()
    with live_server(lambda progress: (ScriptedPair(), ScriptedDecoder())) as live:
        told = live.http.get("/v1/models/memory").json()
        assert told["expected"] is None
        assert told["process_bytes"] > 10_000_000


def cached(live: Live) -> int:
    """How much of a prompt of 100 tokens and more is known."""
    body = {"messages": [{"role": "user", "content": "Why? " * 20}], "max_tokens": 4, "temperature": 0}
    usage = live.http.post("/v1/chat/completions", json=body).json()["usage"]
    return int(usage["prompt_tokens_details"]["cached_tokens"])


def prefix_bytes(live: Live) -> int:
    return int(live.http.get("/v1/models/memory").json()["prefix_bytes"])


def test_with_the_models_goes_what_they_have_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, 16)
    loads = Loads()
    with serving(loads) as live:
        assert [cached(live), cached(live) > 0] == [0, True]
        assert prefix_bytes(live) > 0
        unload(live, loads)
        assert prefix_bytes(live) == 0
        assert [cached(live), cached(live) > 0] == [0, True]
        assert loads.count == 2


def test_where_memory_is_scarce_what_was_read_goes_before_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, 16)
    loads = Loads()
    patient: Unloading[ModelPair] = Unloading(
        strip=lambda pair: pair.without_models(), idle_s=None, scarce=loads.due.is_set, scarce_idle_s=600.0
    )
    monkeypatch.setattr(Unloading, "check_s", 0.05)
    with live_server(loads, model_name="tiny", unloading=patient) as live:
        assert [cached(live), cached(live) > 0] == [0, True]
        loads.due.set()
        assert wait_until(lambda: prefix_bytes(live) == 0)
        assert live.http.get("/v1/models/memory").json()["loaded"]
        assert cached(live) == 0
        assert loads.count == 1
