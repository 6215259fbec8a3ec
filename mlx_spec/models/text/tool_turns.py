"""Calls of tools, and what came of them, in a conversation: as the chat template has them, or as text."""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

Turn = dict[str, Any]
Render = Callable[[list[Turn]], str]

_CALL: Final = {
    "id": "probe0001",  # some templates insist on nine letters and digits
    "type": "function",
    "function": {"name": "probe_name", "arguments": {"probe_key": "probe_value"}},
}
_MARKS: Final = ("probe_name", "probe_key", "probe_value", "probe_result")


def template_turns(messages: Sequence[Mapping[str, Any]], render: Render | None) -> list[Turn]:
    """The messages as a chat template can take them. `render` makes the prompt of some, and raises where the template
    cannot take them; None where there is no template.

    Those of role "tool", and `tool_calls` of the assistant's, stay where the template shows both to the model.
    Otherwise they become text: what was called, in the assistant's own turn, and what came of it in a user's.
    """
    turns = [dict(message) for message in messages]
    if not any(turn["role"] == "tool" or turn.get("tool_calls") for turn in turns):
        return turns
    return (_native(turns, render) if render is not None else None) or _as_text(turns)


def _native(turns: list[Turn], render: Render) -> list[Turn] | None:
    """The turns as the template shows them, some with the arguments as an object and some as its text; None where it
    shows no calls or no results, or refuses these turns, as one that allows one call at a time. Where it refuses the
    ids of the calls, as Mistral's, it gets such as it takes."""
    called = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
    result = {"role": "tool", "content": "probe_result", "name": "probe_name", "tool_call_id": _CALL["id"]}
    probe: list[Turn] = [{"role": "user", "content": "?"}, called, result]
    for shape in (lambda arguments: arguments, _written):
        try:
            shown = render(_with_arguments(probe, shape))
            if all(mark in shown for mark in _MARKS):
                native = _with_arguments(turns, shape)
                try:
                    render(native)
                except Exception:  # noqa: BLE001
                    native = _with_short_ids(native)
                    render(native)
                return native
        except Exception:  # noqa: BLE001  # templates raise what they like
            continue
    return None


def _with_arguments(turns: list[Turn], shape: Callable[[Any], Any]) -> list[Turn]:
    def shaped(call: Mapping[str, Any]) -> dict[str, Any]:
        function = call["function"]
        return {**call, "function": {**function, "arguments": shape(function["arguments"])}}

    return [
        turn | {"tool_calls": list(map(shaped, turn["tool_calls"]))} if "tool_calls" in turn else turn for turn in turns
    ]


def _with_short_ids(turns: list[Turn]) -> list[Turn]:
    """The same with ids of nine letters and digits; what had one id has one."""

    def short(own_id: object) -> str:
        return blake2b(str(own_id).encode(), digest_size=8).hexdigest()[:9]

    def shaped(turn: Turn) -> Turn:
        changed: Turn = {"tool_call_id": short(turn["tool_call_id"])} if "tool_call_id" in turn else {}
        if "tool_calls" in turn:
            changed["tool_calls"] = [
                call | {"id": short(call["id"])} if "id" in call else call for call in turn["tool_calls"]
            ]
        return turn | changed

    return [shaped(turn) for turn in turns]


def _as_text(turns: list[Turn]) -> list[Turn]:
    """The turns with roles and contents alone. Neighbours of one role become one turn where a tool's is among them:
    many templates want the user and the assistant by turns."""
    names = {
        call["id"]: call["function"]["name"] for turn in turns for call in turn.get("tool_calls", ()) if "id" in call
    }
    told: list[Turn] = []
    for i, turn in enumerate(turns):
        plain = _plain(turn, names)
        touched = turn["role"] == "tool" or (i > 0 and turns[i - 1]["role"] == "tool")
        if told and touched and told[-1]["role"] == plain["role"]:
            told[-1]["content"] += "\n\n" + plain["content"]
        else:
            told.append(plain)
    return told


def _plain(turn: Turn, names: Mapping[str, str]) -> Turn:
    if turn["role"] == "tool":
        name = turn.get("name") or names.get(turn.get("tool_call_id", ""), "the tool")
        return {"role": "user", "content": f"Result of {name}:\n{turn['content']}"}
    called = [_call_text(call["function"]) for call in turn.get("tool_calls", ())]
    content = "\n\n".join([*([turn["content"]] if turn["content"] else []), *called])
    return {"role": turn["role"], "content": content}


def _call_text(function: Mapping[str, Any]) -> str:
    return f"Call of {function['name']}: {_written(function['arguments'])}"


def _written(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
