"""What an answer has read serves the next one: the same words, and the client is told how much was known."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from tests.server.live import Live, live_server, wait_until
from tests.tiny import tiny_pair

STEP = 16
HOT: dict[str, Any] = {"model": "tiny", "max_tokens": 12, "temperature": 1.0, "seed": 5}
EVENTS: dict[str, Any] = {"speculation": {"events": True}}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is a byte here: prompts of some chunks are short texts."""
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, STEP)


@pytest.fixture
def keeping() -> Iterator[Live]:
    """As `tiny`, and it keeps what it has read. A new one for each test: it has read nothing."""

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        pair = tiny_pair()
        return pair, SpeculativeDecoder(pair, prefixes=Prefixes(1 << 30, block_tokens=STEP))

    with live_server(load, model_name="tiny") as live:
        assert wait_until(lambda: live.engine.is_loaded, 60)
        yield live


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def cached(answer: Any) -> int:
    """What the answer's usage tells."""
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    return int(answer.usage.prompt_tokens_details.cached_tokens)


def said(answer: Any) -> list[str]:
    return [choice.message.content for choice in answer.choices]


def told(answer: Any, index: int | None = None) -> dict[str, Any]:
    """The `speculation` of an answer, or of one of its choices."""
    of = answer if index is None else answer.choices[index]
    return dict((of.model_extra or {})["speculation"])


def test_turns_know_what_was_said_before(keeping: Live, tiny: Live) -> None:
    messages: list[Any] = [user("Tell me of the sea, and of all that lives there.")]
    before = 0
    for turn in range(3):
        answer = keeping.openai.chat.completions.create(**HOT, messages=messages, extra_body=EVENTS)
        cold = tiny.openai.chat.completions.create(**HOT, messages=messages)
        assert said(answer) == said(cold)
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12
        assert cached(cold) == 0
        assert cached(answer) == told(answer)["cached_tokens"]
        assert (cached(answer) > 0) == (turn > 0)
        assert cached(answer) >= before - STEP, "all chunks of the turn before"
        before = answer.usage.prompt_tokens
        messages += [{"role": "assistant", "content": said(answer)[0]}, user("And then?")]


def test_a_stream_tells_it_in_its_events_and_its_usage(keeping: Live) -> None:
    ask: dict[str, Any] = HOT | {"messages": [user("Tell me of the sea, and of all that lives there.")]}
    found = []
    for _ in range(2):
        chunks = list(
            keeping.openai.chat.completions.create(
                **ask, stream=True, stream_options={"include_usage": True}, extra_body=EVENTS
            )
        )
        objects = [told(chunk) for chunk in chunks if "speculation" in (chunk.model_extra or {})]
        known = [one["cached_tokens"] for one in objects if one["type"] in ("prefill", "finished")]
        assert set(known) == {cached(chunks[-1])}
        first = next(one for one in objects if one["type"] == "prefill")
        assert first["processed_tokens"] == first["cached_tokens"]
        found.append(known[0])
    assert found[0] == 0 < found[1]


def test_choices_share_their_prompt_which_counts_once(keeping: Live, tiny: Live) -> None:
    ask: dict[str, Any] = HOT | {"messages": [user("Tell me of the sea, and of all that lives there.")], "n": 3}
    first = keeping.openai.chat.completions.create(**ask, extra_body=EVENTS)
    assert said(first) == said(tiny.openai.chat.completions.create(**ask))
    assert cached(first) == 0, "its first choice has read the prompt"
    assert [told(first, i)["cached_tokens"] > 0 for i in range(3)] == [False, True, True]
    again = keeping.openai.chat.completions.create(**ask)
    assert said(again) == said(first)
    assert again.usage is not None
    assert 0 < cached(again) < again.usage.prompt_tokens


