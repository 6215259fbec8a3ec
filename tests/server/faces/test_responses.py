"""OpenAI's Responses: what clients of theirs were seen to send and to read."""

from typing import Any

import pytest

from tests.server.faces.shapes import CALL, SCHEMA, THOUGHT, events_of, refusal, steady
from tests.server.live import Live
from tests.server.scripted import ScriptedDecoder

PATH = "/v1/responses"
TOOL = {"type": "function", "name": "weather", "description": "Of a city.", "parameters": SCHEMA, "strict": None}
TEXT: dict[str, Any] = {"type": "output_text", "text": "All is well.", "annotations": [], "logprobs": []}
MESSAGE = {"id": "msg", "type": "message", "status": "completed", "role": "assistant", "content": [TEXT]}
THINKING = {"type": "reasoning_text", "text": "Let me see."}
REASONING = {"id": "rs", "type": "reasoning", "status": "completed", "summary": [], "content": [THINKING]}
CALLED = {"id": "fc", "type": "function_call", "status": "completed", "call_id": "call", "name": "weather"}
CALLED |= {"arguments": '{"city": "Paris"}'}
WHOLE: dict[str, Any] = {
    "id": "resp",
    "object": "response",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "model": "scripted",
    "output": [MESSAGE],
    "user": None,
    "previous_response_id": None,
    "instructions": "Be brief.",
    "tools": [],
    "tool_choice": "auto",
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "top_logprobs": 0,
    "reasoning": {"effort": None, "summary": None},
    "max_output_tokens": None,
    "max_tool_calls": None,
    "store": True,
    "background": False,
    "service_tier": "default",
    "metadata": {"a": "b"},
    "safety_identifier": None,
    "prompt_cache_key": None,
    "temperature": 0.5,
    "top_p": 1.0,
    "usage": {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 14,
    },
}


