"""Clients that leave, engines that fail, and readers that do not read: the next request must be served."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import APIError, InternalServerError

from mlx_spec.config import SamplingParams
from mlx_spec.errors import ModelNotFoundError, NumericalError
from mlx_spec.events import Event
from mlx_spec.server.answers.stream import Patience
from mlx_spec.server.engine import job
from mlx_spec.server.engine.job import GenerationRequest, Job, JobFailed
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from mlx_spec.server.engine.thread import EngineThread
from tests.server.live import KEY, Live, live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.server.scripted_batch import any_batch

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
ENDLESS = tuple(f"word{i} " for i in range(100_000))


def served(live: Live, script: ScriptedDecoder) -> bool:
    """Whether the next request is answered, before its client's patience ends."""
    script.words, script.fail_at, script.delay_s = ("fine",), None, 0.0
    answer = live.openai.chat.completions.create(model="default", messages=HELLO)
    return answer.choices[0].message.content == "fine"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_cancels_its_generation(scripted: Live, script: ScriptedDecoder, stream: bool) -> None:
    script.words, script.delay_s = ENDLESS, 0.01
    script.begun.clear()
    body = json.dumps({"messages": HELLO, "stream": stream}).encode()
    port = int(scripted.url.rsplit(":", 1)[1])
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert script.begun.wait(5)
        if stream:
            assert b"200 OK" in connection.recv(1000)
    assert wait_until(lambda: script.cancels == 1)
    assert wait_until(lambda: script.closed == 1)
    assert served(scripted, script)