def test_of_several_prompts_all_that_was_known_is_counted(keeping: Live, tiny: Live) -> None:
    prompts = ["Once upon a time there was a lighthouse. " * 2, "The end of the story is always the same. " * 2]
    alone = [keeping.openai.completions.create(**HOT, prompt=prompt) for prompt in prompts]
    assert [cached(answer) for answer in alone] == [0, 0]
    counts = [cached(keeping.openai.completions.create(**HOT, prompt=prompt)) for prompt in prompts]
    both = keeping.openai.completions.create(**HOT, prompt=prompts, n=2)
    assert min(counts) > 0
    assert cached(both) == sum(counts)
    cold = tiny.openai.completions.create(**HOT, prompt=prompts, n=2)
    assert [choice.text for choice in both.choices] == [choice.text for choice in cold.choices]


def test_an_edited_question_is_read_from_where_it_was_edited(keeping: Live, tiny: Live) -> None:
    opening = "Tell me of the sea, and of all that lives there. "
    keeping.openai.chat.completions.create(**HOT, messages=[user(opening + "Begin with the smallest of them.")])
    edited: list[Any] = [user(opening + "No: begin with whales, and end with them.")]
    answer = keeping.openai.chat.completions.create(**HOT, messages=edited)
    assert said(answer) == said(tiny.openai.chat.completions.create(**HOT, messages=edited))
    assert len(opening) // STEP * STEP <= cached(answer) < len(opening) + 2 * STEP


def test_who_stops_an_answer_and_asks_again_does_not_wait_again(keeping: Live, tiny: Live) -> None:
    messages: list[Any] = [user("Tell me of the sea, and of all that lives there.")]
    with keeping.openai.chat.completions.create(**HOT | {"max_tokens": 1500}, messages=messages, stream=True) as stream:
        begun = "".join(chunk.choices[0].delta.content or "" for chunk in islice(stream, 30))
    messages += [{"role": "assistant", "content": begun}, user("And then?")]
    answer = keeping.openai.chat.completions.create(**HOT, messages=messages)
    assert said(answer) == said(tiny.openai.chat.completions.create(**HOT, messages=messages))
    assert cached(answer) >= len(messages[0]["content"]) // STEP * STEP


def test_counters_and_memory_tell_of_it(keeping: Live) -> None:
    ask: dict[str, Any] = HOT | {"messages": [user("Tell me of the sea, and of all that lives there.")]}

    def metrics() -> dict[str, float]:
        lines = re.findall(r"(?m)^lookahead_(\w+) (\S+)$", keeping.http.get("/metrics").text)
        return {name: float(value) for name, value in lines}

    assert metrics()["prefix_bytes"] == 0
    answers = [keeping.openai.chat.completions.create(**ask) for _ in range(2)]
    read = sum(answer.usage.prompt_tokens for answer in answers if answer.usage)
    stats = keeping.http.get("/v1/speculation/stats").json()
    assert (stats["prompt_tokens"], stats["cached_tokens"]) == (read, cached(answers[1]))

    def memory_now() -> dict[str, Any]:
        return dict(keeping.http.get("/v1/models/memory").json())

    # What was said last is read once more when nobody asks for anything.
    assert wait_until(lambda: memory_now()["prefix_bytes"] == metrics()["prefix_bytes"] == memory_now()["prefix_bytes"])
    found, memory = metrics(), memory_now()
    assert (found["prompt_tokens_total"], found["cached_prompt_tokens_total"]) == (read, cached(answers[1]))
    assert found["prefix_bytes"] == memory["prefix_bytes"] > 0
    assert (found["prefix_hits_total"], found["prefix_misses_total"]) == (1, 1)
    blocks = memory["blocks"]
    assert [found[f"kv_blocks{of}"] for of in ("", "_used", "_shared")] == [
        blocks["total"],
        blocks["used"],
        blocks["shared"],
    ]
    assert memory["prefix_bytes"] <= blocks["used"] * blocks["bytes"]
    assert blocks["tokens"] == STEP
    assert memory["models_bytes"] > 0
    assert keeping.http.post("/v1/speculation/stats/reset").json()["cached_tokens"] == 0


def test_without_prefixes_nothing_is_known_twice(tiny: Live) -> None:
    ask: dict[str, Any] = HOT | {"messages": [user("Tell me of the sea, and of all that lives there.")]}
    assert [cached(tiny.openai.chat.completions.create(**ask)) for _ in range(2)] == [0, 0]
    assert tiny.http.get("/v1/models/memory").json()["prefix_bytes"] == 0
