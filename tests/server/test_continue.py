"""An answer that was cut goes on where it ended."""

import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.errors import PromptError
from mlx_spec.events import RoundFinished
from mlx_spec.models.loading import ModelPair
from tests.server.live import Live
from tests.tiny import tiny_pair

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
