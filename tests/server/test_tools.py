"""Calls of tools and reasoning, through the real `openai` client: told apart from the text, and asked for."""

import json
from typing import Any

import pytest
from openai import BadRequestError

from mlx_spec.models.text.manner import ChatManner
from tests.server.live import Live
from tests.server.scripted import ScriptedDecoder, ScriptedPair

HELLO: list[Any] = [{"role": "user", "content": "Weather in Rome?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
NOW: Any = {"type": "function", "function": {"name": "now"}}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
SAID = ("<thi", "nk>\nWhich ", "city?\n</thin", "k>\n\nLet me ", "see.\n<tool", CALL[5:48], CALL[48:], "\n" + CALL)


def create(live: Live, **fields: Any) -> Any:
    asked = {"model": "scripted", "messages": HELLO, "tools": [WEATHER, NOW]} | fields
    return live.openai.chat.completions.create(**asked)


def test_calls_and_reasoning_are_told_apart_from_the_text(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = SAID
    answer = create(scripted)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 4
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me see."
    assert choice.message.model_extra["reasoning_content"] == "Which city?"
    calls = choice.message.tool_calls
    assert [(call.type, call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("function", "weather", {"city": "Rome"})
    ] * 2
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize("events", [False, True])
def test_they_are_streamed_as_deltas_and_no_marker_leaks(scripted: Live, script: ScriptedDecoder, events: bool) -> None:
    script.words = SAID
    content, reasoning, calls, reasons, deltas = "", "", {}, [], []
    for chunk in create(scripted, stream=True, extra_body={"speculation": {"events": events}}):
        delta = chunk.choices[0].delta
        content += delta.content or ""
        reasoning += (delta.model_extra or {}).get("reasoning_content", "")
        reasons += [chunk.choices[0].finish_reason] if chunk.choices[0].finish_reason else []
        for call in delta.tool_calls or ():
            if call.id is not None:
                calls[call.index] = [call.id, call.function.name, ""]
            calls[call.index][2] += call.function.arguments or ""
            deltas.append(call.function.arguments)
    assert (content, reasoning, reasons) == ("Let me see.", "Which city?", ["tool_calls"])
    assert [(name, json.loads(arguments)) for _, name, arguments in calls.values()] == [
        ("weather", {"city": "Rome"})
    ] * 2
    assert '{"city": "Rome"}' not in deltas[:2], "the first call's arguments come while they are written"


def test_one_call_is_told_where_they_are_not_to_be_parallel(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (CALL, CALL)
    message = create(scripted, parallel_tool_calls=False).choices[0].message
    assert len(message.tool_calls) == 1
    assert message.content is None


@pytest.mark.parametrize("fields", [{"tools": []}, {"tool_choice": "none"}])
def test_where_nothing_may_be_called_a_call_is_text(
    scripted: Live, script: ScriptedDecoder, fields: dict[str, Any]
) -> None:
    script.words = (CALL,)
    choice = create(scripted, **fields).choices[0]
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == (CALL, None, "stop")


def test_what_was_thought_may_stay_in_the_content(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = ("<think>\nhm\n</think>\n\n", "Yes.")
    message = create(scripted, tools=[], extra_body={"reasoning_format": "none"}).choices[0].message
    assert message.content == "<think>\nhm\n</think>\n\nYes."
    assert create(scripted, tools=[]).choices[0].message.content == "Yes."


def test_an_answer_that_is_cut_inside_of_a_call_ended_for_its_length(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (CALL[:50], CALL[50:])
    choice = create(scripted, max_tokens=1).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.tool_calls[0].function.arguments == CALL[45:50]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("required", {"weather", "now"}),
        ({"type": "function", "function": {"name": "now"}}, {"now"}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NOW]}},
            {"now"},
        ),
    ],
)
def test_a_call_that_must_come_is_a_grammar(
    scripted: Live, script: ScriptedDecoder, choice: Any, names: set[str]
) -> None:
    create(scripted, tool_choice=choice)
    constraint = script.calls[-1]["constraint"]
    assert constraint.kind == "tools"
    assert {name for name in ("weather", "now") if f"{name}" in constraint.source} == names
    create(scripted)
    assert script.calls[-1]["constraint"] is None


def test_strict_calls_are_a_grammar_too(scripted: Live, script: ScriptedDecoder) -> None:
    create(scripted, tools=[{"type": "function", "function": WEATHER["function"] | {"strict": True}}])
    assert script.calls[-1]["constraint"] is not None


@pytest.mark.parametrize(("takes", "sentence"), [(False, "knows no tools"), (True, "is not known here")])
def test_a_model_that_cannot_call_is_told_of(
    scripted: Live, script: ScriptedDecoder, monkeypatch: pytest.MonkeyPatch, takes: bool, sentence: str
) -> None:
    monkeypatch.setattr(ScriptedPair, "chat_manner", ChatManner(None, takes, None, {"x"}.__contains__))
    with pytest.raises(BadRequestError, match=sentence) as refused:
        create(scripted, tool_choice="required")
    assert refused.value.param == "tool_choice"
    answer = create(scripted)
    assert answer.choices[0].message.content == "All is well."
    assert sentence in answer.choices[0].model_extra["notes"][0]


def test_effort_is_told_to_the_template_as_it_takes_it(
    scripted: Live, script: ScriptedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    encode = ScriptedPair.encode_chat

    def encode_chat(self: ScriptedPair, messages: Any, *, continues: bool = False, options: Any) -> list[int]:
        seen.append(dict(options.settings))
        return encode(self, messages)

    monkeypatch.setattr(ScriptedPair, "encode_chat", encode_chat)
    monkeypatch.setattr(ScriptedPair, "chat_manner", ChatManner(None, False, None, {"enable_thinking"}.__contains__))
    assert create(scripted, tools=[], reasoning_effort="none").choices[0].model_extra.get("notes") is None
    noted = create(scripted, tools=[], reasoning_effort="high").choices[0].model_extra["notes"]
    assert noted == ["The model's chat template takes no reasoning_effort: it is ignored."]
    create(scripted, tools=[], extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    told = create(scripted, tools=[], extra_body={"chat_template_kwargs": {"other": 1}}).choices[0].model_extra["notes"]
    assert "asks for no other" in told[0]
    monkeypatch.setattr(ScriptedPair, "chat_manner", ChatManner(None, False, None, {"reasoning_effort"}.__contains__))
    create(scripted, tools=[], reasoning_effort="low")
    assert seen == [
        {"enable_thinking": False},
        {},
        {"enable_thinking": False},
        {"other": 1},
        {"reasoning_effort": "low"},
    ]


def test_a_limit_of_thinking_reaches_the_decoder(
    scripted: Live, script: ScriptedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(scripted, tools=[], extra_body={"thinking_token_budget": 40})
    create(scripted, tools=[], extra_body={"thinking_token_budget": -1})
    assert [call["thinking_tokens"] for call in script.calls] == [40, None]
    monkeypatch.setattr(ScriptedPair, "chat_manner", ChatManner(None, False, None, set().__contains__))
    told = create(scripted, tools=[], extra_body={"thinking_token_budget": 40}).choices[0].model_extra["notes"]
    assert told == ["No marks of reasoning are known of this model: thinking_token_budget is ignored."]


MADE = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function"} | NOW]}


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "tool", "tool_call_id": "c1", "content": "x"}],
        [MADE, {"role": "tool", "tool_call_id": "c2", "content": "x"}],
        [{"role": "tool", "tool_call_id": "c1", "content": "x"}, MADE],
    ],
)
def test_a_result_of_a_call_that_was_never_made_is_refused(scripted: Live, turns: list[Any]) -> None:
    with pytest.raises(BadRequestError, match="which no message of the assistant's before it made"):
        create(scripted, messages=[*HELLO, *turns])
    assert create(scripted, messages=[*HELLO, MADE, {"role": "tool", "tool_call_id": "c1", "content": "x"}])


def test_functions_as_they_were_before_there_were_tools(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (CALL, CALL)
    create(scripted, tools=None, functions=[WEATHER["function"]], function_call={"name": "weather"})
    assert script.calls[-1]["constraint"] is not None


def test_who_wants_one_call_has_the_answer_end_behind_it(scripted: Live, script: ScriptedDecoder) -> None:
    create(scripted)
    create(scripted, parallel_tool_calls=False)
    create(scripted, parallel_tool_calls=False, tool_choice="none")
    asked = [[tool["function"]["name"] for tool in call["one_call_of"]] for call in script.calls]
    assert asked == [[], ["weather", "now"], []]