def test_closing_an_openai_stream_cancels_it(scripted: Live, script: ScriptedDecoder) -> None:
    """Closing: to break out of its loop alone leaves the client's connection open."""
    script.words, script.delay_s = ENDLESS, 0.01
    with scripted.openai.chat.completions.create(model="default", messages=HELLO, stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.role == "assistant"
    assert wait_until(lambda: script.cancels == 1)


def test_a_client_that_leaves_the_queue_is_never_generated_for(scripted: Live, script: ScriptedDecoder) -> None:
    script.gate.clear()
    first = threading.Thread(target=lambda: scripted.http.post("/v1/chat/completions", json={"messages": HELLO}))
    first.start()
    assert script.begun.wait(5)
    with pytest.raises(httpx.ReadTimeout):
        scripted.http.post("/v1/chat/completions", json={"messages": HELLO}, timeout=0.3)
    # A busy machine may hear of it late, and the one in front must not be done before that.
    assert wait_until(lambda: any(job.cancelled() for job in list(scripted.engine._unfinished.values())))
    script.gate.set()
    first.join(5)
    assert served(scripted, script)
    assert len(script.calls) == 2


@pytest.mark.parametrize(
    "error", [RuntimeError("out of memory"), NumericalError("NaN in the logits."), ValueError("bug")]
)
def test_an_engine_that_fails_is_a_500_and_lives_on(scripted: Live, script: ScriptedDecoder, error: Exception) -> None:
    script.fail_at, script.error = 1, error
    with pytest.raises(InternalServerError) as caught:
        scripted.openai.chat.completions.create(model="default", messages=HELLO)
    assert str(error) in caught.value.message
    with pytest.raises(APIError, match=str(error)):
        list(scripted.openai.chat.completions.create(model="default", messages=HELLO, stream=True))
    assert script.closed == 2
    # What fills the memory may be what answers have read.
    assert script.drops == (0 if isinstance(error, NumericalError) else 2)
    assert served(scripted, script)


def test_an_error_in_a_stream_is_its_last_chunk(scripted: Live, script: ScriptedDecoder) -> None:
    script.fail_at, script.delay_s = 1, 0.2
    answer = scripted.http.post("/v1/chat/completions", json={"messages": HELLO, "stream": True})
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert answer.status_code == 200
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["type"] == "server_error"


def test_probabilities_that_are_no_numbers_are_null(scripted: Live) -> None:
    body = {"messages": HELLO, "speculation": {"events": True}}
    told = scripted.http.post("/v1/chat/completions", json=body).json()["speculation"]
    assert told["rounds"][0]["drafted"][0]["p"] is None


def test_a_round_without_text_does_not_wait_for_the_next(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = ("", "🙂", "")
    body = {"messages": HELLO, "stream": True, "speculation": {"events": True}}
    answer = scripted.http.post("/v1/chat/completions", json=body)
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    rounds = [chunk for chunk in chunks if chunk.get("speculation", {}).get("type") == "round"]
    told = [(chunk["speculation"]["round"], chunk["choices"][0]["delta"]) for chunk in rounds]
    assert told == [(0, {}), (1, {"content": "🙂"}), (2, {})]


class Warming(ScriptedDecoder):
    """Warms up no sooner than it may, then breaks where it should."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.may_warm, self.warmed_at_calls, self.warm_up_error = threading.Event(), [], error
        self.is_warming = threading.Event()

    def warm_up(self) -> Iterator[None]:
        for _ in super().warm_up():
            self.is_warming.set()
            assert self.may_warm.wait(10)
            if self.warm_up_error:
                raise self.warm_up_error
            yield

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Event]:
        self.warmed_at_calls.append(self.warmed)
        return super().stream(*args, **kwargs)


def test_it_warms_up_while_nobody_asks() -> None:
    decoder = Warming()
    with live_server(lambda progress: (ScriptedPair(), decoder)) as live:
        assert decoder.is_warming.wait(10)
        client = threading.Thread(target=lambda: live.http.post("/v1/chat/completions", json={"messages": HELLO}))
        client.start()
        assert wait_until(lambda: live.engine.num_unfinished() == 1)
        decoder.may_warm.set()
        client.join(5)
        assert wait_until(lambda: decoder.warmed == 3)
    # A request waits for the step that is under way, and for no other.
    assert decoder.warmed_at_calls in ([0], [1])


def test_a_warm_up_that_fails_is_given_up() -> None:
    decoder = Warming(RuntimeError("bug"))
    decoder.may_warm.set()
    with live_server(lambda progress: (ScriptedPair(), decoder)) as live:
        assert wait_until(lambda: decoder.warmed == 1)
        assert served(live, decoder)
    assert decoder.warmed == 1


def test_requests_wait_for_the_models() -> None:
    gate = threading.Event()

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        progress("reading weights", 0.25)
        assert gate.wait(10)
        return ScriptedPair(), ScriptedDecoder()

    with live_server(load) as live:
        assert wait_until(lambda: "25%" in live.http.get("/health").json()["message"])
        assert live.http.get("/health").json()["status"] == "loading"
        assert live.http.get("/v1/models").json()["data"][0]["context_length"] is None
        assert live.http.get("/v1/speculation/stats").json()["rounds"] == 0
        threading.Timer(0.3, gate.set).start()
        answer = live.openai.chat.completions.create(model="default", messages=HELLO)
        assert answer.choices[0].message.content == "All is well."
        assert live.http.get("/health").json() == {"status": "ready", "message": "scripted is ready."}


@pytest.mark.parametrize("error", [ModelNotFoundError("There is no model folder /x."), KeyError("layers")])
def test_models_that_cannot_be_loaded_are_told_to_everybody(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def load(progress: Progress) -> tuple[Pair, Decoder]:
        raise error

    with live_server(load) as live:
        assert wait_until(lambda: live.http.get("/health").json()["status"] == "failed")
        message = live.http.get("/health").json()["message"]
        assert str(error) in message
        with pytest.raises(InternalServerError) as caught:
            live.openai.chat.completions.create(model="default", messages=HELLO)
        assert message in caught.value.message
    assert str(error) in caplog.text, "also to the terminal that it was started in"


def test_a_stream_opens_and_pings_while_it_waits_for_its_turn() -> None:
    gate = threading.Event()

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        assert gate.wait(10)
        raise ModelNotFoundError("It is gone.")

    body = {"prompt": "Hello", "stream": True}
    patience = Patience(begun_s=0.01, ping_s=0.01)
    with live_server(load, patience=patience) as live, live.http.stream("POST", "/v1/completions", json=body) as answer:
        assert answer.status_code == 200
        lines = (line for line in answer.iter_lines() if line)
        assert [next(lines)[:6] for _ in range(4)] == 4 * [": ping"], "before any event, as the engine has not begun"
        gate.set()
        assert any("It is gone." in line for line in lines)


def request() -> GenerationRequest:
    """Any request."""
    return GenerationRequest(messages=({"role": "user", "content": "x"},), params=SamplingParams())


def test_a_reader_that_stops_reading_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "EVENT_BUFFER", 8)
    monkeypatch.setattr(job, "READER_PATIENCE_S", 0.2)
    decoder = ScriptedDecoder()
    decoder.words = ENDLESS
    engine = EngineThread(lambda progress: (ScriptedPair(), decoder), make_batch=any_batch)
    engine.start()

    async def read_nothing() -> str:
        stuck = engine.submit(request())
        while not stuck.cancelled():
            await asyncio.sleep(0.01)
        seen = 0
        try:
            async for _ in stuck.events():
                seen += 1
        except JobFailed as failed:
            return f"{seen} events: {failed}"
        return "finished"

    seen, _, why = asyncio.run(read_nothing()).partition(" events: ")
    assert 8 <= int(seen) <= 16, "no more than twice the buffer"
    assert why.startswith("The client stopped reading")
    assert wait_until(lambda: decoder.closed == 1)
    engine.stop()
    assert engine.join(5)


def test_stopping_fails_what_runs_what_waits_and_what_comes() -> None:
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s = ENDLESS, 0.01
    engine = EngineThread(lambda progress: (ScriptedPair(), decoder), make_batch=any_batch)
    engine.start()

    async def outcome(made: Job) -> str:
        try:
            return str([event async for event in made.events()])
        except JobFailed as failed:
            return str(failed)

    async def three() -> list[str]:
        jobs = [engine.submit(request()), engine.submit(request())]
        assert await asyncio.to_thread(decoder.begun.wait, 5)  # the words, and not only the job
        engine.stop()
        return list(await asyncio.gather(*map(outcome, [*jobs, engine.submit(request())])))

    assert asyncio.run(three()) == ["The server is stopping."] * 3
    assert engine.join(5)
    assert 1 <= decoder.cancels <= 2, "the second may not have come to the batch yet"


def test_a_loop_that_is_gone_does_not_hurt_the_engine() -> None:
    decoder = ScriptedDecoder()
    decoder.gate.clear()
    engine = EngineThread(lambda progress: (ScriptedPair(), decoder), make_batch=any_batch)
    engine.start()

    async def leave() -> None:
        engine.submit(request())
        assert await asyncio.to_thread(decoder.begun.wait, 5)

    asyncio.run(leave())
    decoder.gate.set()
    assert wait_until(lambda: decoder.closed == 1)
    engine.stop()
    assert engine.join(5)
