"""What a request may ask of the speculation, and changing an answer under way over HTTP."""

import json
from typing import Any

import httpx
import pytest

from tests.server.live import Live, wait_until
from tests.server.scripted import ScriptedDecoder

HELLO = [{"role": "user", "content": "hello there"}]


def ask(live: Live, speculation: dict[str, Any], **fields: Any) -> httpx.Response:
    body = {"messages": HELLO, "max_tokens": 24, "temperature": 0.7, "seed": 3, "speculation": speculation} | fields
    return live.http.post("/v1/chat/completions", json=body)


def test_each_token_tells_its_alternatives_where_they_were_asked_for(tiny: Live) -> None:
    rounds = ask(tiny, {"events": True, "alternatives": 2, "lookahead": 3}).json()["speculation"]["rounds"]
    tokens = [token for one in rounds for token in one["emitted"]]
    assert tokens
    for token in tokens:
        assert 1 <= len(token["target_top"]) <= 2
        assert set(token["target_top"][0]) == {"id", "text", "probability"}
    assert any("draft_top" in token for token in tokens)
    bare = ask(tiny, {"events": True, "lookahead": 3}).json()["speculation"]["rounds"]
    assert not any("target_top" in token for one in bare for token in one["emitted"])


def test_a_round_tells_whether_it_was_parked_and_what_a_plain_step_costs(tiny: Live) -> None:
    rounds = ask(tiny, {"events": True}).json()["speculation"]["rounds"]
    for one in rounds:
        assert one["parked"] is one["reason"].startswith("parked")
        assert one["plain_step_ms"] > 0


@pytest.mark.parametrize(
    ("asked", "param", "words"),
    [
        ({"alternatives": 99}, "speculation.alternatives", "99: it must be a whole number from 0 to 8"),
        ({"acceptance": "hope"}, "speculation.acceptance", "'coupled', 'token', 'block' or 'typical'"),
        ({"acceptance_threshold": 2}, "speculation.acceptance_threshold", "[0, 1]"),
        ({"min_acceptance_ratio": -1.0}, "speculation.min_acceptance_ratio", "[0, 1]"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(scripted: Live, asked: dict[str, Any], param: str, words: str) -> None:
    answer = ask(scripted, asked)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert words in error["message"]


def test_a_request_s_rule_is_the_answer_s(tiny: Live) -> None:
    assert ask(tiny, {"events": True, "acceptance": "typical", "lookahead": 4}).json()["speculation"]["stats"][
        "lossless"
    ] is False  # fmt: skip
    assert ask(tiny, {"events": True, "lookahead": 4}).json()["speculation"]["stats"]["lossless"] is True


def test_an_answer_under_way_is_steered_by_its_id(scripted: Live, script: ScriptedDecoder) -> None:
    script.gate.clear()
    body = {"messages": HELLO, "stream": True, "speculation": {"events": True}}
    with scripted.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        lines = stream.iter_lines()
        first = next(line for line in lines if line.startswith("data: "))
        name = json.loads(first.removeprefix("data: "))["id"]
        assert wait_until(script.begun.is_set)
        settings = {"request": name, "drafter": "ngram", "lookahead": 6, "acceptance_threshold": 0.25}
        answer = scripted.http.post("/v1/speculation/settings", json=settings)
        assert (answer.status_code, answer.json()) == (200, {"request": name})
        change = script.calls[-1]["steering"].take()
        assert (change.drafter, change.lookahead, change.acceptance_threshold) == ("ngram", 6, 0.25)
        assert change.acceptance is None
        other = scripted.http.post("/v1/speculation/settings", json=settings | {"request": "chatcmpl-no"})
        assert (other.status_code, other.json()["error"]["param"]) == (404, "request")
        script.gate.set()
        assert any("[DONE]" in line for line in lines)
    gone = scripted.http.post("/v1/speculation/settings", json=settings)
    assert gone.status_code == 404
    assert "can go with the next request" in gone.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"lookahead": 99}, "lookahead"),
        ({"speed": 3}, "speed"),
        ([], None),
    ],
)
def test_a_change_that_is_none_is_refused(scripted: Live, body: object, param: str | None) -> None:
    answer = scripted.http.post("/v1/speculation/settings", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_the_ceiling_is_null_where_nobody_measured_it(scripted: Live) -> None:
    told = scripted.http.get("/v1/speculation/machine").json()
    assert told["bandwidth_bytes_per_s"] is told["tokens_per_second"] is None
