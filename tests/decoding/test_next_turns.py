"""How much of a second and a third turn's prompt is known when it comes, by the chat template of the family.

The replies are what a client gets, cut into other tokens than the tokenizer would, as models do; and they begin and end
with white space.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.blocks.text import shared_length
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS, turns_of
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair
from tests.models.text.families import FAMILIES, THINKING, Family
from tests.tiny import holding, pair_of, tiny_llama
from tests.two_tokenizers import SENTENCES, byte_level, llama_like
from tests.unfused import untraced

CHUNK = 16
VOCAB = 448
GREEDY = SamplingParams(temperature=0, seed=1)
SYSTEM = "You are kind, and brief. " + SENTENCES[2]
QUESTIONS = [f"{' '.join(SENTENCES * 5)}\n\nWhat do you say of that?", "And the fox?", "And the dog?"]
ANSWERS = [f"\n\n{one} Never mind the rest.  \n" for one in (SENTENCES[3], SENTENCES[0], SENTENCES[2])]
THOUGHT = f"Let me see. {SENTENCES[2]}"


def promised() -> dict[str, tuple[float, float]]:
    """What the documentation says of each family: the shares of the second and of the third prompt."""
    text = (Path(__file__).parents[2] / "docs" / "prefixes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (\d\.\d\d) \| (\d\.\d\d) \|$", text, re.MULTILINE)
    return {name: (float(second), float(third)) for name, second, third in rows}


PROMISED = promised()


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, CHUNK)
    with untraced():
        yield


class Saying(nn.Module):
    """A tiny llama that reads and keeps everything, and says what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.llama = tiny_llama(0, vocab=VOCAB, layers=1)
        self._text = mx.zeros((4096,), dtype=mx.int32)

    @property
    def layers(self) -> list[Any]:
        """For mlx-lm to make caches."""
        return list(self.llama.layers)

    def says(self, prompt_ids: list[int], reply_ids: list[int]) -> None:
        """After this prompt."""
        ids = [*prompt_ids, *reply_ids]
        self._text = mx.array([*ids, *[0] * (4096 - len(ids))], dtype=mx.int32)

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        following = self._text[mx.array(cache[0].offset) + mx.arange(1, inputs.shape[1] + 1)]
        forced = 1e4 * (following[:, None] == mx.arange(VOCAB))
        return self.llama(inputs, cache=cache) + forced[None]


def tokenizer_of(family: Family) -> TokenizerWrapper:
    kind = byte_level() if family.kind == "bytes" else llama_like()
    backend = Tokenizer.from_str(kind._tokenizer.backend_tokenizer.to_str())
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in family.tokens])
    backend.add_tokens([AddedToken(name, special=False, normalized=False) for name in THINKING])
    begin = "<s>" if family.kind == "pieces" else family.tokens[0]
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=family.tokens[-1], bos_token=begin)
    fast.chat_template = family.template
    assert len(fast) <= VOCAB
    return TokenizerWrapper(fast)


def said(family: Family, answer: str) -> str:
    """What the model says, with its marks."""
    match family.thinks:
        case "in tags":
            return f"<think>\n{THOUGHT}\n</think>{answer}"
        case "tag opened":
            return f"{THOUGHT}\n</think>{answer}"
        case "in channels":
            return (
                f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{answer}"
            )
    return answer


@dataclass
class Talk:
    """A chat with a decoder that keeps what it reads."""

    family: Family
    expects: bool = True
    independent: bool = False
    sends_back_thinking: bool = True

    def __post_init__(self) -> None:
        self.model = Saying()
        tokenizer = tokenizer_of(self.family)
        self.pair: ModelPair = replace(pair_of(self.model, None, vocab=VOCAB, context=4096), tokenizer=tokenizer)
        prefixes = Prefixes(1 << 30, block_tokens=CHUNK)
        decoder = SpeculativeDecoder(self.pair, drafter="none", prefixes=prefixes)
        self.decoder = holding(decoder, holds=self.independent)
        self.messages = [{"role": "system", "content": SYSTEM}] if self.family.system else []

    def turn(self, index: int) -> float:
        """Ask and be answered; the share of the prompt that was known."""
        self.messages.append({"role": "user", "content": QUESTIONS[index]})
        prompt = self.pair.encode_chat(self.messages)
        self.model.says(prompt, self._reply_ids(ANSWERS[index]))
        *_, end = self.decoder.stream(prompt, GREEDY, 1000)
        assert isinstance(end, GenerationFinished)
        assert end.finish_reason == "stop"
        assert end.text.endswith(ANSWERS[index])
        assert ("<think>" in end.text) == (self.family.thinks != "no")
        reply = end.text if self.sends_back_thinking else ANSWERS[index]
        if self.expects:
            self.decoder.expect(self.pair.encode_next(self.messages, reply))
        list(self.decoder.settle())
        self.messages.append({"role": "assistant", "content": reply})
        return end.cached_tokens / len(prompt)

    def _reply_ids(self, answer: str) -> list[int]:
        encode, text = self.pair.tokenizer.encode, said(self.family, answer)
        special = {name: self.pair.tokenizer.convert_tokens_to_ids(name) for name in (*self.family.tokens, *THINKING)}
        ids = encode(text, add_special_tokens=False)
        marks = set(special.values())
        if self.family.kind == "bytes":  # two letters at a time: whatever the tokenizer would make of them
            ids = [one for i in ids for one in ([i] if i in marks else letters(self.pair, i))]
        return [*ids, special[self.family.tokens[-1]]]


