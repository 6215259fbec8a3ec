"""Ollama's protocol: what clients of theirs were seen to send and to read."""

import json
from typing import Any

import pytest

from tests.server.faces.shapes import CALL, SCHEMA, THOUGHT, refusal, steady
from tests.server.live import Live
from tests.server.scripted import ScriptedDecoder

HELLO: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
COUNTS = {"prompt_eval_count": 5}


def lines_of(live: Live, path: str, body: dict[str, Any]) -> list[Any]:
    answer = live.http.post(path, json=body)
    assert answer.headers["content-type"] == "application/x-ndjson", answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_chat_comes_in_lines_unless_the_whole_is_asked_for(scripted: Live) -> None:
    lines = lines_of(scripted, "/api/chat", HELLO | {"options": {"num_ctx": 4096, "seed": 3}, "unknown_field": 1})
    assert [line["message"]["content"] for line in lines] == ["All ", "is ", "well.", ""]
    assert [line["done"] for line in lines] == [False, False, False, True]
    whole = scripted.http.post("/api/chat", json=HELLO | {"stream": False}).json()
    assert steady(whole) == COUNTS | {
        "model": "scripted",
        "message": {"role": "assistant", "content": "All is well."},
        "done": True,
        "done_reason": "stop",
        "eval_count": 3,
    }
    assert whole["created_at"].endswith("Z")
    assert whole["total_duration"] > whole["prompt_eval_duration"] > 0
    assert whole.keys() == lines[-1].keys()


def test_what_is_thought_and_called_has_its_own_fields(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (*THOUGHT, *CALL)
    messages = [line["message"] for line in lines_of(scripted, "/api/chat", HELLO | {"tools": [TOOL], "think": True})]
    assert "".join(message.get("thinking", "") for message in messages) == "Let me see."
    [call] = [call for message in messages for call in message.get("tool_calls", [])]
    assert call["function"] == {"index": 0, "name": "weather", "arguments": {"city": "Paris"}}
    turns = [*HELLO["messages"], {"role": "assistant", "content": "", "tool_calls": [{"function": call["function"]}]}]
    turns.append({"role": "tool", "tool_name": "weather", "content": "sun"})
    scripted.http.post("/api/chat", json=HELLO | {"messages": turns, "tools": [TOOL]})
    assert script.prompts[-1] == "hellosun"


def test_a_prompt_is_asked_or_gone_on_with(scripted: Live, script: ScriptedDecoder) -> None:
    body = {"model": "scripted:latest", "prompt": "hello", "stream": False, "options": {"num_predict": 2}}
    told = scripted.http.post("/api/generate", json=body | {"system": "sys "}).json()
    assert (told["response"], told["done_reason"], told["model"]) == ("All is ", "length", "scripted:latest")
    assert script.prompts[-1] == "sys hello"
    lines = lines_of(scripted, "/api/generate", {"model": "scripted", "prompt": "hello", "raw": True})
    assert "".join(line["response"] for line in lines) == "All is well."
    assert script.calls[-1]["goes_on"]


def test_without_a_question_the_model_is_loaded(scripted: Live) -> None:
    for path in ("/api/chat", "/api/generate"):
        told = scripted.http.post(path, json={"model": "scripted"}).json()
        assert (told["done"], told["done_reason"]) == (True, "load")


def test_what_there_is_is_listed(scripted: Live) -> None:
    [model] = scripted.http.get("/api/tags").json()["models"]
    assert (model["name"], model["details"]["format"]) == ("scripted", "mlx")
    [running] = scripted.http.get("/api/ps").json()["models"]
    assert (running["name"], running["context_length"]) == ("scripted", 1000)
    shown = scripted.http.post("/api/show", json={"model": "scripted"}).json()
    assert "completion" in shown["capabilities"]
    assert shown["model_info"]["unknown.context_length"] == 1000
    assert scripted.http.get("/api/version").json()["version"].count(".") == 2
    assert [scripted.http.head(path).status_code for path in ("/", "/api/tags")] == [200, 200]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"model": ""}, "model is missing"),
        ({"messages": [{"role": "wizard"}]}, 'messages[0].role is "wizard"'),
        ({"messages": [{"role": "user", "content": "x", "images": ["AA"]}]}, "messages[0].images holds images"),
        ({"messages": [{"role": "user", "content": "\ud83d"}]}, "half of a surrogate pair"),
        ({"messages": [{"role": "tool", "content": "x", "tool_name": "y"}]}, 'tool_name is "y": no call before it'),
        ({"options": {"temperature": "hot"}}, 'options.temperature is "hot"'),
        ({"options": {"mirostat": 2}}, "options.mirostat is 2"),
        ({"options": {"repeat_penalty": 1.1}}, "options.repeat_penalty is 1.1"),
        ({"options": {"num_predict": 0}}, "options.num_predict is 0"),
        ({"think": "a lot"}, 'think is "a lot"'),
        ({"format": "xml"}, 'format is "xml"'),
        ({"stream": "yes"}, 'stream is "yes"'),
        ({"logprobs": "yes"}, 'logprobs is "yes"'),
    ],
)
def test_bad_values_are_refused_in_its_shape(scripted: Live, fields: dict[str, Any], part: str) -> None:
    answer = scripted.http.post("/api/chat", content=json.dumps(HELLO | fields))
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}
    assert part in answer.json()["error"]


def test_other_errors_have_its_shape_too(scripted: Live, script: ScriptedDecoder) -> None:
    assert refusal(scripted, "/api/chat", HELLO | {"model": "nope"})[0] == 404
    assert scripted.http.post("/api/pull", json={}).json()["error"].startswith("POST /api/pull is not served here")
    script.fail_at = 1
    assert "out of memory" in lines_of(scripted, "/api/chat", HELLO)[-1]["error"]
    wrong = scripted.http.get("/api/tags", headers={"Authorization": "Bearer no"})
    assert (wrong.status_code, wrong.json().keys()) == (401, {"error"})
