"""What a face said, without what differs from time to time, so that it can be compared as a whole."""

import json
import re
from typing import Any

from tests.server.live import Live

TIMES = frozenset(
    {"created_at", "completed_at", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration"}
)
_ID = re.compile(r"^(resp|msg|rs|fc|call)_[0-9a-f]{8,}$")
THOUGHT = ("<think>", "Let me ", "see.", "</think>", "\n\n")
CALL = ("<tool_call>", '{"name": "weather", ', '"arguments": {"city": ', '"Paris"}}', "</tool_call>")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def steady(value: Any) -> Any:
    """`value` with ids by their kind, and without times."""
    if isinstance(value, dict):
        return {name: steady(one) for name, one in value.items() if name not in TIMES}
    if isinstance(value, list):
        return [steady(one) for one in value]
    if isinstance(value, str) and (found := _ID.match(value)):
        return found[1]
    return value


def events_of(live: Live, path: str, body: dict[str, Any]) -> list[Any]:
    """The server-sent events of an answer, each named by its type."""
    answer = live.http.post(path, json=body | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    events = []
    for block in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in lines and lines["data"] != "[DONE]":
            events.append(json.loads(lines["data"]))
            assert lines["event"] == events[-1]["type"]
    return events


def refusal(live: Live, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """The status and the object of an answer that refuses."""
    answer = live.http.post(path, json=body)
    return answer.status_code, answer.json()
