"""Hidden states out of an ordinary pass: the layers' own, for every architecture, and nothing where nobody asks."""

from collections.abc import Sequence
from copy import copy

import mlx.core as mx
import pytest

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.drafters.base import Draft, Reader
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.taps import LAST, Taps, taps_at
from tests.tiny import pair_of, tiny_llama
from tests.zoo import ARCHITECTURES, zoo_model

TEXT = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"deepseek_v41"}))
def test_every_architecture_can_be_listened_to(name: str) -> None:
    model = zoo_model(name)
    last = len(model.layers) - 1
    kept = list(model.layers)
    cached = CachedModel(model, name, speculative=True, listen_to=(0, last, LAST))
    logits = cached.score(mx.array(TEXT), kept=len(TEXT))
    assert cached.features is not None
    first, deepest, normed = mx.split(cached.features, 3, axis=-1)
    assert first.shape[0] == len(TEXT)
    assert not mx.allclose(first, deepest).item() or last == 0
    # What comes behind the final norm decides the logits alone: equal states, equal logits, and the other way about.
    again = CachedModel(model, name, speculative=True, listen_to=(LAST,))
    rows = [again.score(mx.array(TEXT[i : i + 1]), kept=1) for i in range(len(TEXT))]
    assert mx.allclose(again.features[-1], normed[-1], rtol=1e-3, atol=1e-3).item()
    assert mx.allclose(rows[-1][0], logits[-1], rtol=1e-3, atol=1e-2).item()
    assert all(now is before for now, before in zip(model.layers, kept, strict=True))


def test_the_states_are_the_layers_own() -> None:
    model = tiny_llama(3)
    cached = CachedModel(model, "tiny", speculative=True, listen_to=(1, LAST))
    cached.score(mx.array(TEXT), kept=len(TEXT))
    cached.score(mx.array([7, 7]), kept=0)  # compiled by now
    hidden = model.model.embed_tokens(mx.array([[*TEXT, 7, 7]]))
    for layer in model.model.layers[:2]:
        hidden = layer(hidden, "causal", None)
    everything = model.model(mx.array([[*TEXT, 7, 7]]))
    expected = mx.concatenate([hidden[0, -2:], everything[0, -2:]], axis=-1)
    assert mx.allclose(cached.features, expected, atol=1e-4).item()


def test_a_model_with_several_states_a_token_is_refused() -> None:
    cached = CachedModel(zoo_model("deepseek_v41"), "deepseek_v41", speculative=True, listen_to=(0,))
    with pytest.raises(UnsupportedModelError, match="several hidden states"):
        cached.score(mx.array(TEXT), kept=len(TEXT))


def test_places_are_looked_for_once_and_a_copys_are_its_own() -> None:
    model = tiny_llama(3)
    assert taps_at(model, [1, LAST]) is taps_at(model, (1, LAST))
    assert taps_at(model, [0]) is not taps_at(model, (1, LAST))
    assert taps_at(copy(model), [0]) is not taps_at(model, [0])


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="layer 9, and this target has layers 0 to"):
        Taps(tiny_llama(0), (9,))


class _Listener(Reader):
    """Drafts wrongly, and keeps what it is given to read."""

    taps = (0, LAST)  # type: ignore[assignment]

    def __init__(self) -> None:
        self.features: list[mx.array] = []
        self.token_ids: list[int] = []

    def prefill(self, token_ids: Sequence[int]) -> None:
        pass

    def read(self, features: mx.array, token_ids: Sequence[int]) -> None:
        self.features.append(features)
        self.token_ids += token_ids

    def propose(self, position: int, gamma: int, round_index: int) -> Draft:
        return Draft(mx.array([round_index % 3] * gamma), None, greedy=True)

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        pass


def test_a_reader_sees_every_decided_token_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlx_spec.decoding import roster

    listener = _Listener()
    monkeypatch.setattr(roster, "make_drafter", lambda *_: listener)
    target = tiny_llama(3)
    decoder = SpeculativeDecoder(pair_of(target, tiny_llama(4)), drafter="model")
    prompt = [1, 2, 3] * 30  # more than a chunk
    *_, end = decoder.stream(prompt, SamplingParams(seed=1, temperature=0.9), 40)
    text = [*prompt, *end.token_ids]
    assert 0 < len(text) - len(listener.token_ids) <= 2  # the newest token, and an end-of-text
    assert listener.token_ids == text[: len(listener.token_ids)]
    states = target.model(mx.array([listener.token_ids]))[0]
    seen = mx.concatenate(listener.features)[:, -states.shape[-1] :]
    assert mx.allclose(seen, states, atol=1e-3).item()
