"""Who waits, who is refused, who comes first, and what becomes of the others when one fails: over HTTP, by a script."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from mlx_spec.batching.settings import BatchSettings
from mlx_spec.errors import NumericalError
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from tests.server.live import Live, live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair

CHAT = "/v1/chat/completions"
WELL = "All is well."


@contextmanager
def serving(decoder: ScriptedDecoder, **settings: Any) -> Iterator[Live]:
    with live_server(lambda progress: (ScriptedPair(), decoder), settings=BatchSettings(**settings)) as live:
        assert wait_until(lambda: live.engine.is_loaded, 20)
        yield live


def ask(live: Live, text: str = "hello", **fields: Any) -> httpx.Response:
    return live.http.post(CHAT, json={"messages": [{"role": "user", "content": text}]} | fields)


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def unfinished(live: Live, count: int) -> bool:
    return wait_until(lambda: live.engine.num_unfinished() == count, 20)


def test_over_the_limit_one_is_told_when_to_come_back() -> None:
    decoder = ScriptedDecoder()
    with serving(decoder, max_batch=1, max_waiting=1) as live, ThreadPoolExecutor(2) as pool:
        decoder.gate.clear()
        first = [pool.submit(ask, live), pool.submit(ask, live)]
        assert unfinished(live, 2)
        for fields in ({}, {"stream": True}, {"n": 2}):
            refused = ask(live, **fields)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.json()["error"] | {"message": ""} == {
                "message": "",
                "type": "rate_limit_error",
                "param": None,
                "code": "rate_limit_exceeded",
            }
            assert "2 requests are under way or wait" in refused.json()["error"]["message"]
        decoder.gate.set()
        assert [said(one.result(20)) for one in first] == [WELL, WELL]
        assert said(ask(live)) == WELL


def test_a_request_that_is_let_in_has_all_of_its_choices_answered() -> None:
    decoder = ScriptedDecoder()
    with serving(decoder, max_batch=2, max_waiting=0) as live:
        answer = ask(live, n=7).json()
        assert [choice["index"] for choice in answer["choices"]] == list(range(7))
        assert {choice["message"]["content"] for choice in answer["choices"]} == {WELL}
        assert unfinished(live, 0)


@pytest.mark.parametrize("deadline_ms", [0, -5, -1.5])
def test_a_deadline_that_has_passed_is_refused_and_nothing_is_computed(deadline_ms: float) -> None:
    decoder = ScriptedDecoder()
    with serving(decoder) as live:
        for stream in (False, True):
            refused = ask(live, deadline_ms=deadline_ms, stream=stream)
            assert (refused.status_code, refused.json()["error"]["param"]) == (408, "deadline_ms")
            message = refused.json()["error"]["message"]
            assert message == f"The deadline of {deadline_ms:g} ms passed before the answer was begun: allow more time."
        assert decoder.calls == []
        assert live.engine.num_unfinished() == 0


def test_a_deadline_passes_while_one_waits_for_a_place() -> None:
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s = ("word ",) * 900, 0.01
    with serving(decoder, max_batch=1) as live, ThreadPoolExecutor(1) as pool:
        front = pool.submit(ask, live, max_tokens=100)
        assert decoder.begun.wait(20)
        refused = ask(live, deadline_ms=100)
        assert refused.status_code == 408
        assert "deadline passed" in refused.json()["error"]["message"]
        assert not front.done(), "nobody waited for it"
        assert said(front.result(20)) == "word " * 100


def test_a_deadline_passes_while_the_models_load() -> None:
    gate = threading.Event()

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        assert gate.wait(10)
        return ScriptedPair(), ScriptedDecoder()

    with live_server(load) as live:
        assert ask(live, deadline_ms=50).status_code == 408
        assert live.http.get("/health").json()["status"] == "loading"
        gate.set()
        assert said(ask(live, deadline_ms=60_000)) == WELL


def test_who_has_the_higher_priority_comes_first() -> None:
    decoder = ScriptedDecoder()
    with serving(decoder, max_batch=1, policy="priority") as live, ThreadPoolExecutor(5) as pool:
        decoder.gate.clear()
        done: list[str | None] = []

        def wait_for(priority: str | None) -> None:
            assert said(ask(live, priority=priority)) == WELL
            done.append(priority)

        order = ["normal", "low", None, "high"]
        for count, priority in enumerate(order, 1):
            pool.submit(wait_for, priority)
            assert unfinished(live, count)
            assert decoder.begun.wait(20)
        decoder.delay_s = 0.03
        decoder.gate.set()
        assert wait_until(lambda: len(done) == 4)
        assert done == ["normal", "high", None, "low"], "the first had begun"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("priority", "urgent", "priority is \"urgent\": it must be one of 'low', 'normal' or 'high'."),
        ("priority", 3, "priority is 3: it must be one of 'low', 'normal' or 'high'."),
        ("deadline_ms", "soon", 'deadline_ms is "soon": it must be a number of milliseconds'),
        ("deadline_ms", True, "deadline_ms is true: it must be a number of milliseconds"),
        ("deadline_ms", [5], "deadline_ms is [5]: it must be a number of milliseconds"),
        ("deadline_ms", 1e13, "deadline_ms is 10000000000000.0: it must be a number of milliseconds"),
        ("deadline_ms", 10**400, "deadline_ms is 1000"),
    ],
)
def test_what_is_no_priority_and_no_deadline_is_told(scripted: Live, field: str, value: object, words: str) -> None:
    for path in (CHAT, "/v1/completions"):
        body = {"messages": [{"role": "user", "content": "a"}], "prompt": "a", field: value}
        answer = scripted.http.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
        assert answer.json()["error"]["message"].startswith(words)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_no_deadline(scripted: Live, number: str) -> None:
    body = f'{{"prompt": "a", "deadline_ms": {number}}}'
    answer = scripted.http.post("/v1/completions", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "deadline_ms")


def test_a_number_for_no_priority_is_none(scripted: Live) -> None:
    """vLLM's clients send it."""
    assert said(ask(scripted, priority=0)) == WELL


