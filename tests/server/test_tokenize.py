"""Counting tokens: what the window shows before anything is sent."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper

from mlx_spec.config import SamplingParams
from mlx_spec.models.text.options import PLAIN, ChatOptions
from mlx_spec.server.engine.answering import encoded
from mlx_spec.server.engine.job import GenerationRequest
from tests.server.live import Live
from tests.server.scripted import ScriptedPair
from tests.tiny import tiny_pair

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Why is the sky blue? 🙂 天空"},
]


def count(live: Live, **body: Any) -> httpx.Response:
    return live.http.post("/v1/tokenize", json=body)


def test_a_conversation_counts_as_the_engine_counts_it(tiny: Live) -> None:
    told = count(tiny, messages=CONVERSATION).json()
    answer = tiny.http.post("/v1/chat/completions", json={"messages": CONVERSATION, "max_tokens": 1}).json()
    assert told["num_tokens"] == answer["usage"]["prompt_tokens"]
    assert told["context_length"] == tiny.http.get("/v1/models").json()["data"][0]["context_length"]
    assert "prompt" not in told


def test_a_text_counts_without_the_template(tiny: Live) -> None:
    text = "Hello there, 你好"
    told = count(tiny, text=text, prompt=True).json()
    assert told["prompt"].endswith(text)
    assert 0 < told["num_tokens"] <= count(tiny, messages=[{"role": "user", "content": text}]).json()["num_tokens"]


@pytest.mark.starter
def test_the_prompt_is_what_the_template_makes_of_the_messages(starter_pair: Any) -> None:
    from mlx_spec.server.answers.tokenize import _count
    from mlx_spec.server.requests.tokenize import parse_tokenize

    told = _count(starter_pair, parse_tokenize({"messages": CONVERSATION, "prompt": True}))
    wanted = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy is the sky blue? 🙂 天空<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert told["prompt"] == wanted
    assert told["num_tokens"] == len(starter_pair.encode_chat(CONVERSATION))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Give either messages or text"),
        ({"text": "a", "messages": CONVERSATION}, "Give either messages or text"),
        ({"messages": []}, "There is no message"),
        ({"text": 3}, "text is 3"),
        ({"txt": "a"}, "txt is not a setting"),
        ({"text": "a", "model": "other"}, "other"),
    ],
)
def test_what_cannot_be_counted_is_named(tiny: Live, body: dict[str, Any], message: str) -> None:
    refused = count(tiny, **body)
    assert refused.status_code in (400, 404)
    assert message in refused.json()["error"]["message"]


def test_a_system_message_that_has_no_place_is_told_of() -> None:
    from mlx_spec.server.answers.tokenize import _count
    from mlx_spec.server.requests.tokenize import parse_tokenize

    pair = tiny_pair()
    asked = parse_tokenize({"messages": CONVERSATION, "prompt": True})
    assert "note" not in _count(pair, asked)
    pair.tokenizer.chat_template = "{% for m in messages if m.role == 'user' %}<|im_start|>{{ m.content }}{% endfor %}"
    told = _count(tiny_pair_with(pair.tokenizer), asked)
    assert "before the first question" in told["note"]
    assert told["prompt"].startswith("<|im_start|>Be brief.")


HALF = r"\ud800"
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "call",
    [
        CALL | {"function": {"name": "f", "arguments": f'{{"a": "{HALF}"}}'}},
        CALL | {"function": {"name": "f", "arguments": f'{{"{HALF}": 1}}'}},
        CALL | {"function": {"name": "f", "arguments": {"a": [json.loads(f'"{HALF}"')]}}},
        CALL | {"function": {"name": json.loads(f'"{HALF}"'), "arguments": {}}},
    ],
)
@pytest.mark.parametrize("path", ["/v1/tokenize", "/v1/chat/completions"])
def test_half_a_character_in_a_call_is_told_as_what_it_is(tiny: Live, path: str, call: dict[str, Any]) -> None:
    messages = [CONVERSATION[1], {"role": "assistant", "content": None, "tool_calls": [call]}, CONVERSATION[1]]
    refused = tiny.http.post(path, content=json.dumps({"messages": messages}))
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "messages")
    assert error["message"].startswith("The prompt holds bytes that are not UTF-8 text")


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("depth", [300, 700, 3000])
def test_arguments_are_refused_or_counted_however_deep(tiny: Live, depth: int, as_text: bool) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    function = f'{{"name": "f", "arguments": {json.dumps(deep) if as_text else deep}}}'
    asked = f'{{"role": "user", "content": "a"}}, {{"role": "assistant", "tool_calls": [{{"function": {function}}}]}}'
    answer = tiny.http.post("/v1/tokenize", content=f'{{"messages": [{asked}]}}')
    assert answer.status_code == (400 if depth == 3000 and not as_text else 200)


@pytest.mark.parametrize("error", [TypeError("a bug"), ValueError("a bug")])
def test_a_fault_of_our_own_is_not_blamed_on_the_template(error: Exception) -> None:
    from mlx_spec.server.answers.tokenize import _count
    from mlx_spec.server.requests.tokenize import parse_tokenize

    class Faulty(ScriptedPair):
        def encode_chat(
            self, messages: list[dict[str, str]], *, continues: bool = False, options: ChatOptions = PLAIN
        ) -> list[int]:
            raise error

    pair: Any = Faulty()
    with pytest.raises(type(error), match="a bug"):
        _count(pair, parse_tokenize({"messages": CONVERSATION}))
    with pytest.raises(type(error), match="a bug"):
        encoded(pair, GenerationRequest(messages=tuple(CONVERSATION), params=SamplingParams()))


def tiny_pair_with(tokenizer: Any) -> Any:
    return replace(tiny_pair(), tokenizer=TokenizerWrapper(tokenizer._tokenizer))
