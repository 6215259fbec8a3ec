"""An answer that was cut goes on where it ended."""

from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models.cache import KVCache

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.errors import PromptError
from mlx_spec.events import GenerationFinished, RoundFinished
from mlx_spec.models.loading import ModelPair
from tests.server.live import Live
from tests.server.scripted import ScriptedDecoder
from tests.tiny import pair_of, tiny_pair
from tests.two_tokenizers import llama_like

ASKED = [{"role": "user", "content": "Why is the sky blue?"}]
BEGUN = {"role": "assistant", "content": "Because of Rayleigh"}


def test_the_beginning_ends_the_prompt() -> None:
    pair = tiny_pair()
    ids = pair.encode_chat([*ASKED, BEGUN], continues=True)
    assert ids[: len(pair.encode_chat(ASKED))] == pair.encode_chat(ASKED)
    assert pair.decode(ids).endswith(BEGUN["content"]), "no turn is closed after it"
    with pytest.raises(PromptError, match="nothing to continue"):
        pair.encode_chat(ASKED, continues=True)


def test_the_server_counts_what_it_continues(tiny: Live) -> None:
    def prompt_tokens(messages: list[dict[str, str]], **body: object) -> int:
        told = tiny.http.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 1, **body})
        return int(told.json()["usage"]["prompt_tokens"])

    begun = prompt_tokens([*ASKED, BEGUN], continue_final_message=True)
    assert begun == prompt_tokens(ASKED) + len(BEGUN["content"]), "the tiny tokenizer has a token a byte"
    refused = tiny.http.post("/v1/chat/completions", json={"messages": ASKED, "continue_final_message": True})
    assert refused.status_code == 400
    assert "nothing to continue" in refused.json()["error"]["message"]


class Recites(nn.Module):
    """A model that says one thing: `token_ids[i]` follows the i-th token of the text."""

    def __init__(self, token_ids: list[int], vocab: int) -> None:
        super().__init__()
        self._rows = 60.0 * (mx.array(token_ids)[:, None] == mx.arange(vocab)).astype(mx.float32)

    @property
    def layers(self) -> list[None]:
        """One cache for mlx-lm to make."""
        return [None]

    def __call__(self, inputs: mx.array, cache: list[KVCache] | None = None) -> mx.array:
        assert cache is not None
        start = cache[0].offset
        cache[0].update_and_fetch(*[mx.zeros((1, 1, inputs.shape[1], 1))] * 2)
        return self._rows[start : start + inputs.shape[1]][None]


def test_what_goes_on_a_text_keeps_its_spaces() -> None:
    tokenizer = llama_like()
    ids, size = tokenizer.encode("the river is the river"), len(tokenizer)
    model = Recites([*ids[1:], *[tokenizer.eos_token_id] * 9], size)
    pair = replace(pair_of(model, None), tokenizer=tokenizer, vocab_size=size)
    decoder = SpeculativeDecoder(pair, drafter="none")
    for length in range(2, len(ids)):
        (*_, end) = decoder.stream(ids[:length], SamplingParams(temperature=0.0), 99, goes_on=True)
        assert isinstance(end, GenerationFinished)
        begun = pair.decode(ids[:length], skip_special_tokens=True)
        assert begun + end.text == "the river is the river"


def test_a_completion_and_a_continued_answer_go_on_and_a_chat_begins(scripted: Live, script: ScriptedDecoder) -> None:
    bodies = [
        ("/v1/completions", {"prompt": [1, 2]}, True),
        ("/v1/chat/completions", {"messages": ASKED}, False),
        ("/v1/chat/completions", {"messages": [*ASKED, BEGUN], "continue_final_message": True}, True),
    ]
    for path, body, goes_on in bodies:
        assert scripted.http.post(path, json={**body, "max_tokens": 1}).status_code == 200
        assert script.calls[-1]["goes_on"] is goes_on


@pytest.mark.starter
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_it_says_what_it_would_have_said(starter_pair: ModelPair, temperature: float) -> None:
    decoder = SpeculativeDecoder(starter_pair, SpeculativeConfig(lookahead=3))

    def say(prompt_ids: list[int], num: int) -> list[int]:
        events = decoder.stream(prompt_ids, SamplingParams(temperature=temperature, seed=3), max_tokens=num)
        return [token.token_id for event in events if isinstance(event, RoundFinished) for token in event.emitted]

    whole = say(starter_pair.encode_chat(ASKED), 12)
    first = starter_pair.decode(whole[:6])
    prompt = starter_pair.encode_chat([*ASKED, {"role": "assistant", "content": first}], continues=True)
    assert prompt[-6:] == whole[:6], "the text leads back to its tokens"
    assert say(prompt, 6) == whole[6:12]
