"""What a request may say, and the sentence for what it may not."""

import json
import threading
from typing import Any

import httpx
import pytest

from mlx_spec.server.requests import body, foreign_fields
from mlx_spec.server.requests.completions import parse_chat
from mlx_spec.server.requests.validation import RequestError
from tests.server.live import Live
from tests.server.scripted import ScriptedDecoder, ScriptedPair

HELLO = [{"role": "user", "content": "hello"}]


def ask(live: Live, **fields: Any) -> httpx.Response:
    """Post a chat request."""
    return live.http.post("/v1/chat/completions", content=json.dumps({"messages": HELLO} | fields))


def tool(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f"} | more}


BAD: list[tuple[str, Any, str, str]] = [
    ("temperature", -0.5, "temperature", "temperature is -0.5: it must be a number in [0, 100]"),
    ("temperature", float("nan"), "temperature", "temperature is nan: it must be a number in [0, 100]"),
    ("temperature", "hot", "temperature", 'temperature is "hot": it must be a number'),
    ("temperature", True, "temperature", "temperature is true: it must be a number"),
    ("top_p", False, "top_p", "top_p is false: it must be a number"),
    ("top_p", -0.1, "top_p", "(0, 1]"),
    ("top_p", 1.5, "top_p", "top_p is 1.5"),
    ("top_k", -2, "top_k", "top_k is -2: it must be a whole number of at least 0"),
    ("top_k", 1.5, "top_k", "a whole number"),
    ("min_p", 2, "min_p", "[0, 1]"),
    ("seed", -2, "seed", "seed is -2"),
    ("seed", 2**63, "seed", "seed is 9223372036854775808"),
    ("max_tokens", 0, "max_tokens", "max_tokens is 0: it must be a whole number of at least 1"),
    ("max_completion_tokens", -3, "max_completion_tokens", "max_completion_tokens is -3"),
    ("stop", ["a", 3], "stop", 'stop is ["a", 3]'),
    ("stream", "yes", "stream", 'stream is "yes": it must be true or false'),
    ("stream_options", [], "stream_options", "a JSON object"),
    ("speculation", {"exactness": "exact"}, "speculation.exactness", "strict"),
    ("speculation", {"lookahead": 33}, "speculation.lookahead", '"auto" or a whole number from 1 to 32'),
    ("speculation", {"lookahead": 0}, "speculation.lookahead", "speculation.lookahead is 0"),
    ("speculation", {"lookahead": True}, "speculation.lookahead", "speculation.lookahead is true"),
    ("speculation", {"drafter": "magic"}, "speculation.drafter", "'ngram', 'self' or 'none'"),
    ("speculation", {"event": True}, "speculation.event", "not a setting"),
    ("speculation", "on", "speculation", "a JSON object"),
    ("messages", [], "messages", "messages is empty"),
    ("messages", "hello", "messages", "a list"),
    ("messages", [3], "messages[0]", "messages[0] is 3"),
    ("messages", [{"content": "x"}], "messages[0].role", "messages[0].role is missing"),
    ("messages", [{"role": "robot", "content": "x"}], "messages[0].role", "'assistant', 'tool' or 'function'"),
    ("messages", [{"role": "user", "content": 5}], "messages[0].content", "a string or a list of text parts"),
    ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content", "not supported"),
    ("messages", [{"role": "user", "content": "\ud800"}], "messages[0].content", "surrogate"),
    ("messages", [{"role": "\ud800", "content": "x"}], "messages[0].role", "half of a surrogate pair"),
    (
        "response_format",
        {"type": "json_schema", "json_schema": {"name": "x", "schema": [1]}},
        "response_format.json_schema.schema",
        "response_format.json_schema.schema is [1]: it must be a JSON object",
    ),
    ("n", 0, "n", "n is 0: it must be a whole number from 1 to 128"),
    ("n", 129, "n", "from 1 to 128"),
    ("n", True, "n", "n is true: it must be a whole number"),
    ("best_of", 2, "best_of", "best_of is 2: it must be 1"),
    ("tools", 3, "tools", "a list"),
    ("tools", [{"type": "web_search"}], "tools[0].type", "it must be one of 'function'"),
    ("tools", [{"type": "function"}], "tools[0].function", "tools[0].function is missing"),
    ("tools", [{"type": "function", "function": {"name": ""}}], "tools[0].function.name", "a name of 1 to 256"),
    ("tools", [tool(parameters=[1])], "tools[0].function.parameters", "a JSON schema of an object"),
    ("tools", [tool(parameters={"type": "string"})], "tools[0].function.parameters", '"type" is "object"'),
    ("tools", [tool(), tool()], "tools", 'tools names "f" twice'),
    ("tool_choice", "required", "tool_choice", "there are no tools: name them in tools"),
    ("tool_choice", "never", "tool_choice", '"none", "auto", "required"'),
    ("tool_choice", {"type": "function", "function": {}}, "tool_choice", "an object like"),
    ("tool_choice", {"type": "function", "function": {"name": "g"}}, "tool_choice", "there are no tools"),
    ("parallel_tool_calls", "no", "parallel_tool_calls", "true or false"),
    ("chat_template_kwargs", [], "chat_template_kwargs", "a JSON object of settings"),
    ("chat_template_kwargs", {"tokenize": True}, "chat_template_kwargs", '"tokenize" is none'),
    ("reasoning_effort", "much", "reasoning_effort", "one of none, minimal, low"),
    ("reasoning_effort", 3, "reasoning_effort", "one of none, minimal, low"),
    ("thinking_token_budget", -2, "thinking_token_budget", "a whole number of tokens"),
    ("thinking_token_budget", True, "thinking_token_budget", "a whole number of tokens"),
    ("logprobs", 0, "logprobs", "logprobs is 0: it must be true or false"),
    ("top_logprobs", False, "top_logprobs", "top_logprobs is false: it must be a whole number from 0 to 20"),
    ("top_logprobs", 21, "top_logprobs", "top_logprobs is 21: it must be a whole number from 0 to 20"),
    ("top_logprobs", 3, "top_logprobs", "it must go together with logprobs"),
    ("echo", True, "echo", "echo is true: it must be left out"),
    ("prediction", "text", "prediction", 'prediction is "text": it must be an object like'),
    ("prediction", {"type": "image", "content": "x"}, "prediction", "an object like"),
    ("prediction", {"type": "content"}, "prediction", "an object like"),
    ("prediction", {"type": "content", "content": None}, "prediction", "an object like"),
    ("prediction", {"type": "content", "content": [{"type": "image_url"}]}, "prediction", "text parts"),
    ("prediction", {"type": "content", "content": "\ud800"}, "prediction", "surrogate"),
    ("prediction", {"type": "content", "content": "x" * 4_194_305}, "prediction", "at most 4,194,304 characters"),
    ("ignore_eos", True, "ignore_eos", "does not support"),
    ("min_tokens", 5, "min_tokens", "does not support"),
    ("min_tokens", False, "min_tokens", "does not support"),
    ("guided_json", {}, "guided_json", "does not support"),
    ("structured_outputs", {"json": {}}, "structured_outputs", "does not support"),
    ("stop_token_ids", [2], "stop_token_ids", "does not support"),
    ("mirostat", 2, "mirostat", "does not support"),
    ("repeat_penalty", 1.1, "repeat_penalty", "does not support"),
    ("skip_special_tokens", False, "skip_special_tokens", "does not support"),
    ("stop", "\ud800", "stop", "surrogate"),
    ("frequency_penalty", 2.5, "frequency_penalty", "frequency_penalty is 2.5: it must be a number in [-2, 2]"),
    ("presence_penalty", "much", "presence_penalty", 'presence_penalty is "much": it must be a number'),
    ("repetition_penalty", 0, "repetition_penalty", "it must be a number in [0.01, 100]"),
    ("logit_bias", {"5": 101}, "logit_bias[5]", "logit_bias[5] is 101.0: it must be a number in [-100, 100]"),
    ("logit_bias", {"5": "high"}, "logit_bias[5]", 'logit_bias[5] is "high": it must be a number'),
    ("logit_bias", {"hello": 1}, "logit_bias", "a JSON object from token ids to numbers from -100 to 100"),
    ("logit_bias", {"-1": 1}, "logit_bias", "a JSON object from token ids"),
    ("logit_bias", {"9" * 5000: 1}, "logit_bias", "a JSON object from token ids"),
    ("logit_bias", [5], "logit_bias", "logit_bias is [5]: it must be a JSON object"),
]


@pytest.mark.parametrize("stream", [False, True])
def test_bad_fields_are_400_naming_field_value_and_range(scripted: Live, stream: bool) -> None:
    for field, value, param, part in BAD:
        answer = ask(scripted, **({"stream": stream} | {field: value}))
        error = answer.json()["error"]
        assert answer.status_code == 400, (field, value, answer.text)
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param, (field, value)
        assert part in error["message"], (field, value, error["message"])
        assert error["message"].endswith((".", "it out.")), error["message"]


def test_harmless_fields_are_taken(scripted: Live, script: ScriptedDecoder) -> None:
    harmless = {
        "n": 1,
        "best_of": 1,
        "tools": [],
        "tool_choice": "none",
        "logprobs": False,
        "top_logprobs": 0,
        "echo": False,
        "prediction": {"type": "content", "content": ""},
        "user": "me",
        "metadata": {"a": 1},
        "store": None,
    }
    nothing = {
        "logit_bias": {},
        "frequency_penalty": None,
        "temperature": None,
        "repeat_penalty": 1.0,
        "mirostat": 0,
        "ignore_eos": False,
        "stop_token_ids": [],
        "grammar": "",
        "skip_special_tokens": True,
        "stop": None,
        "max_tokens": None,
        "speculation": None,
        "stream": None,
    }
    answer = ask(scripted, **harmless, **nothing, response_format={"type": "text"}, presence_penalty=0.0)
    assert answer.status_code == 200
    assert script.calls[0]["params"].temperature == 1.0
    assert script.calls[0]["max_tokens"] == 1000


NOT_SET: dict[str, Any] = {"seed": -1, "top_k": -1, "top_p": 0, "stop": "", "max_tokens": -1}


@pytest.mark.parametrize("field", NOT_SET)
def test_what_other_servers_clients_send_for_not_set_is_as_good_as_left_out(
    scripted: Live, script: ScriptedDecoder, field: str
) -> None:
    ask(scripted)
    assert ask(scripted, **{field: NOT_SET[field]}).status_code == 200
    left_out, told = script.calls
    assert (told["params"], told["max_tokens"]) == (left_out["params"], left_out["max_tokens"])


def test_minus_one_is_no_limit_where_left_out_is_one(scripted: Live, script: ScriptedDecoder) -> None:
    limits: list[tuple[dict[str, Any], int]] = [({}, 16), ({"max_tokens": None}, 16), ({"max_tokens": -1}, 1000)]
    for fields, limit in [*limits, ({"max_tokens": 7, "max_completion_tokens": -1}, 1000)]:
        assert scripted.http.post("/v1/completions", json={"prompt": "a"} | fields).status_code == 200
        assert script.calls[-1]["max_tokens"] == limit, fields


def test_what_is_left_out_is_the_models_own_and_what_is_given_is_not(
    scripted: Live, script: ScriptedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedPair, "sampling", {"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.1})
    ask(scripted)
    ask(scripted, temperature=0, top_k=0, repetition_penalty=1)
    scripted.http.post("/v1/completions", json={"prompt": "a", "top_k": -1})
    drawn = [(one.temperature, one.top_k, one.repetition_penalty) for one in (call["params"] for call in script.calls)]
    assert drawn == [(0.6, 20, 1.1), (0.0, 0, 1.0), (0.6, 20, 1.1)]


@pytest.mark.parametrize(("name", "harmless"), foreign_fields.ASKS_NOTHING.items())
def test_no_foreign_field_takes_a_truth_value_for_a_number_or_the_other_way_round(
    name: str, harmless: tuple[object, ...]
) -> None:
    for value in (None, *harmless):
        parse_chat({"messages": HELLO, name: value})
    for value in (0, 1, False, True):
        if not any(type(value) is type(one) and value == one for one in harmless):
            with pytest.raises(RequestError, match=f"^{name} is {json.dumps(value)}: this server does not support it"):
                parse_chat({"messages": HELLO, name: value})


def test_tools_that_may_be_left_alone_are_answered_in_text(scripted: Live) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    for choice in ({}, {"tool_choice": "auto"}, {"tool_choice": "none"}, {"parallel_tool_calls": True}):
        message = ask(scripted, tools=tools, **choice).json()["choices"][0]["message"]
        assert message["content"] == "All is well."


def test_settings_reach_the_decoder(scripted: Live, script: ScriptedDecoder) -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "seed": 3, "stop": ["a", "b"]}
    sampling |= {"repetition_penalty": 1.1, "presence_penalty": -2, "frequency_penalty": 0.5, "logit_bias": {"7": -100}}
    ask(
        scripted,
        **sampling,
        max_tokens=9,
        max_completion_tokens=5,
        speculation={"drafter": "none", "lookahead": 7, "exactness": "strict"},
    )
    call = script.calls[0]
    expected = sampling | {"stop": ("a", "b"), "logit_bias": ((7, -100.0),)}
    assert {name: getattr(call["params"], name) for name in sampling} == expected
    assert (call["max_tokens"], call["drafter"], call["lookahead"], call["exactness"]) == (5, "none", 7, "strict")
    assert call["thread"] == "engine"
    assert (call["logprobs"], call["prompt_logprobs"], call["predicted_ids"]) == (None, False, ())


def test_what_is_predicted_and_what_is_to_be_told_reach_the_decoder(scripted: Live, script: ScriptedDecoder) -> None:
    parts = [{"type": "text", "text": "All is "}, {"type": "text", "text": "well"}]
    prediction = {"type": "content", "content": parts}
    ask(scripted, logprobs=True, top_logprobs=20, prediction=prediction)
    ask(scripted, logprobs=True, prediction=prediction | {"content": "well"})
    told = [(call["logprobs"], "".join(map(chr, call["predicted_ids"]))) for call in script.calls]
    assert told == [(20, "All is well"), (0, "well")]


def test_a_prediction_is_encoded_beside_the_engine_whose_answers_would_wait_for_it(
    scripted: Live, script: ScriptedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    encode = ScriptedPair.encode_part

    def encode_part(self: ScriptedPair, text: str) -> list[int]:
        threads.append(threading.current_thread().name)
        return encode(self, text)

    monkeypatch.setattr(ScriptedPair, "encode_part", encode_part)
    ask(scripted, n=2, prediction={"type": "content", "content": "All is well"})
    assert len(threads) == 1, "once for all choices"
    assert threads[0] != script.calls[-1]["thread"] == "engine"
    assert [len(call["predicted_ids"]) for call in script.calls] == [11, 11]


def test_content_may_be_text_parts_and_an_assistant_may_have_none() -> None:
    parts = [{"type": "text", "text": "héllo "}, {"type": "text", "text": "🙂"}]
    turns = [{"role": "developer", "content": "x"}, {"role": "user", "content": parts}, {"role": "assistant"}]
    messages = parse_chat({"messages": turns}).generations()[0].messages
    assert messages == (
        {"role": "system", "content": "x"},
        {"role": "user", "content": "héllo 🙂"},
        {"role": "assistant", "content": ""},
    )


@pytest.mark.parametrize(
    "sent", ["", "{", "[]", "3", "null", "[" * 100_000, '{"messages": 1' + "0" * 5000 + "}", b"\xff{}"]
)
def test_what_is_no_json_object_is_400_in_one_sentence(scripted: Live, sent: str | bytes) -> None:
    answer = scripted.http.post("/v1/chat/completions", content=sent)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message.startswith("The request body")
    assert "\n" not in message


def test_a_body_over_the_limit_is_400_and_the_connection_survives(
    scripted: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_LIMIT_BYTES", 2**20)
    long = json.dumps({"messages": [{"role": "user", "content": "x" * (3 * 2**20)}]})
    answer = scripted.http.post("/v1/chat/completions", content=long)
    assert answer.status_code == 400
    assert "over 1 MB" in answer.json()["error"]["message"]
    assert scripted.http.get("/v1/models").status_code == 200


def test_huge_values_are_not_echoed_whole() -> None:
    with pytest.raises(RequestError) as caught:
        parse_chat({"messages": HELLO, "temperature": "x" * 10_000})
    assert len(str(caught.value)) < 200


def test_unknown_model_is_404_and_names_the_one_served(scripted: Live) -> None:
    answer = ask(scripted, model="gpt-4o")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "'scripted'" in answer.json()["error"]["message"]
    assert scripted.http.get("/v1/models/gpt-4o").status_code == 404
    for name in ("scripted", "scripted-target", "default"):
        assert ask(scripted, model=name).status_code == 200
        assert scripted.http.get(f"/v1/models/{name}").json()["id"] == "scripted"


def test_unknown_paths_and_methods_carry_the_error_object(scripted: Live) -> None:
    assert scripted.http.get("/v1/nothing").json()["error"]["message"].startswith("GET /v1/nothing")
    assert scripted.http.get("/v1/nothing").status_code == 404
    assert scripted.http.get("/v1/chat/completions").status_code == 405


def test_prompt_problems_are_400(scripted: Live) -> None:
    long = ask(scripted, messages=[{"role": "user", "content": "x" * 1000}], stream=True)
    assert (long.status_code, long.json()["error"]["param"]) == (400, "messages")
    error = long.json()["error"]
    assert error["code"] == "context_length_exceeded"
    # By these words LangChain, which does not see the code, and LiteLLM know what it is.
    assert "prompt is too long: this model's maximum context length is 1000 tokens" in error["message"]
    refused = ask(scripted, messages=[{"role": "user", "content": "refuse me"}])
    assert refused.status_code == 400
    assert "chat template" in refused.json()["error"]["message"]
