"""Anthropic's Messages: what clients of theirs were seen to send and to read."""

import json
from typing import Any

import httpx
import pytest

from tests.server.faces.shapes import CALL, SCHEMA, THOUGHT, events_of, refusal, steady
from tests.server.live import KEY, Live
from tests.server.scripted import ScriptedDecoder

PATH = "/v1/messages"
HELLO: dict[str, Any] = {"model": "scripted", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
TOOL = {"name": "weather", "description": "Of a city.", "input_schema": SCHEMA}
THINKS = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
USAGE = {"input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 3}


def made(live: Live, **fields: Any) -> Any:
    answer = live.http.post(PATH, json=HELLO | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_message_has_all_that_the_protocol_says(scripted: Live) -> None:
    assert steady(made(scripted, metadata={"user_id": "u"}, unknown_field=1)) == {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [{"type": "text", "text": "All is well."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": USAGE,
    }
    assert made(scripted, max_tokens=2)["stop_reason"] == "max_tokens"


def test_its_events_tell_each_block_from_its_beginning_to_its_end(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (*THOUGHT, "I ask. ", *CALL)
    events = events_of(scripted, PATH, HELLO | THINKS | {"tools": [TOOL]})
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["usage"]["input_tokens"] == 5
    told = [(event["type"].removeprefix("content_block_"), event.get("index")) for event in events]
    assert told == [
        ("message_start", None),
        ("ping", None),
        ("start", 0),
        ("delta", 0),
        ("delta", 0),
        ("delta", 0),
        ("stop", 0),
        ("start", 1),
        ("delta", 1),
        ("stop", 1),
        ("start", 2),
        ("delta", 2),
        ("delta", 2),
        ("stop", 2),
        ("message_delta", None),
        ("message_stop", None),
    ]
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert steady(starts) == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "call", "name": "weather", "input": {}},
    ]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert deltas[:3] == [
        {"type": "thinking_delta", "thinking": "Let me"},
        {"type": "thinking_delta", "thinking": " see."},
        {"type": "signature_delta", "signature": ""},
    ]
    assert json.loads("".join(delta["partial_json"] for delta in deltas[-2:])) == {"city": "Paris"}
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == len(script.words)


def test_what_is_thought_is_told_where_that_was_asked_for(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (*THOUGHT, "Hi.")
    assert made(scripted)["content"] == [{"type": "text", "text": "Hi."}]
    thought = {"type": "thinking", "thinking": "Let me see.", "signature": ""}
    assert made(scripted, **THINKS)["content"] == [thought, {"type": "text", "text": "Hi."}]
    assert script.calls[-1]["thinking_tokens"] == 1024


def test_a_call_and_its_result_go_back_to_the_model(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = CALL
    called = made(scripted, tools=[TOOL])
    assert called["stop_reason"] == "tool_use"
    [use] = called["content"]
    assert use["input"] == {"city": "Paris"}
    result = {"type": "tool_result", "tool_use_id": use["id"], "content": [{"type": "text", "text": "sun"}]}
    turns = [*HELLO["messages"], {"role": "assistant", "content": [use]}]
    turns.append({"role": "user", "content": [result, {"type": "text", "text": "and?"}]})
    made(scripted, messages=turns, tools=[TOOL], system=[{"type": "text", "text": "Be brief. "}])
    assert script.prompts[-1] == "Be brief. hellosunand?"


def test_the_beginning_of_an_answer_is_gone_on_with(scripted: Live, script: ScriptedDecoder) -> None:
    made(scripted, messages=[*HELLO["messages"], {"role": "assistant", "content": "All"}])
    assert script.calls[-1]["goes_on"]


def test_tokens_are_counted_without_a_limit(scripted: Live) -> None:
    body = {name: value for name, value in HELLO.items() if name != "max_tokens"}
    assert scripted.http.post(f"{PATH}/count_tokens", json=body | {"system": "sys"}).json() == {"input_tokens": 8}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
RESULT = {"type": "tool_result", "tool_use_id": "no", "content": "x"}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"max_tokens": None}, "max_tokens is missing"),
        ({"max_tokens": 0}, "max_tokens is 0: it must be"),
        ({"messages": []}, "messages is empty"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 'messages[0].role is "wizard"'),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, 'messages[0].content[0].type is "image"'),
        ({"messages": [{"role": "user", "content": "\udfff"}]}, "half of a surrogate pair"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, 'content[0].tool_use_id is "no": no tool_use before'),
        ({"stop_sequences": 3}, "stop_sequences is 3"),
        ({"thinking": {"type": "deep"}}, 'thinking.type is "deep"'),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens is -1"),
        ({"tool_choice": {"type": "maybe"}}, 'tool_choice.type is "maybe"'),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tools has no tool of that name"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema is null"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, 'tools[0].type is "bash_20250124"'),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_bad_values_are_refused_in_its_shape(scripted: Live, fields: dict[str, Any], part: str) -> None:
    answer = scripted.http.post(PATH, content=json.dumps(HELLO | fields))
    told = answer.json()
    assert (answer.status_code, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
    assert part in told["error"]["message"]


def test_other_errors_have_its_shape_too(scripted: Live, script: ScriptedDecoder) -> None:
    status, told = refusal(scripted, PATH, HELLO | {"model": "nope"})
    assert (status, told["error"]["type"]) == (404, "not_found_error")
    script.fail_at = 1
    last = events_of(scripted, PATH, HELLO)[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    wrong = httpx.post(scripted.url + PATH, json=HELLO, headers={"x-api-key": "no"})
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (401, "authentication_error")
    assert scripted.http.get(PATH).json()["type"] == "error"


def test_its_header_for_the_key_is_as_good_as_the_other(scripted: Live) -> None:
    for key, status in ((KEY, 200), ("", 401), (f"{KEY}x", 401)):
        told = httpx.get(f"{scripted.url}/v1/models", headers={"x-api-key": key, "anthropic-version": "2023-06-01"})
        assert told.status_code == status
    assert scripted.http.get("/v1/models").json()["first_id"] == "scripted"


def test_a_stop_sequence_is_told(tiny: Live) -> None:
    asked = HELLO | {"model": "tiny", "temperature": 0, "max_tokens": 24}
    text = tiny.http.post(PATH, json=asked).json()["content"][0]["text"]
    stop = next(character for character in text[3:] if character.isascii() and not character.isspace())
    told = tiny.http.post(PATH, json=asked | {"stop_sequences": ["nowhere", stop]}).json()
    assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", stop)
    assert "".join(block["text"] for block in told["content"]) == text[: text.index(stop)].rstrip()
