"""Counting tokens: what the window shows before anything is sent."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper

from tests.server.live import Live
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
    from mlx_spec.server.tokenize import _count, parse_tokenize

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
    from mlx_spec.server.tokenize import _count, parse_tokenize

    pair = tiny_pair()
    asked = parse_tokenize({"messages": CONVERSATION, "prompt": True})
    assert "note" not in _count(pair, asked)
    pair.tokenizer.chat_template = "{% for m in messages if m.role == 'user' %}<|im_start|>{{ m.content }}{% endfor %}"
    told = _count(tiny_pair_with(pair.tokenizer), asked)
    assert "before the first question" in told["note"]
    assert told["prompt"].startswith("<|im_start|>Be brief.")


def tiny_pair_with(tokenizer: Any) -> Any:
    return replace(tiny_pair(), tokenizer=TokenizerWrapper(tokenizer._tokenizer))
