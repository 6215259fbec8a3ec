"""/v1/completions and /metrics, by OpenAI's own client and as Prometheus reads text."""

import re
from typing import Any

import pytest
from openai import BadRequestError

from tests.server.live import Live

ASK: dict[str, Any] = {"model": "tiny", "prompt": "Once upon a time", "seed": 3}


def test_streamed_and_whole_completions_say_the_same(tiny: Live) -> None:
    whole = tiny.openai.completions.create(**ASK, max_tokens=20, temperature=0.8)
    chunks = list(tiny.openai.completions.create(**ASK, max_tokens=20, temperature=0.8, stream=True))
    assert whole.object == "text_completion"
    assert whole.choices[0].text
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20


def test_the_prompt_is_taken_as_it_is_without_a_template(tiny: Live) -> None:
    pair = tiny.engine.pair
    assert pair is not None
    ids = pair.encode(ASK["prompt"])
    by_text = tiny.openai.completions.create(**ASK)
    by_ids = tiny.openai.completions.create(**ASK | {"prompt": ids})
    in_a_list = tiny.openai.completions.create(**ASK | {"prompt": [ASK["prompt"]]})
    assert by_text.usage is not None
    assert by_text.usage.prompt_tokens == len(ids)
    assert by_text.choices[0].text == by_ids.choices[0].text == in_a_list.choices[0].text


def test_sixteen_tokens_where_nothing_is_said(tiny: Live) -> None:
    usage = tiny.openai.completions.create(**ASK).usage
    assert usage is not None
    assert usage.completion_tokens == 16


def test_the_rounds_are_told_when_asked_for(tiny: Live) -> None:
    answer = tiny.openai.completions.create(**ASK, extra_body={"speculation": {"events": True}})
    assert answer.model_extra is not None
    rounds = answer.model_extra["speculation"]["rounds"]
    assert sum(len(one["emitted"]) for one in rounds) == 16


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [[1, 2], []]}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": ["a"] * 65, "n": 2}, "n"),
        ({"prompt": [1_000_000]}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"echo": 1}, "echo"),
        ({"echo": True, "max_tokens": -2}, "max_tokens"),
        ({"suffix": "end"}, "suffix"),
        ({"n": True}, "n"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"extra_body": {"top_logprobs": 3}}, "top_logprobs"),
        ({"best_of": 2}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_is_not_understood_names_the_field(tiny: Live, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        tiny.openai.completions.create(**ASK | fields)
    assert caught.value.param == param


def test_metrics_are_prometheus_text_and_follow_the_counters(tiny: Live) -> None:
    tiny.http.post("/v1/speculation/stats/reset")
    tiny.openai.completions.create(**ASK, max_tokens=7)
    answer = tiny.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = {}
    for line in answer.text.splitlines():
        if not line.startswith("# "):
            found = re.fullmatch(r"(lookahead_[a-z_]+)(?:{[^}]+})? ([0-9.e+-]+)", line)
            assert found, line
            values[found[1]] = float(found[2])
            assert f"# TYPE {found[1]} " in answer.text
    stats = tiny.http.get("/v1/speculation/stats").json()
    assert values["lookahead_generated_tokens_total"] == 7
    assert values["lookahead_accepted_tokens_total"] == stats["accepted_tokens"]
    assert values["lookahead_ready"] == 1
