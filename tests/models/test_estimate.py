"""What a model is said to take of memory, against what it does take."""

import gc
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from mlx_spec.decoding.cache.making import make_caches
from mlx_spec.errors import UnsupportedModelError
from mlx_spec.machine.resources import resources_folder
from mlx_spec.models.estimate import estimate, is_supported
from mlx_spec.models.files.context import context_of
from mlx_spec.models.files.rope import with_rope
from mlx_spec.models.library.judge import weigh
from mlx_spec.models.loading import load_pair
from mlx_spec.models.memory import weights_bytes
from tests.zoo import zoo_model
from tests.zoo_configs import CONFIGS, widened

# A family each of: plain, sliding windows, experts, a latent cache, recurrent states, and mixtures of these.
FAMILIES = ["llama", "gemma3", "mistral", "qwen3_moe", "deepseek_v3", "mamba2", "qwen3_next", "falcon_h1", "llama4"]


def config_of(name: str, *, wide: bool = False) -> dict[str, Any]:
    model_type, arguments = CONFIGS[name]
    return {"model_type": model_type, "dtype": "float32"} | (widened(arguments) if wide else arguments)


def filled(model: Any, tokens: int, kv_bits: int | None = None) -> list[Any]:
    """Caches after `tokens` tokens, in passes of 64 and then one by one."""
    caches = make_caches(model, "tiny", kv_bits)
    for begin in [*range(0, tokens - 64, 64), *range(tokens - tokens % 64, tokens)]:
        width = 64 if begin + 64 <= tokens - tokens % 64 else 1
        mx.eval(model(mx.zeros((1, width), dtype=mx.int32), cache=caches), [cache.state for cache in caches])
    return caches


def held_bytes() -> int:
    """What is in use now, behind all work under way: a stream lets go of its inputs a moment after the results."""
    mx.synchronize()
    gc.collect()
    mx.clear_cache()  # a buffer used again may be larger than what it is used for
    return mx.get_active_memory()


def resident_bytes(model: Any, tokens: int) -> int:
    """What stays in memory after `tokens` tokens, in passes of 64 and then one by one: measured, not reckoned."""
    mx.eval(model(mx.zeros((1, 1), dtype=mx.int32)))  # lets go of what the weights were made from
    for _ in range(5):
        before = held_bytes()
        caches = filled(model, tokens)
        taken = held_bytes()
        del caches
        if held_bytes() == before:
            return taken - before + weights_bytes(model)
    raise AssertionError("what other tests left behind in this process is being let go of all the time")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("tokens", [100, 700])
def test_the_estimate_is_within_a_tenth_of_what_is_taken(name: str, tokens: int) -> None:
    model = zoo_model(name)
    told = estimate(config_of(name), weights_bytes(model), tokens)
    assert told.resident_bytes == pytest.approx(resident_bytes(model, tokens), rel=0.1)


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next", "falcon_h1", "llama4"])
@pytest.mark.parametrize("kv_bits", [4, 8])
def test_it_is_with_keys_and_values_in_fewer_bits_too(name: str, kv_bits: int) -> None:
    model = zoo_model(name, wide=True)
    size, config = weights_bytes(model), config_of(name, wide=True)
    told = estimate(config, size, 700, kv_bits=kv_bits)
    # Not the memory that they were given: it comes in pages, of which such small arrays fill a part.
    assert told.cache_bytes == pytest.approx(sum(cache.nbytes for cache in filled(model, 700, kv_bits)), rel=0.1)
    assert told.cache_bytes < estimate(config, size, 700).cache_bytes


