"""Models that a request names: loaded when they are asked for, let go for others when nobody is answered by them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from mlx_spec.errors import ModelError, ModelNotFoundError
from mlx_spec.server.engine.served import Decoder, Loader, Pair, Progress
from mlx_spec.server.engine.unloading import Unloading
from mlx_spec.server.names import Listed, Names
from tests.server.live import Live, live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair

HELLO = [{"role": "user", "content": "hello"}]
NAMES = ("first", "org/second", "org/third", "broken")


class Named(ScriptedPair):
    def __init__(self, name: str) -> None:
        self.name = self.target_name = name


class Loads:
    """Loads by name, and notes what; each model says its name."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.decoders: dict[str, ScriptedDecoder] = {}

    def __call__(self, name: str) -> Loader:
        def load(progress: Progress) -> tuple[Pair, Decoder]:
            self.done.append(name)
            if name == "broken":
                raise ModelError("broken cannot be loaded: it is broken.")
            decoder = self.decoders[name] = ScriptedDecoder()
            decoder.words = (name,)
            return Named(name), decoder

        return load


@contextmanager
def serving(loads: Loads, most: int = 1) -> Iterator[Live]:
    unloading: Unloading[Any] = Unloading(strip=lambda pair: pair, scarce=lambda: False)
    with live_server(
        loads("first"),
        model_name="first",
        unloading=unloading,
        load_named=loads,
        models_loaded=most,
        others=lambda: [Listed(name=name) for name in NAMES],
    ) as live:
        assert wait_until(lambda: live.engine.is_loaded)
        yield live


def said(live: Live, model: str | None, **fields: Any) -> Any:
    body = {"messages": HELLO, "model": model} | fields
    answer = live.http.post("/v1/chat/completions", json=body).json()
    return answer["choices"][0]["message"]["content"] if "choices" in answer else answer["error"]["message"]


def test_a_model_is_loaded_when_it_is_named_and_the_one_before_let_go() -> None:
    loads = Loads()
    with serving(loads) as live:
        assert said(live, "org/second") == "org/second"
        assert live.engine.loaded() == ["org/second"]
        assert not live.engine.is_loaded
        assert [said(live, name) for name in ("second", "org/second:latest", "SECOND")] == ["org/second"] * 3
        assert loads.done == ["first", "org/second"]
        assert [said(live, name) for name in (None, "default", "first")] == ["first"] * 3
        assert loads.done == ["first", "org/second", "first"]
        answer = live.http.post("/v1/chat/completions", json={"messages": HELLO, "model": "third"}).json()
        assert answer["model"] == "org/third"


def test_several_stay_where_that_was_asked_for_and_the_least_used_goes() -> None:
    loads = Loads()
    with serving(loads, most=2) as live:
        for name in ("org/second", "first", "org/third"):
            assert said(live, name) == name
        assert live.engine.loaded() == ["org/third", None]
        assert said(live, "first") == "first"
        assert loads.done == ["first", "org/second", "org/third"]


def test_who_is_answered_is_not_disturbed_and_who_waits_is_not_overtaken() -> None:
    loads = Loads()
    with serving(loads) as live, ThreadPoolExecutor(3) as pool:
        first = loads.decoders["first"]
        first.gate.clear()
        under_way = pool.submit(said, live, "first")
        assert wait_until(lambda: live.engine.num_unfinished() == 1 and first.begun.is_set())
        other = pool.submit(said, live, "org/second")
        assert wait_until(lambda: live.engine.num_unfinished() == 2)
        late = pool.submit(said, live, "first")
        assert wait_until(lambda: live.engine.num_unfinished() == 3)
        assert loads.done == ["first"]
        first.gate.set()
        assert (under_way.result(10), other.result(10), late.result(10)) == ("first", "org/second", "first")
        assert loads.done == ["first", "org/second", "first"]


def test_who_leaves_while_waiting_for_a_model_has_it_not_loaded() -> None:
    loads = Loads()
    with serving(loads) as live, ThreadPoolExecutor(1) as pool:
        first = loads.decoders["first"]
        first.gate.clear()
        under_way = pool.submit(said, live, "first")
        assert wait_until(first.begun.is_set)
        body = {"messages": HELLO, "model": "second", "stream": True}
        with live.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            assert live.engine.num_unfinished() == 2
        assert wait_until(lambda: all(job.cancelled() for job in live.engine.unfinished()[1:]))
        first.gate.set()
        assert under_way.result(10) == "first"
        assert loads.done == ["first"]


def test_a_model_that_cannot_be_loaded_fails_who_asked_and_nobody_else() -> None:
    loads = Loads()
    with serving(loads) as live:
        assert said(live, "broken") == "broken cannot be loaded: it is broken."
        assert said(live, "broken") == "broken cannot be loaded: it is broken."
        assert said(live, None) == "first"
        assert live.http.get("/health").json()["status"] == "ready"
        assert "There is no model 'nope' here" in said(live, "nope")


def test_what_there_is_is_listed_with_the_own_model_first() -> None:
    loads = Loads()
    with serving(loads) as live:
        assert [card["id"] for card in live.http.get("/v1/models").json()["data"]] == [*NAMES]
        assert live.http.get("/v1/models/second").json()["id"] == "org/second"
        tags = live.http.get("/api/tags").json()["models"]
        assert [model["name"] for model in tags] == [*NAMES]
        told = live.http.post("/v1/messages/count_tokens", json={"model": "second", "messages": HELLO}).json()
        assert told == {"input_tokens": 5}
        assert live.engine.loaded() == ["org/second"]
        body = {"model": "second", "keep_alive": 0}
        assert live.http.post("/api/generate", json=body).json()["done_reason"] == "unload"
        assert live.engine.loaded() == []
        assert live.http.post("/api/generate", json={"model": "first"}).json()["done_reason"] == "load"
        assert live.engine.loaded() == [None]


def test_a_server_that_stops_tells_those_who_wait_for_a_model() -> None:
    loads = Loads()
    told: list[str] = []
    with serving(loads) as live:
        first = loads.decoders["first"]
        first.gate.clear()
        threads = [threading.Thread(target=lambda name=name: told.append(said(live, name))) for name in NAMES[:2]]
        for count, thread in enumerate(threads, 1):
            thread.start()
            assert wait_until(lambda count=count: live.engine.num_unfinished() == count)
        live.engine.stop()
        first.gate.set()
        for thread in threads:
            thread.join(10)
    assert told == ["The server is stopping."] * 2


def test_what_was_imported_is_loaded_from_its_folder() -> None:
    assert Listed(name="mine", folder="/models/mine", source="imported").target == "/models/mine"
    assert Listed(name="org/model", folder="/cache/x", source="hub").target == "org/model"


def test_a_name_that_may_be_two_models_is_refused() -> None:
    names = Names("own", (), lambda: [Listed(name="a/model"), Listed(name="b/model"), Listed(name="b/other")])
    assert names.find("Other") == "b/other"
    assert names.find("a/model:latest") == "a/model"
    with pytest.raises(ModelNotFoundError, match="may be a/model or b/model"):
        names.find("model")
    with pytest.raises(ModelNotFoundError, match="this server runs 'own'"):
        Names("own", ()).find("model")
