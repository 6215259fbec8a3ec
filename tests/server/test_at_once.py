"""Many clients at once of a server with a tiny real model: each gets the words that it has alone."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import mlx.core as mx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlx_spec.batching.settings import BatchSettings
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from tests.server.live import KEY, Live, live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.tiny import tiny_pair

CHAT = "/v1/chat/completions"
WAYS: list[dict[str, Any]] = [
    {"temperature": 1.0, "seed": 1},
    {"temperature": 0.0},
    {"temperature": 0.7, "seed": 2, "speculation": {"drafter": "none"}},
    {"temperature": 1.2, "seed": 3, "top_k": 20, "repetition_penalty": 1.2},
    {"temperature": 1.0, "seed": 4, "speculation": {"drafter": "model", "lookahead": 5}, "priority": "high"},
    {"temperature": 1.0, "seed": 5, "speculation": {"drafter": "ngram"}, "deadline_ms": 60_000},
    {"temperature": 1.0, "seed": 6, "n": 3},
    {"temperature": 0.9, "seed": 7, "speculation": {"tree": "3x2"}},
]


def bodies() -> list[dict[str, Any]]:
    text = "Why is the sky blue, and the sea? "
    return [
        {"messages": [{"role": "user", "content": text * (1 + 2 * i)}], "max_tokens": 12 + 3 * i} | way
        for i, way in enumerate(WAYS)
    ]


def words(live: Live, body: dict[str, Any]) -> list[str]:
    answer = live.http.post(CHAT, json=body).json()
    return [choice["message"]["content"] for choice in answer["choices"]]


def streamed(live: Live, body: dict[str, Any]) -> list[str]:
    said = [""] * body.get("n", 1)
    lines = live.http.post(CHAT, json=body | {"stream": True}).text.splitlines()
    for line in lines:
        if line.startswith("data: {"):
            [choice] = json.loads(line[6:])["choices"]
            said[choice["index"]] += choice["delta"].get("content", "")
    assert lines[-2:] == ["data: [DONE]", ""]
    return said


def test_each_gets_the_words_it_has_alone_while_others_come_and_leave(tiny: Live) -> None:
    alone = [words(tiny, body) for body in bodies()]
    leaving = threading.Event()

    def leave() -> None:
        """Ask, read a little, and go; again and again."""
        while not leaving.is_set():
            body = bodies()[0] | {"max_tokens": 200, "stream": True, "seed": 9}
            with tiny.http.stream("POST", CHAT, json=body) as answer:
                next(answer.iter_lines())

    with ThreadPoolExecutor(2 * len(WAYS) + 1) as pool:
        leaver = pool.submit(leave)
        whole = [pool.submit(words, tiny, body) for body in bodies()]
        in_streams = [pool.submit(streamed, tiny, body) for body in bodies()]
        assert [one.result(60) for one in whole] == alone
        assert [one.result(60) for one in in_streams] == alone
        leaving.set()
        leaver.result(60)
    assert wait_until(lambda: tiny.engine.num_unfinished() == 0)
    snapshot = tiny.engine.metrics.snapshot()
    assert snapshot.mean_batch > 1, "they were answered together"
    assert snapshot.requests.get("failed", 0) == 0


def test_the_counters_are_told_as_prometheus_reads_them(tiny: Live) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda body: words(tiny, body), bodies()[:4]))
    families = {one.name: one for one in text_string_to_metric_families(tiny.http.get("/metrics").text)}
    for name in ("queue", "first_token", "between_tokens", "pause", "step"):
        family = families[f"lookahead_{name}_seconds"]
        values = {sample.labels["quantile"]: sample.value for sample in family.samples}
        assert family.type == "summary"
        assert 0 <= values["0.5"] <= values["0.95"] <= values["0.99"] < 60
    snapshot = tiny.engine.metrics.snapshot()
    single = {"batch_steps": snapshot.steps, "batch_tokens": snapshot.tokens, "batch_prompts": snapshot.prompts}
    for name, value in single.items():
        [sample] = families[f"lookahead_{name}"].samples
        assert (sample.name, sample.value) == (f"lookahead_{name}_total", value)
    done = {sample.labels["outcome"]: sample.value for sample in families["lookahead_requests"].samples}
    assert done == snapshot.requests
    places = {sample.labels["place"]: sample.value for sample in families["lookahead_place_tested"].samples}
    assert places == {str(place): odds.tested for place, odds in enumerate(snapshot.by_place, 1)}
    assert {"lookahead_tokens_per_second", "lookahead_batch_blocks_used", "lookahead_preemptions"} <= families.keys()


def test_the_batch_is_told_of_real_answers(tiny: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, step = threading.Event(), tiny.engine._fleet.step

    def step_and_wait() -> None:
        """However fast the machine is, the answer is under way while it is looked at."""
        step()
        report = tiny.engine.batch_report()
        assert report is None or not report["running"] or looked.wait(20)

    monkeypatch.setattr(tiny.engine._fleet, "step", step_and_wait)
    body = bodies()[4] | {"max_tokens": 400, "prompt_cache_key": "a chat", "stream": True}
    with tiny.http.stream("POST", CHAT, json=body):
        assert wait_until(lambda: bool(tiny.http.get("/v1/batch").json()["running"]), 20)
        [one] = tiny.http.get("/v1/batch").json()["running"]
        looked.set()
    assert (one["chat"], one["priority"], one["choice"]) == ("a chat", "high", 0)
    assert one["id"].startswith("chatcmpl-")
    assert sum(one["rows"].values()) >= 1
    assert wait_until(lambda: tiny.http.get("/v1/batch").json()["running"] == [])


def test_who_leaves_while_its_prompt_is_read_frees_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, 2)
    prefixes = Prefixes(1 << 26)

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        pair = tiny_pair()
        return pair, SpeculativeDecoder(pair, prefixes=prefixes)

    settings = BatchSettings(prefill_budget_ms=1.0)
    with live_server(load, model_name="tiny", settings=settings) as live:
        assert wait_until(lambda: live.engine.is_loaded, 60)
        words(live, bodies()[1])
        body = {"messages": [{"role": "user", "content": "sea " * 400}], "stream": True}
        for _ in range(2):
            with live.http.stream("POST", CHAT, json=body | {"max_tokens": 5}) as answer:
                lines = answer.iter_lines()  # kept, as httpx closes the connection when nobody has it any more
                next(lines)
                assert wait_until(lambda: live.engine.num_unfinished() == 1)
            assert wait_until(lambda: live.engine.num_unfinished() == 0, 20)
        assert wait_until(lambda: live.http.get("/v1/batch").json()["running"] == [])
        assert wait_until(lambda: prefixes.pool.usage().used == len(prefixes._blocks), 20), "no block is lost"
        assert len(words(live, bodies()[1])) == 1


def test_two_hundred_connections_at_once_are_all_told_something() -> None:
    async def ask_all(url: str, count: int) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=count)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=url, limits=limits, headers=headers, timeout=60) as client:
            body = {"messages": [{"role": "user", "content": "hello"}]}
            return await asyncio.gather(*(client.post(CHAT, json=body) for _ in range(count)))

    decoder = ScriptedDecoder()
    with live_server(lambda progress: (ScriptedPair(), decoder)) as live:
        decoder.gate.clear()
        threading.Timer(2.0, decoder.gate.set).start()
        answers = asyncio.run(ask_all(live.url, 200))
        assert wait_until(lambda: live.engine.num_unfinished() == 0)
    answered = [one for one in answers if one.status_code == 200]
    refused = [one for one in answers if one.status_code == 429]
    assert len(answered) + len(refused) == 200
    assert len(answered) >= 72, "eight at once, and sixty-four that wait"
    assert {one.json()["choices"][0]["message"]["content"] for one in answered} == {"All is well."}
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)


def test_a_prompt_over_the_memory_for_keys_and_values_is_400_and_names_the_option() -> None:
    def load(progress: Progress) -> tuple[Pair, Decoder]:
        pair = tiny_pair()
        return pair, SpeculativeDecoder(pair, prefixes=Prefixes(300_000))

    with live_server(load, model_name="tiny") as live:
        assert wait_until(lambda: live.engine.is_loaded, 60)
        room = live.http.get("/v1/batch").json()["blocks"]
        tokens = room["total"] * room["tokens"]
        assert 50 < tokens < 1500
        body = {"messages": [{"role": "user", "content": "x" * (tokens + 10)}]}
        refused = live.http.post(CHAT, json=body)
        assert refused.status_code == 400
        assert "--kv-memory" in refused.json()["error"]["message"]
        assert refused.json()["error"]["param"] == "messages"
        assert live.http.post(CHAT, json=bodies()[1]).status_code == 200, "without a limit it is what there is room for"