@pytest.mark.starter
def test_the_starter_pairs_estimate_is_within_a_tenth(starter_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKAHEAD_HOME", str(starter_home))
    gc.collect()
    before = mx.get_active_memory()
    pair = load_pair("starter")
    assert pair.draft is not None
    models = {"target": pair.target, "draft": pair.draft}
    loaded = sum(weights_bytes(model) for model in (*models.values(), *pair.heads.values()))
    assert mx.get_active_memory() - before == pytest.approx(loaded, rel=0.02)
    assert pair.room is not None
    assert mx.get_active_memory() - before == pytest.approx(pair.room.weights_bytes, rel=0.1)
    [target_folder] = (starter_home / "models").glob("SmolLM2*")
    folders = {"target": target_folder, "draft": resources_folder() / "starter"}
    for side, model in models.items():
        config = json.loads((folders[side] / "config.json").read_text())
        size = sum(file.stat().st_size for file in folders[side].glob("model*.safetensors"))
        on_cpu = side == "draft" and mx.default_device().type == mx.DeviceType.cpu
        told = estimate(config, size, 72, in_float32=on_cpu)
        assert told.resident_bytes == pytest.approx(resident_bytes(model, 72), rel=0.1)


def test_nothing_is_computed_for_an_estimate() -> None:
    """405 billion parameters would not go into this machine."""
    huge = {"model_type": "llama", "hidden_size": 16384, "num_hidden_layers": 126, "intermediate_size": 53248}
    huge |= {"num_attention_heads": 128, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "vocab_size": 128256}
    before = mx.get_peak_memory()
    told = estimate(huge, 230 * 10**9, 131_072)
    assert mx.get_peak_memory() - before < 10**6
    # Two bytes each of keys and values: 126 layers, 8 heads of 128.
    count = 131_072 * 126 * 2 * 8 * 128
    assert told.cache_bytes == count * 2
    # Two more numbers of two bytes for each group of 64.
    assert estimate(huge, 230 * 10**9, 131_072, kv_bits=8).cache_bytes == count * 8.5 / 8
    assert estimate(huge, 230 * 10**9, 131_072, kv_bits=4).cache_bytes == count * 4.5 / 8
    assert mx.get_peak_memory() - before < 10**6


def test_a_quantised_draft_on_a_cpu_is_unpacked() -> None:
    config = config_of("llama")
    count = sum(array.size for _, array in tree_flatten(zoo_model("llama").parameters()))
    assert estimate(config, count // 2, 10, in_float32=True).weights_bytes == 4 * count


def test_a_configuration_that_cannot_be_built_is_an_error() -> None:
    assert not is_supported({"model_type": "telepathy"})
    assert is_supported({"model_type": "llama"})
    with pytest.raises(UnsupportedModelError, match="'telepathy'"):
        estimate({"model_type": "telepathy"}, 1, 1)
    with pytest.raises(UnsupportedModelError):
        estimate({"model_type": "llama", "hidden_size": "wide"}, 1, 1)


def test_the_context_is_found_in_either_place() -> None:
    assert context_of({"max_position_embeddings": 7}) == 7
    assert context_of({"text_config": {"max_position_embeddings": 8}}) == 8
    assert context_of({}) is None


def test_a_context_that_yarn_stretches_is_the_stretched_one() -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    assert context_of({"max_position_embeddings": 64, "rope_scaling": yarn}) == 256
    assert context_of(with_rope({"max_position_embeddings": 64, "rope_parameters": {**yarn, "rope_theta": 1e6}})) == 256
    assert context_of(with_rope({"max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 4}})) == 256
    assert context_of({"max_position_embeddings": 256, "rope_scaling": yarn}) == 256, "it says so already"
    llama3 = {"rope_type": "llama3", "factor": 32.0, "original_max_position_embeddings": 8192}
    assert context_of({"max_position_embeddings": 131072, "rope_scaling": llama3}) == 131072
    assert context_of({"n_positions": 1024}) == 1024


@pytest.mark.parametrize(
    ("needed", "room", "said"),
    [(8_000_000_000, "fits", "fits: "), (8_000_000_001, "tight", "fits tightly"), (10_000_000_001, "no", "not fit")],
)
def test_room_is_weighed_with_the_numbers(needed: int, room: str, said: str) -> None:
    found, sentence = weigh("A model", needed, 10_000_000_000)
    assert found == room
    assert said in sentence
    assert "10.0 GB" in sentence