def made(live: Live, **fields: Any) -> Any:
    answer = live.http.post(PATH, json={"input": "hi"} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_response_has_all_that_the_protocol_says(scripted: Live) -> None:
    told = made(scripted, instructions="Be brief.", temperature=0.5, metadata={"a": "b"}, unknown_field=1)
    assert steady(told) == WHOLE
    assert told["completed_at"] >= told["created_at"] > 1e9


def test_its_events_tell_each_item_from_its_beginning_to_its_end(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (*THOUGHT, *CALL)
    events = events_of(scripted, PATH, {"input": "hi", "tools": [TOOL]})
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert steady(events[-1]["response"]["output"]) == [REASONING, CALLED]
    assert steady([events[8]["item"], events[13]["item"]]) == [REASONING, CALLED]
    assert events[9]["item"]["arguments"] == ""
    assert "".join(event["delta"] for event in events[10:12]) == events[12]["arguments"] == '{"city": "Paris"}'
    assert {event["item_id"] for event in events[10:13]} == {events[9]["item"]["id"]}
    assert [event.get("output_index") for event in events[2:14]] == [0] * 7 + [1] * 5


def test_a_thought_ends_where_the_message_begins(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (*THOUGHT, "All ", "is ", "well.")
    told = made(scripted)
    assert steady(told["output"]) == [REASONING, MESSAGE]
    assert told["usage"]["output_tokens_details"]["reasoning_tokens"] == 4, "with the tags, without the space behind"


def test_who_asks_for_a_summary_has_the_thought_as_that(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = (*THOUGHT, "All ", "is ", "well.")
    events = events_of(scripted, PATH, {"input": "hi", "reasoning": {"summary": "auto"}})
    thought = [event for event in events if "reasoning" in event["type"]]
    assert [event["type"].removeprefix("response.reasoning_summary_") for event in thought] == [
        "part.added",
        "text.delta",
        "text.delta",
        "text.done",
        "part.done",
    ]
    assert {event["summary_index"] for event in thought} == {0}
    said = {"type": "summary_text", "text": "Let me see."}
    summed = {"id": "rs", "type": "reasoning", "status": "completed", "summary": [said]}
    assert steady(events[-1]["response"]["output"]) == [summed, MESSAGE]
    made(scripted, input="and?", previous_response_id=events[-1]["response"]["id"])
    assert "Let me see." in script.prompts[-1], "what was thought goes back to the model from there, too"


def test_streamed_text_adds_up_and_ends_with_done(scripted: Live) -> None:
    events = events_of(scripted, PATH, {"input": "hi"})
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "All is well."
    assert len(deltas) == 3
    assert scripted.http.post(PATH, json={"input": "hi", "stream": True}).text.endswith("data: [DONE]\n\n")


def test_an_answer_that_is_cut_is_incomplete(scripted: Live) -> None:
    told = made(scripted, max_output_tokens=2)
    assert (told["status"], told["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert told["output"][0]["status"] == "incomplete"
    assert events_of(scripted, PATH, {"input": "hi", "max_output_tokens": 2})[-1]["type"] == "response.incomplete"


def test_a_response_goes_on_from_another(scripted: Live, script: ScriptedDecoder) -> None:
    first = made(scripted, input="one ", instructions="Be brief.")
    second = made(scripted, input=[{"role": "user", "content": "two"}], previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    assert script.prompts[-1] == "one All is well.two", "the instructions are of one response"
    script.words = CALL
    called = made(scripted, previous_response_id=second["id"], tools=[TOOL])["output"][0]
    assert script.prompts[-1] == "one All is well.twoAll is well.hi"
    script.words = ("Sunny.",)
    result = {"type": "function_call_output", "call_id": called["call_id"], "output": "sun"}
    refused = refusal(scripted, PATH, {"input": [result], "previous_response_id": second["id"]})[1]["error"]
    assert refused["param"] == "input[0].call_id", "another branch made that call"


def test_what_was_kept_can_be_asked_for_and_deleted(scripted: Live) -> None:
    told = made(scripted, input=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    address = f"{PATH}/{told['id']}"
    assert scripted.http.get(address).json() == told
    items = scripted.http.get(f"{address}/input_items").json()
    assert [item["content"] for item in items["data"]] == ["b", "a"]
    assert items["first_id"] == items["data"][0]["id"]
    gone_on = made(scripted, input=[{"type": "item_reference", "id": items["first_id"]}])
    assert gone_on["usage"]["input_tokens"] == 1
    assert scripted.http.post(f"{address}/cancel").status_code == 400
    assert scripted.http.delete(address).json() == {"id": told["id"], "object": "response", "deleted": True}
    assert [scripted.http.get(address).status_code, scripted.http.delete(address).status_code] == [404, 404]
    unkept = made(scripted, store=False)["id"]
    status, error = refusal(scripted, PATH, {"input": "x", "previous_response_id": unkept})
    assert (status, error["error"]["code"]) == (404, "previous_response_not_found")


def test_input_tokens_are_counted(scripted: Live) -> None:
    told = scripted.http.post(f"{PATH}/input_tokens", json={"input": "hello"}).json()
    assert told == {"object": "response.input_tokens", "input_tokens": 5}


def test_what_the_engine_fails_of_is_told_in_the_stream(scripted: Live, script: ScriptedDecoder) -> None:
    script.fail_at = 1
    last = events_of(scripted, PATH, {"input": "hi"})[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert "out of memory" in last["response"]["error"]["message"]
    assert refusal(scripted, PATH, {"input": "hi"})[0] == 500


IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA"}
RESULT = {"type": "function_call_output", "call_id": "no", "output": "x"}
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"input": None}, "input", "is missing"),
    ({"input": 3}, "input", "a list"),
    ({"input": [3]}, "input[0]", "a JSON object"),
    ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role", '"wizard": it must be one of user'),
    ({"input": [{"role": "user", "content": [IMAGE]}]}, "input[0].content[0].type", "reads text only"),
    ({"input": "\ud800"}, "input", "half of a surrogate pair"),
    ({"input": [{"type": "web_search_call"}]}, "input[0].type", "web_search_call"),
    ({"input": [RESULT]}, "input[0].call_id", '"no": no function_call before it has that id'),
    ({"input": [{"type": "item_reference", "id": "no"}]}, "input[0].id", '"no"'),
    ({"max_output_tokens": 0}, "max_output_tokens", "0: it must be a whole number of at least 1"),
    ({"max_output_tokens": "many"}, "max_output_tokens", '"many"'),
    ({"reasoning": {"effort": "huge"}}, "reasoning.effort", '"huge"'),
    ({"reasoning": {"summary": "long"}}, "reasoning.summary", '"long": it must be one of'),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type", '"xml"'),
    ({"truncation": "middle"}, "truncation", '"middle"'),
    ({"tools": [{"type": "teleport"}]}, "tools[0].type", '"teleport"'),
    ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice", '"maybe"'),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name", "no function"),
    ({"include": ["everything"]}, "include[0]", "message.output_text.logprobs"),
    ({"background": True}, "background", "does not support it"),
    ({"temperature": "hot"}, "temperature", '"hot": it must be a number'),
]


@pytest.mark.parametrize(("fields", "param", "part"), BAD)
def test_bad_values_are_refused_by_name(scripted: Live, fields: Any, param: str, part: str) -> None:
    import json

    answer = scripted.http.post(PATH, content=json.dumps({"input": "hi"} | fields))
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert part in error["message"]


def test_tools_of_openai_s_own_are_left_out_and_choices_passed_on(scripted: Live, script: ScriptedDecoder) -> None:
    script.words = CALL
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]}
    told = made(scripted, tools=[{"type": "web_search"}, TOOL], tool_choice=choice)
    assert steady(told["output"]) == [CALLED]
    assert [tool["type"] for tool in told["tools"]] == ["web_search", "function"]
    assert made(scripted, tools=[{"type": "web_search"}])["output"][0]["type"] == "message"
