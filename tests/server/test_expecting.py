"""What the next prompt begins with is read while nobody asks, and each who goes on from an answer finds it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.chain import chained
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS, prompt_passes, turns_of
from mlx_spec.errors import PromptError
from mlx_spec.events import FinishReason, GenerationFinished, SpeculativeStats
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.text.options import PLAIN, ChatOptions
from mlx_spec.server.engine.expecting import expected
from mlx_spec.server.engine.job import GenerationRequest
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from tests.models.text.families import FAMILIES
from tests.server.live import Live, live_server, wait_until
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.tiny import tiny_pair

STEP = 16
ASK: dict[str, Any] = {"model": "tiny", "max_tokens": 24, "temperature": 1.0, "seed": 5}
SYSTEM = {"role": "system", "content": "Be kind, and brief."}
QUESTION = {"role": "user", "content": "Tell me of the sea, and of all that lives there, and of what they eat."}
NEXT = {"role": "user", "content": "And?"}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, STEP)


@dataclass
class Kept:
    """A server whose prefixes a test may look at."""

    live: Live
    pair: ModelPair
    prefixes: Prefixes

    def asked(self, messages: list[Any], **more: Any) -> tuple[str, int, int]:
        """The reply, how many tokens of the prompt were known, and how many it had."""
        answer = self.live.openai.chat.completions.create(**ASK | more, messages=messages)
        return answer.choices[0].message.content or "", *counted(answer)

    def reads(self, ids: list[int]) -> bool:
        """Whether all whole chunks of a text are read, or soon are."""
        return wait_until(lambda: self.known(ids) == len(ids) // STEP * STEP, 20)

    def known(self, ids: list[int]) -> int:
        """How many tokens of a text are read, in whole blocks. It only looks: the engine's thread changes them."""
        keys = (key for key, _, _ in chained(np.asarray(ids, dtype=np.int32), STEP))
        return sum(1 for _ in takewhile(lambda key: key in self.prefixes._blocks, keys)) * STEP


def counted(answer: Any) -> tuple[int, int]:
    return answer.usage.prompt_tokens_details.cached_tokens, answer.usage.prompt_tokens