@pytest.mark.parametrize("error", [NumericalError("NaN in the logits."), ValueError("a bug in a grammar")])
def test_the_failure_of_one_is_its_own(error: Exception) -> None:
    decoder = ScriptedDecoder()
    decoder.fail_at, decoder.fails, decoder.error, decoder.delay_s = 1, "bad", error, 0.02
    with serving(decoder) as live, ThreadPoolExecutor(3) as pool:
        good, bad, refused = (pool.submit(ask, live, text) for text in ("good", "bad", "refuse me"))
        assert bad.result(20).status_code == 500
        assert str(error) in bad.result().json()["error"]["message"]
        assert refused.result(20).status_code == 400
        assert said(good.result(20)) == WELL
        assert live.http.get("/health").json()["status"] == "ready"


def test_a_step_that_fails_as_a_whole_is_told_to_all_and_the_next_are_served() -> None:
    decoder = ScriptedDecoder()
    with serving(decoder) as live, ThreadPoolExecutor(2) as pool:
        decoder.gate.clear()
        two = [pool.submit(ask, live), pool.submit(ask, live, "again")]
        assert unfinished(live, 2)
        decoder.step_error = MemoryError("no more")
        decoder.gate.set()
        told = [one.result(20) for one in two]
        assert {one.status_code for one in told} <= {200, 500}
        assert any("MemoryError: no more" in one.text for one in told)
        assert said(ask(live)) == WELL
        assert live.http.get("/health").json()["status"] == "ready"
        assert unfinished(live, 0)


def test_health_tells_when_the_engine_has_ended() -> None:
    decoder = ScriptedDecoder()
    with serving(decoder) as live, ThreadPoolExecutor(1) as pool:
        decoder.gate.clear()
        running = pool.submit(ask, live)
        assert decoder.begun.wait(20)
        decoder.step_error = SystemExit(3)
        decoder.gate.set()
        told = running.result(20)
        assert told.status_code == 500
        assert "The engine has ended (SystemExit: 3)" in told.json()["error"]["message"]
        health = live.http.get("/health").json()
        assert (health["status"], "start the server again" in health["message"]) == ("failed", True)
        assert ask(live).json()["error"]["message"] == health["message"], "who comes later is told at once"


def comments(answer: httpx.Response) -> list[str]:
    return [line[2:] for line in answer.text.splitlines() if line.startswith(": ")]


def streamed(answer: httpx.Response) -> str:
    lines = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    return "".join(line["choices"][0]["delta"].get("content", "") for line in lines)


def test_a_stream_tells_how_many_are_ahead() -> None:
    decoder = ScriptedDecoder()
    decoder.delay_s = 0.05
    with serving(decoder, max_batch=1) as live, ThreadPoolExecutor(3) as pool:
        streams = []
        for count in (1, 2, 3):
            streams.append(pool.submit(ask, live, stream=True))
            assert wait_until(lambda count=count: len(decoder.calls) == count)
        told = [comments(one.result(20)) for one in streams]
        assert told[0] == []
        assert told[1] == ["waiting 0 ahead"]
        assert told[2] == ["waiting 1 ahead", "waiting 0 ahead"]
        assert [streamed(one.result()) for one in streams] == [WELL] * 3


def test_a_stream_tells_when_its_answer_steps_aside_and_comes_back() -> None:
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s, decoder.blocks = tuple("abcdefghijklmnop"), 0.005, 6
    tight = {"block_tokens": 4, "chunk_tokens": 4, "draft_tokens": 0, "spare_blocks": 0}
    with serving(decoder, **tight) as live, ThreadPoolExecutor(2) as pool:
        streams = [pool.submit(ask, live, stream=True, max_tokens=16) for _ in range(2)]
        told = [one.result(20) for one in streams]
        assert [streamed(one) for one in told] == ["abcdefghijklmnop"] * 2
        aside = [[line for line in comments(one) if line in ("preempted", "resumed")] for one in told]
        assert sorted(aside) == [[], ["preempted", "resumed"]]
        refused = ask(live, "x" * 40)
        assert refused.status_code == 400, "more than the pool"


