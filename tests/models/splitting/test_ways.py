"""Which ways there are to split a model over so many machines, and the sentences where there is none."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.models import llama, qwen3_moe
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.splitting.ways import SplitWays, ways_of, ways_of_model
from tests.models.splitting.families import small_model
from tests.models.splitting.test_ranks import EXPERTS, SIZES, save
from tests.zoo import zoo_model


def made(bits: int | None = None, **sizes: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        model = llama.Model(llama.ModelArgs.from_dict({"model_type": "llama", **SIZES, **sizes}))
        if bits is not None:
            nn.quantize(model, 32, bits)
        return model

    return make


def ways(make: Callable[[], nn.Module], ranks: int) -> SplitWays:
    return ways_of_model(make, "it", ranks)


def test_a_model_whose_heads_divide_can_be_split_every_way() -> None:
    found = ways(made(), 2)
    assert [way.why_not for way in found] == [None, None, None]
    assert [way.same_as for way in found] == ["one machine", "alone", "one machine"]
    assert [way.by for way in found] == ["mlx-lm", "mlx-lm", "stand-ins"]
    assert ways(made(), 4).tensor_fast.same_as == "nothing"
    assert found.split("pipeline").layers == (2, 2)
    assert found.family == "llama"


def test_what_each_machine_would_hold_is_told() -> None:
    found = ways(made(vocab_size=32), 4)
    for way in found:
        assert sum(way.nbytes) >= found.nbytes
        assert len(way.nbytes) == 4
    assert max(found.pipeline.nbytes) < 0.35 * found.nbytes
    assert max(found.tensor_strict.nbytes[1:]) < 0.26 * found.nbytes


@pytest.mark.parametrize(("ranks", "most"), [(2, 0.55), (4, 0.3)])
def test_a_tied_embedding_of_a_fifth_is_no_more_than_a_part_of_what_one_machine_holds(ranks: int, most: float) -> None:
    # As the starter: nothing of it is held twice.
    sizes = {"num_hidden_layers": 30, "vocab_size": 4800, "tie_word_embeddings": True}
    found = ways(made(**sizes), ranks)
    assert 0.15 < 4800 * 64 * 4 / found.nbytes < 0.25
    assert max(found.pipeline.nbytes) <= most * found.nbytes
    assert sum(found.pipeline.nbytes) < 1.01 * found.nbytes


@pytest.mark.parametrize(
    ("make", "ranks", "why"),
    [
        (made(), 3, "3 does not divide its 4 or 8 heads"),
        (made(), 8, "8 does not divide its 4 key and value heads"),
        (made(num_attention_heads=9, num_key_value_heads=3, head_dim=8), 2, "2 does not divide its (9|3) "),
        (made(intermediate_size=130), 4, "a width of its layers does not divide by 4"),
        (partial(zoo_model, "mamba2"), 2, "mlx-lm has no way to do that for mamba2 models"),
    ],
)
def test_why_a_models_layers_do_not_divide(make: Callable[[], nn.Module], ranks: int, why: str) -> None:
    found = ways(make, ranks)
    with pytest.raises(UnsupportedModelError, match=why):
        found.split("tensor")
    assert not found.tensor_fast.is_there


def test_whole_layers_are_given_out_by_room_with_a_layer_of_each_kind_on_every_machine() -> None:
    assert ways_of_model(made(num_hidden_layers=8), "it", 2, [3.0, 1.0]).pipeline.layers == (6, 2)
    kinds = small_model("gpt_oss")  # every second layer looks back over a window only
    assert len({type(one) for one in make_prompt_cache(kinds)}) == 2
    assert ways_of_model(partial(small_model, "gpt_oss"), "it", 2, [99.0, 1.0]).pipeline.layers == (4, 2)


def test_quantised_groups_hinder_fast_sums_only() -> None:
    found = ways(made(4, hidden_size=128, intermediate_size=160), 4)
    assert "groups of 32 quantised numbers" in (found.tensor_fast.why_not or "")
    assert found.tensor_strict.is_there


@pytest.mark.parametrize(
    ("make", "ranks", "why"),
    [
        (made(), 5, "it has 4 layers, and each of 5 machines needs one"),
        (partial(zoo_model, "gpt_oss"), 2, "would have no layer that keeps a "),
        (partial(zoo_model, "afm7"), 2, "its layers do not have a cache each"),
        (partial(zoo_model, "deepseek_v41"), 2, "more than one state for each token"),
    ],
)
def test_why_a_models_layers_cannot_be_given_out(make: Callable[[], nn.Module], ranks: int, why: str) -> None:
    with pytest.raises(UnsupportedModelError, match=why):
        ways(make, ranks).split("pipeline")


class _GoesAround(nn.Module):
    """Its second layer's result is added to what comes of the last: no machine but its own would have that."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    @property
    def layers(self) -> list[Any]:
        """The layers."""
        layers: list[Any] = self.inner.model.layers
        return layers

    def __call__(self, inputs: Any, cache: Any) -> Any:
        h = self.inner.model.embed_tokens(inputs)
        early = h
        for number, (layer, one) in enumerate(zip(self.layers, cache, strict=True)):
            h = layer(h, None, one)
            early = h if number == 1 else early
        return self.inner.lm_head(h + early)


def test_states_that_go_around_layers_are_seen() -> None:
    with pytest.raises(UnsupportedModelError, match="go around the layers behind them"):
        ways(lambda: _GoesAround(made()()), 2).split("pipeline")


def test_states_of_several_types_are_not_sent_as_one() -> None:
    def make() -> nn.Module:
        model = made()()
        model.layers[2].set_dtype(mx.bfloat16)
        model.layers[0].set_dtype(mx.bfloat16)
        model.model.embed_tokens.set_dtype(mx.bfloat16)
        return model

    with pytest.raises(UnsupportedModelError, match="states of several types"):
        ways(make, 2).split("pipeline")


def test_a_folder_is_told_without_its_weights_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ModelFolder.at(save(tmp_path / "experts", "qwen3_moe", {**SIZES, **EXPERTS}))
    evaluated: list[Any] = []
    monkeypatch.setattr("mlx.core.eval", lambda *arrays: evaluated.append(arrays))
    found = ways_of(folder, 2)
    assert evaluated == []
    assert found.pipeline.by == "mlx-lm"
    assert found.tensor_strict.same_as == "one machine"
    assert found.nbytes == pytest.approx(folder.weights_bytes, rel=0.02)
    assert qwen3_moe.Model is not None