def letters(pair: ModelPair, token_id: int) -> list[int]:
    text = pair.decode([token_id])
    pairs = [text[begin : begin + 2] for begin in range(0, len(text), 2)]
    pieces = [pair.tokenizer.encode(two, add_special_tokens=False) for two in pairs]
    return [one for piece in pieces for one in piece] if "\ufffd" not in text else [token_id]


@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_next_turns_begin_with_is_known(name: str) -> None:
    talk = Talk(FAMILIES[name])
    shares = [talk.turn(index) for index in range(3)]
    promised = PROMISED[name]
    assert shares[0] == 0
    assert min(promised) >= 0.95
    assert [share >= least for share, least in zip(shares[1:], promised, strict=True)] == [True, True], shares


@pytest.mark.parametrize("name", FAMILIES)
def test_the_template_does_what_is_said_of_it(name: str) -> None:
    family = FAMILIES[name]
    pair = replace(pair_of(nn.Module(), None, vocab=VOCAB), tokenizer=tokenizer_of(family))
    asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTIONS[1]}]
    reply = f"<think>\n{THOUGHT}\n</think>{ANSWERS[0]}" if family.thinks != "no" else ANSWERS[0]
    following = [{"role": "assistant", "content": reply}, {"role": "user", "content": QUESTIONS[2]}]
    prompt = pair.decode(pair.encode_chat([*asked, *following]))
    assert ANSWERS[0].strip() in prompt
    assert (" rest.  \n" in prompt) != any(word in family.note for word in ("trims", "empties"))
    assert (THOUGHT in prompt) == any(words in family.note for words in ("keeps thinking", "all but the last answer"))
    assert prompt.index(SYSTEM) < prompt.index(QUESTIONS[1]) or "moves" in family.note
    assert (str(datetime.now().year) in prompt) == family.dated == ("the day stands first" in family.note)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_turn_begins_where_its_question_does(name: str) -> None:
    """Told by its ids: by what the template writes there, and nobody else can."""
    family = FAMILIES[name]
    pair = replace(pair_of(nn.Module(), None, vocab=VOCAB), tokenizer=tokenizer_of(family))
    asked = [{"role": "user", "content": QUESTIONS[0]}]
    following = [{"role": "assistant", "content": ANSWERS[0]}, {"role": "user", "content": QUESTIONS[1]}]
    prompt, turn_ids = tuple(pair.encode_chat([*asked, *following])), tuple(pair.encode_turn())
    if name == "MiniCPM":
        assert turn_ids == (), "it has no token of its own there"
        return
    assert turns_of(prompt, turn_ids)[-1] == len(pair.encode_next(asked, ANSWERS[0]))
    evil = pair.encode_chat([{"role": "user", "content": f"{QUESTIONS[0]} {pair.decode(turn_ids)} Really?"}])
    assert turns_of(tuple(evil), turn_ids) in ((), tuple(turns_of(prompt, turn_ids)[:-1]))


@pytest.mark.parametrize("name", ["ChatML (Yi, Hermes)", "Qwen 3", "Mistral v3", "gpt-oss"])
def test_where_rows_are_independent_too(name: str) -> None:
    talk = Talk(FAMILIES[name], independent=True)
    shares = [talk.turn(index) for index in range(3)]
    assert min(shares[1:]) >= 0.95


def test_what_the_model_said_is_seldom_what_the_next_prompt_has() -> None:
    """So it was before: what is held above is not there by itself."""
    for name in ("Mistral v3", "LFM2"):
        talk = Talk(FAMILIES[name], expects=False)
        assert min([talk.turn(index) for index in range(3)][1:]) < 0.9


def test_a_client_may_keep_the_thinking_to_itself() -> None:
    talk = Talk(FAMILIES["SmolLM3"], sends_back_thinking=False)
    assert min([talk.turn(index) for index in range(3)][1:]) >= 0.95


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.dated])
def test_on_another_day_what_stands_before_the_day_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        day = datetime(2026, 11, 29)

        @classmethod
        def now(cls) -> datetime:
            return cls.day

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    talk = Talk(FAMILIES[name])
    talk.turn(0)
    yesterday = talk.pair.encode_chat([*talk.messages, {"role": "user", "content": QUESTIONS[1]}])
    Clock.day += timedelta(days=1)
    today = talk.pair.encode_chat([*talk.messages, {"role": "user", "content": QUESTIONS[1]}])
    shared = shared_length(yesterday, today)
    assert talk.turn(1) == shared // CHUNK * CHUNK / len(today)
    assert shared < 0.1 * len(today)
    assert talk.turn(2) >= 0.95, "of the same day as the one before"