def states(live: Live) -> list[str]:
    return [one["state"] for one in live.http.get("/v1/batch").json()["running"]]


def test_who_leaves_makes_room_before_the_next_step() -> None:
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s = ("word ",) * 100_000, 0.01  # a quarter of an hour: nobody waits for its end
    with serving(decoder, max_batch=1) as live:
        body = {"messages": [{"role": "user", "content": "a"}], "stream": True}
        with live.http.stream("POST", CHAT, json=body) as stream:
            lines = stream.iter_lines()  # kept, as httpx closes the connection when nobody has it any more
            assert next(lines)
            assert decoder.begun.wait(20)
            # The step in which it begins may not be over yet.
            assert wait_until(lambda: states(live) == ["writing"], 20)
        decoder.words = ("All ", "is ", "well.")
        assert said(ask(live)) == WELL
        assert decoder.cancels == 1


def test_the_batch_is_told_and_any_of_it_can_be_stopped() -> None:
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s = ("word ",) * 900, 0.01
    with serving(decoder, max_batch=1, policy="shortest") as live, ThreadPoolExecutor(2) as pool:
        one = pool.submit(ask, live, prompt_cache_key="chat-1", max_tokens=800)
        assert decoder.begun.wait(20)
        two = pool.submit(ask, live, "longer", priority="low", max_tokens=900)
        assert unfinished(live, 2)
        assert wait_until(lambda: live.http.get("/v1/batch").json()["waiting"][0]["prompt_tokens"] is not None)
        told = live.http.get("/v1/batch").json()
        assert (told["policy"], told["max_batch"], told["tokens_per_second"] >= 0) == ("shortest", 1, True)
        [running], [waiting] = told["running"], told["waiting"]
        assert (running["chat"], running["priority"], running["prompt_tokens"]) == ("chat-1", "normal", 5)
        assert running["rows"] == {"read": 0, "plain": 1, "accepted": 0, "rejected": 1}
        assert 0 < running["written_tokens"] < 800
        assert running["blocks"] >= 1
        assert waiting | {"id": ""} == {
            "id": "",
            "choice": 0,
            "chat": None,
            "priority": "low",
            "state": "waiting",
            "ahead": 0,
            "prompt_tokens": 6,
            "written_tokens": 0,
        }
        assert set(told["blocks"]) == {"total", "used", "shared", "tokens", "bytes"}
        assert told["metrics"]["steps"] >= 0
        for request in (waiting["id"], running["id"]):
            assert live.http.delete(f"/v1/batch/{request}").json() == {"request": request}
        assert [each.result(20).status_code for each in (one, two)] == [500, 500]
        assert unfinished(live, 0)
        gone = live.http.delete(f"/v1/batch/{running['id']}")
        assert (gone.status_code, gone.json()["error"]["param"]) == (404, "request")


def test_a_chat_is_forgotten_now_and_behind_its_answers_under_way() -> None:
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s = ("word ",) * 40, 0.01
    with serving(decoder) as live, ThreadPoolExecutor(2) as pool:
        chats = [pool.submit(ask, live, prompt_cache_key=key) for key in ("a", "b")]
        assert unfinished(live, 2)
        assert wait_until(lambda: len(decoder.calls) == 2)
        assert live.http.delete("/v1/prefixes/a").status_code == 202
        assert wait_until(lambda: decoder.forgotten == ["a"])
        assert not any(chat.done() for chat in chats), "now, and not behind them"
        for chat in chats:
            chat.result(20)
        assert wait_until(lambda: decoder.forgotten == ["a", "a"])
        assert unfinished(live, 0)
        assert decoder.forgotten == ["a", "a"], "the other's end forgets nothing"


def test_of_several_answers_one_must_be_named_to_be_steered() -> None:
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s = ("word ",) * 900, 0.01
    with serving(decoder) as live, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask, live, n=n) for n in (1, 2)]
        assert wait_until(lambda: len(decoder.calls) == 3)
        refused = live.http.post("/v1/speculation/settings", json={"lookahead": 3})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "request")
        assert "2 answers are under way" in refused.json()["error"]["message"]
        running = live.http.get("/v1/batch").json()["running"]
        [several] = {one["id"] for one in running if one["choice"] == 1}
        told = live.http.post("/v1/speculation/settings", json={"lookahead": 3, "request": several})
        assert told.json() == {"request": several}
        changes = [call["steering"].take() for call in decoder.calls]
        assert sorted(change.lookahead if change else 0 for change in changes) == [0, 3, 3], "all choices of it"
        for one in {one["id"] for one in running}:
            live.http.delete(f"/v1/batch/{one}")
        assert [one.result(20).status_code for one in asked] == [500, 500]
