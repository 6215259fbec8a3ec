"""Answers of a tiny real model, through the real `openai` client."""

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import pytest
from openai import BadRequestError

from tests.server.live import Live, live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair

EVENTS = {"speculation": {"events": True}}
ASK: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Why is the sky blue? 🌈"}]} | {
    "temperature": 0.0  # where nothing else is said, so that no answer ends early by chance
}


def chunks_of(live: Live, **fields: Any) -> list[Any]:
    """All chunks of a streamed answer."""
    return list(live.openai.chat.completions.create(**ASK | {"stream": True, "max_tokens": 24} | fields))


def text_of(chunks: list[Any]) -> str:
    """The text that the chunks add up to."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def speculation_of(chunks: list[Any], kind: str) -> list[dict[str, Any]]:
    """The `speculation` objects of one type, as a client finds them."""
    objects = [chunk.model_extra["speculation"] for chunk in chunks if "speculation" in (chunk.model_extra or {})]
    return [found for found in objects if found["type"] == kind]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_streamed_and_whole_answers_say_the_same(tiny: Live, temperature: float) -> None:
    fields = {"temperature": temperature, "seed": 5, "max_tokens": 24}
    whole = tiny.openai.chat.completions.create(**ASK | fields, extra_body=EVENTS)
    chunks = chunks_of(tiny, **fields, extra_body=EVENTS, stream_options={"include_usage": True})
    content = whole.choices[0].message.content
    assert content
    assert text_of(chunks) == content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert whole.usage is not None
    assert chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens == 24
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 24
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_drafter_and_lookahead_change_no_word(tiny: Live) -> None:
    fields = {"temperature": 0.9, "seed": 11, "max_tokens": 24}
    ways: list[dict[str, Any]] = [{"drafter": "none"}, {"drafter": "model", "lookahead": 5}, {"lookahead": "auto"}, {}]
    answers = [tiny.openai.chat.completions.create(**ASK | fields, extra_body={"speculation": way}) for way in ways]
    assert len({answer.choices[0].message.content for answer in answers}) == 1
    assert all("speculation" not in (answer.model_extra or {}) for answer in answers)


def test_rounds_tell_the_whole_story(tiny: Live) -> None:
    chunks = chunks_of(tiny, extra_body={"speculation": {"events": True, "drafter": "model", "lookahead": 3}})
    rounds, [finished] = speculation_of(chunks, "round"), speculation_of(chunks, "finished")
    assert [found["round"] for found in rounds] == list(range(len(rounds)))
    emitted = [token for found in rounds for token in found["emitted"]]
    first = finished["prompt_tokens"]
    assert [token["position"] for token in emitted] == list(range(first, first + 24))
    # The last token may leave half a character, which only the end of the answer makes final.
    assert text_of(chunks).startswith("".join(token["text"] for token in emitted))
    for found in rounds:
        states = [token["state"] for token in found["drafted"]]
        assert states == sorted(states), "accepted, then at most one rejected, then untested"
        assert (found["correction"] is not None) == any(token["kind"] == "correction" for token in found["emitted"])
    assert finished["stats"]["rounds"] == len(rounds)
    assert finished["finish_reason"] == "length"
    assert speculation_of(chunks, "prefill")[-1]["processed_tokens"] == first


def test_without_streaming_the_answer_carries_the_rounds(tiny: Live) -> None:
    answer = tiny.openai.chat.completions.create(**ASK, max_tokens=8, seed=3, extra_body=EVENTS)
    told = (answer.model_extra or {})["speculation"]
    assert told["seed"] == 3
    assert told["stats"]["rounds"] == len(told["rounds"])
    assert sum(len(found["emitted"]) for found in told["rounds"]) == 8


def test_a_client_that_does_not_ask_never_sees_the_extension(tiny: Live) -> None:
    for chunk in chunks_of(tiny, max_tokens=6):
        assert not chunk.model_extra


def test_an_answer_tells_which_versions_made_it(tiny: Live) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
    whole = tiny.openai.chat.completions.create(**asked)
    assert whole.system_fingerprint == f"fp_lookahead_{version('lookahead-spec')}_mlx_{version('mlx')}"
    chunks = list(tiny.openai.chat.completions.create(**asked, stream=True))
    assert {chunk.system_fingerprint for chunk in chunks} == {whole.system_fingerprint}


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(tiny: Live) -> None:
    fields = {"temperature": 1.0, "seed": 5, "max_tokens": 24}
    whole = tiny.openai.chat.completions.create(**ASK | fields).choices[0].message.content
    assert whole
    stop = next(character for character in whole[3:] if character.isascii())
    answer = tiny.openai.chat.completions.create(**ASK | fields, stop=[stop]).choices[0]
    assert answer.message.content == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop"
    assert text_of(chunks_of(tiny, **fields, stop=stop, extra_body=EVENTS)) == answer.message.content


@pytest.mark.parametrize("stop", ["<|im_start|>", ["nowhere", "<|im_start|>"]])
def test_the_name_of_a_special_token_ends_the_answer_at_that_token(tiny: Live, stop: Any) -> None:
    assert tiny.engine.pair is not None
    [start] = tiny.engine.pair.encode("<|im_start|>")
    said = tiny.openai.chat.completions.create(**ASK, max_tokens=6, logit_bias={str(start): 100}, stop=stop)
    assert (said.choices[0].finish_reason, said.choices[0].message.content) == ("stop", "")


def test_two_requests_at_once_are_both_answered_as_if_alone(tiny: Live) -> None:
    def content(seed: int) -> str:
        return text_of(chunks_of(tiny, temperature=1.0, seed=seed))

    alone = [content(seed) for seed in (1, 2, 3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(content, (1, 2, 3))) == alone


def test_too_long_a_prompt_is_400_and_the_next_is_served(tiny: Live) -> None:
    with pytest.raises(BadRequestError, match="context"):
        tiny.openai.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * 3000}])
    assert chunks_of(tiny, max_tokens=2)


def test_the_bits_of_keys_and_values_are_told(tiny: Live) -> None:
    with live_server(lambda progress: (ScriptedPair(), ScriptedDecoder()), kv_bits=4) as few:
        assert [live.http.get("/v1/models").json()["data"][0]["kv_bits"] for live in (tiny, few)] == [None, 4]


def test_how_exact_answers_are_is_told() -> None:
    with live_server(lambda progress: (ScriptedPair(), ScriptedDecoder())) as scripted:
        assert wait_until(lambda: scripted.engine.is_loaded)
        card = scripted.http.get("/v1/models").json()["data"][0]
    assert (card["exactness"], card["row_invariant_width"]) == ("strict", 6)


@pytest.mark.parametrize("asked", ["strict", "fast"])
def test_an_answer_tells_how_exact_it_was(tiny: Live, asked: str) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 6, "seed": 1, "temperature": 1}
    told = tiny.http.post("/v1/chat/completions", json=body | {"speculation": {"events": True, "exactness": asked}})
    speculation = told.json()["speculation"]
    assert speculation["stats"]["exactness"] == asked
    margins = [token.get("margin") for one in speculation["rounds"] for token in one["emitted"]]
    if asked == "fast":
        assert speculation["stats"]["nearest_tie"] == min(margins) > 0
    else:
        assert set(margins) == {speculation["stats"]["nearest_tie"]} == {None}


def test_models_and_counters(tiny: Live) -> None:
    [model] = tiny.openai.models.list().data
    assert (model.id, model.owned_by) == ("tiny", "lookahead")
    assert (model.model_extra or {})["context_length"] == 2048
    assert (model.model_extra or {})["drafters"] == ["model", "ngram", "self"]
    assert tiny.openai.models.retrieve("tiny").id == "tiny"
    zero = tiny.http.post("/v1/speculation/stats/reset").json()
    assert zero["total_tokens_generated"] == 0
    chunks_of(tiny, max_tokens=5)
    stats = tiny.http.get("/v1/speculation/stats").json()
    assert stats["total_tokens_generated"] == 5
    assert zero["plain_step_ms"] > 0, "the calibration survives"
    assert stats["plain_step_ms"] > 0
    assert 0 <= stats["acceptance_rate"] <= 1


def test_a_conversation_with_calls_of_tools_goes_on_in_text(tiny: Live) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    turns: list[Any] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sunny"}]},
    ]
    tools: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    asked: dict[str, Any] = ASK | {"messages": turns, "tools": tools, "max_tokens": 8}
    answer = tiny.openai.chat.completions.create(**asked)
    assert answer.choices[0].message.content
    assert answer.choices[0].message.tool_calls is None
    told = tiny.http.post("/v1/tokenize", json={"messages": turns, "prompt": True}).json()
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == told["num_tokens"]
    assert "Result of weather:\nsunny" in told["prompt"]
