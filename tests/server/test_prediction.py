"""OpenAI's `prediction` by its own client: the same words in fewer rounds, and what the usage tells of it."""

from typing import Any

import pytest

from tests.server.live import Live

MESSAGES: list[Any] = [{"role": "user", "content": "Write the file again."}]
ASK: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "seed": 5, "max_tokens": 40}
TEXT: dict[str, Any] = {"logit_bias": {str(byte): -100 for byte in range(94, 256)}}
"""Bytes that are text by themselves, so that a prediction has the answer's own tokens."""


def content(text: str) -> dict[str, Any]:
    return {"type": "content", "content": text}


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_a_right_prediction_takes_fewer_rounds_for_the_same_words(tiny: Live, temperature: float) -> None:
    ask = ASK | TEXT | {"temperature": temperature}
    told = {"speculation": {"events": True, "drafter": "ngram", "lookahead": 32}}
    bare = tiny.openai.chat.completions.create(**ask, extra_body=told)
    said = bare.choices[0].message.content
    assert said is not None
    assert said.isascii()
    found = tiny.openai.chat.completions.create(**ask, prediction=content(said), extra_body=told)
    assert found.choices[0].message.content == said
    rounds = [len((answer.model_extra or {})["speculation"]["rounds"]) for answer in (bare, found)]
    assert rounds[1] <= 3 < rounds[0]
    details = found.usage and found.usage.completion_tokens_details
    assert details is not None
    assert (details.accepted_prediction_tokens, details.rejected_prediction_tokens) == (40, 0)
    assert bare.usage is not None
    assert bare.usage.completion_tokens_details is None


def test_a_wrong_one_is_told_as_rejected_also_in_a_stream(tiny: Live) -> None:
    bare = tiny.openai.chat.completions.create(**ASK, temperature=0).choices[0].message.content
    parts: Any = {"type": "content", "content": [{"type": "text", "text": "~" * 3}, {"type": "text", "text": "~~"}]}
    chunks = list(
        tiny.openai.chat.completions.create(
            **ASK, temperature=0, prediction=parts, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == bare
    details = chunks[-1].usage and chunks[-1].usage.completion_tokens_details
    assert details is not None
    assert details.accepted_prediction_tokens is not None
    assert details.accepted_prediction_tokens + (details.rejected_prediction_tokens or 0) == 5


def test_a_long_one_is_answered(tiny: Live) -> None:
    text = "".join(chr(32 + (place * place) % 90) for place in range(1 << 18))
    answer = tiny.openai.chat.completions.create(**ASK | {"max_tokens": 12}, temperature=0, prediction=content(text))
    bare = tiny.openai.chat.completions.create(**ASK | {"max_tokens": 12}, temperature=0)
    assert answer.choices[0].message.content == bare.choices[0].message.content
    details = answer.usage and answer.usage.completion_tokens_details
    assert details is not None
    assert (details.accepted_prediction_tokens or 0) + (details.rejected_prediction_tokens or 0) == 1 << 18