@pytest.fixture(params=["ChatML (Yi, Hermes)", "Mistral v3"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Its template appends, or writes all questions otherwise when a conversation goes on."""
    made: list[ModelPair] = []
    prefixes = Prefixes(1 << 30, block_tokens=STEP)

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        made.append(tiny_pair())
        made[0].tokenizer.chat_template = FAMILIES[request.param].template
        return made[0], SpeculativeDecoder(made[0], prefixes=prefixes)

    with live_server(load, model_name="tiny") as live:
        assert wait_until(lambda: live.engine.is_loaded, 60)
        yield Kept(live, made[0], prefixes)


def test_a_next_turn_finds_all_but_the_question(kept: Kept) -> None:
    messages, known = [SYSTEM, QUESTION], list[int]()
    for _ in range(3):
        reply, cached, of = kept.asked(messages)
        turns = turns_of((*known, 0), tuple(kept.pair.encode_turn()))
        assert cached == prompt_passes().last_begin(len(known), turns)
        assert not known or cached >= of - STEP - len(str(NEXT["content"])) - 70, "the question, and where it stands"
        known = kept.pair.encode_next(messages, reply)
        assert kept.reads(known)
        messages = [*messages, {"role": "assistant", "content": reply}, NEXT]


def test_an_answer_that_was_cut_goes_on_behind_its_last_word(kept: Kept) -> None:
    begun, _, _ = kept.asked([SYSTEM, QUESTION])
    messages = [SYSTEM, QUESTION, {"role": "assistant", "content": begun}]
    assert kept.reads(kept.pair.encode_chat(messages, continues=True))
    _, cached, of = kept.asked(messages, extra_body={"continue_final_message": True})
    assert cached >= of - 1 - STEP


@pytest.mark.parametrize("more", [{}, {"seed": 6}, {"extra_body": {"speculation": {"drafter": "none"}}}])
def test_who_asks_the_same_again_finds_all_of_it(kept: Kept, more: dict[str, Any]) -> None:
    """Another answer, and both sides of a race."""
    for change in ({}, more):
        _, cached, of = kept.asked([SYSTEM, QUESTION], **change)
    assert cached >= of - 1 - STEP


def test_an_edited_question_finds_what_stands_before_the_edit(kept: Kept) -> None:
    kept.asked([SYSTEM, QUESTION])
    edited = {"role": "user", "content": f"{QUESTION['content'][:-1]}, and sleep?"}
    _, cached, of = kept.asked([SYSTEM, edited])
    assert cached >= of - len(", and sleep?") - 30 - STEP


def test_a_completion_goes_on_from_its_own_text(kept: Kept) -> None:
    create = kept.live.openai.completions.create
    prompt = "Once upon a time there was a lighthouse, and nobody in it."
    answer = create(**ASK, prompt=prompt)
    following = prompt + answer.choices[0].text
    assert kept.reads(kept.pair.encode(following))
    cached, of = counted(create(**ASK, prompt=following))
    assert cached == (of // STEP if of % STEP else of // STEP - 1) * STEP


def test_a_chat_is_forgotten_by_its_key_alone(kept: Kept) -> None:
    asked = {"one": [QUESTION], "an/other": [{"role": "user", "content": "Why is the sky blue, and the sea as well?"}]}
    for key, messages in asked.items():
        reply, _, _ = kept.asked(messages, extra_body={"prompt_cache_key": key})
        assert kept.reads(kept.pair.encode_next(messages, reply))
    answer = kept.live.http.delete("/v1/prefixes/an/other")
    assert (answer.status_code, answer.json()) == (202, {"prompt_cache_key": "an/other"})
    prompts = {key: kept.pair.encode_chat(messages) for key, messages in asked.items()}
    assert wait_until(lambda: kept.known(prompts["an/other"]) < 3 * STEP, 20)
    assert kept.reads(prompts["one"][:-1])
    answer = kept.live.http.delete("/v1/prefixes")
    assert (answer.status_code, answer.json()) == (202, {"prompt_cache_key": None})
    assert wait_until(lambda: kept.prefixes.stats.kept_bytes == 0, 20)


def finished(text: str, reason: FinishReason = "stop") -> GenerationFinished:
    return GenerationFinished(reason, tuple(map(ord, text)), text, 1, 9, 1.0, SpeculativeStats())


def request_of(*messages: dict[str, str], **told: Any) -> GenerationRequest:
    return GenerationRequest(messages=messages, params=SamplingParams(), **told)


def texts(request: GenerationRequest, end: GenerationFinished) -> list[str]:
    return ["".join(map(chr, ids)) for ids in expected(ScriptedPair(), request, end)]


def test_a_reply_is_expected_as_the_client_sends_it_back() -> None:
    asked = {"role": "user", "content": "?"}
    thought, plain = ({"role": "assistant", "content": text} for text in ("<think>hm</think>yes", "yes"))
    reply = finished("<think>so</think>no")
    assert texts(request_of(asked), finished("no")) == ["?no"]
    assert texts(request_of(asked), reply) == ["?<think>so</think>no", "?no"]
    assert texts(request_of(asked, thought, asked), reply) == ["?<think>hm</think>yes?<think>so</think>no"]
    assert texts(request_of(asked, plain, asked), reply) == ["?yes?no"]
    assert texts(request_of(asked), finished("<think>so")) == ["?<think>so"], "there is no answer yet"


def test_an_answer_that_was_cut_may_be_continued() -> None:
    asked, begun = {"role": "user", "content": "?"}, {"role": "assistant", "content": "be"}
    assert texts(request_of(asked), finished("no", "length")) == ["?no", "?no"]
    assert texts(request_of(asked, begun, continues=True), finished("gun")) == ["?begun"]
    assert texts(request_of(asked), finished("", "cancelled")) == []


def test_a_completion_is_expected_as_text_or_as_ids() -> None:
    assert texts(request_of(prompt="Once "), finished("upon")) == ["Once upon"]
    assert texts(request_of(prompt=(65, 66)), finished("CD")) == ["ABCD"]


class Refusing(ScriptedPair):
    def encode_next(self, messages: list[dict[str, str]], reply: str, options: ChatOptions = PLAIN) -> list[int]:
        raise PromptError("The model's chat template refuses these messages.")


def test_what_cannot_be_expected_stops_nothing() -> None:
    decoder = ScriptedDecoder()
    with live_server(lambda progress: (Refusing(), decoder)) as live:
        for _ in range(2):
            answer = live.openai.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "a"}])
            assert answer.choices[0].message.content == "All is well."


@pytest.mark.parametrize("key", [7, ["a"], "k" * 257, {"a": 1}])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_key_that_is_none_is_told(scripted: Live, path: str, key: object) -> None:
    body = {"messages": [{"role": "user", "content": "a"}], "prompt": "a", "prompt_cache_key": key}
    answer = scripted.http.post(path, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "prompt_cache_key"
    assert "it must be a string of at most 256 characters." in error["message"]


def test_a_long_key_names_nothing_to_forget(scripted: Live) -> None:
    answer = scripted.http.delete(f"/v1/prefixes/{'k' * 257}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt_cache_key")


@pytest.mark.parametrize(("key", "owner"), [("chat-7", "chat-7"), ("k" * 256, "k" * 256), ("", None), (None, None)])
def test_a_key_comes_down_to_the_decoder(
    scripted: Live, script: ScriptedDecoder, key: str | None, owner: str | None
) -> None:
    body = {"messages": [{"role": "user", "content": "a"}], "prompt_cache_key": key}
    assert scripted.http.post("/v1/chat/completions", json=body).status_code == 200
    assert script.calls[-1]["owner"] == owner
    assert wait_until(lambda: ([ord("a"), *map(ord, "All is well.")],) in script.expected, 5)
    scripted.http.delete(f"/v1/prefixes/{owner or 'none'}")
    assert wait_until(lambda: script.forgotten == [owner or "none"], 5)
    assert script.forgets == 0
