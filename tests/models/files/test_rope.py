"""Positions are turned as the configuration says, however it was written: before transformers 5, or by it."""

import dataclasses
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.models
import pytest
from mlx_lm.models.rope_utils import Llama3RoPE, YarnRoPE
from mlx_lm.utils import _get_classes

from mlx_spec.errors import UnsupportedModelError
from mlx_spec.models.files.rope import with_rope
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.layer import LayerShape
from mlx_spec.models.loading import load_pair
from mlx_spec.models.weights import check_rope
from mlx_spec.training.target import load_target
from tests.models.files.rope_configs import ROPE_CONFIGS
from tests.models.text.sentences import one_sentence

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


def write_rope(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    for name in ("rope_theta", "rope_scaling", "rope_parameters"):
        config.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config | fields))


def test_a_folder_as_transformers_5_saves_it_has_its_own_rope_base(folder: Path) -> None:
    write_rope(folder, rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
    pair = load_pair(str(folder), str(folder))
    assert pair.draft is not None
    assert [model.layers[0].self_attn.rope.base for model in (pair.target, pair.draft)] == [500000.0, 500000.0]
    assert load_target(ModelFolder.at(folder)).model.layers[0].self_attn.rope.base == 500000.0, (
        "training turns as decoding does"
    )
    assert load_target(ModelFolder.at(folder)).config["rope_theta"] == 500000.0, "and so does what is trained"


@pytest.mark.parametrize(
    ("scaling", "kind"),
    [
        (YARN, YarnRoPE),
        ({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1.0, "high_freq_factor": 4.0}, Llama3RoPE),
    ],
)
def test_scalings_are_kept(folder: Path, scaling: dict[str, Any], kind: type) -> None:
    write_rope(folder, rope_theta=500000.0, rope_scaling=scaling)
    before = load_pair(str(folder)).target.layers[0].self_attn.rope
    write_rope(folder, rope_parameters={**scaling, "rope_theta": 500000.0})
    now = load_pair(str(folder)).target.layers[0].self_attn.rope
    assert isinstance(now, kind)
    assert turns(now) == turns(before)


def test_a_head_turns_as_its_configuration_says() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    plain = LayerShape.of({**sizes, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}})
    assert plain.rope().base == 500000.0
    stretched = LayerShape.of({**sizes, "rope_parameters": {**YARN, "rope_theta": 500000.0}})
    assert isinstance(stretched.rope(), YarnRoPE)


def test_an_attention_factor_that_is_given_outright_counts() -> None:
    filled = with_rope({"rope_parameters": {**YARN, "rope_theta": 1e6, "attention_factor": 1.25}})
    rope = YarnRoPE(8, scaling_factor=4.0, mscale=filled["rope_scaling"]["mscale"])
    assert rope.mscale == pytest.approx(1.25)


def test_yarn_without_its_origin_starts_from_the_context() -> None:
    filled = with_rope({"max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 4}})
    assert filled["rope_scaling"]["original_max_position_embeddings"] == 64


def test_the_part_of_a_model_that_is_about_text_counts_too() -> None:
    inner = {"model_type": "llama", "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}
    filled = with_rope({"model_type": "pixtral", "text_config": inner})
    assert filled["text_config"]["rope_theta"] == 500000.0


@pytest.mark.parametrize("family", ROPE_CONFIGS)
def test_every_family_turns_as_it_did_before_transformers_5(family: str) -> None:
    before, table = ROPE_CONFIGS[family]
    expected = [turns(rope) for rope in ropes(built(with_rope(before)))]
    assert expected, family
    now = {name: value for name, value in before.items() if name not in OLDER} | {"rope_parameters": table}
    assert [turns(rope) for rope in ropes(built(with_rope(now)))] == expected


OLDER = (
    "rope_theta",
    "rope_scaling",
    "rope_local_base_freq",
    "rope_local_theta",
    "swa_rope_theta",
    "rotary_emb_base",
    "rotary_pct",
    "rotary_dim",
    "partial_rotary_factor",
    "compress_rope_theta",
)


def test_a_scaling_that_a_family_drops_is_told() -> None:
    model = built(ROPE_CONFIGS["starcoder2"][0])
    scaled = with_rope(ROPE_CONFIGS["starcoder2"][0] | {"rope_scaling": YARN})
    with pytest.raises(UnsupportedModelError) as caught:
        check_rope(model, scaled, "The model in there")
    assert "yarn" in one_sentence(caught.value)
    other = ROPE_CONFIGS["starcoder2"][0] | {"rope_parameters": {"rope_theta": 123.0, "rope_type": "default"}}
    with pytest.raises(UnsupportedModelError, match="base 123"):
        check_rope(model, other, "The model in there")


def built(config: dict[str, Any]) -> nn.Module:
    model_class, args_class = _get_classes(config)
    model: nn.Module = model_class(args_class.from_dict(config))
    return model


def ropes(model: nn.Module) -> Iterator[nn.Module]:
    for name, module in sorted(model.named_modules()):
        if isinstance(module, nn.RoPE) or hasattr(module, "_freqs") or name.endswith(("rope", "rotary_emb")):
            yield module


def turns(rope: nn.Module) -> tuple[object, ...]:
    """All that a rotary module turns by."""
    numbers = [mx.array(rope[name]).tolist() for name in ("_freqs",) if name in rope]
    if hasattr(rope, "_freqs") and not numbers:
        numbers = [rope._freqs.tolist()]
    names = ("dims", "dim", "base", "scale", "mscale", "_scale", "traditional", "factor", "rotary_dim")
    return type(rope).__name__, *numbers, *(getattr(rope, name, None) for name in names)


READ = re.compile("theta|rope_scaling|rope_parameters|rope.*base|rotary|local.*freq")
# Fields of files that transformers does not write: those come as their publisher wrote them.
OTHERS = {
    "layer_rope_theta",
    "rope_embedding_base",
    "partial_rotary_factors",
    "global_partial_rotary_factor",
}


@pytest.mark.parametrize("family", sorted(module.name for module in pkgutil.iter_modules(mlx_lm.models.__path__)))
def test_every_field_that_a_family_reads_of_positions_is_filled(family: str) -> None:
    """Of mlx-lm as it is installed: a family with a field of another name must be looked at."""
    try:
        module = importlib.import_module(f"mlx_lm.models.{family}")
    except SystemExit:
        pytest.skip("it ends the process where a package of its own is missing")
    table = {"rope_type": "default", "rope_theta": 500000.0, "partial_rotary_factor": 0.5}
    layers = {"full_attention": table, "sliding_attention": table, "compress": table}
    filled = with_rope({"head_dim": 8, "rope_parameters": table}) | with_rope({"rope_parameters": layers})
    for name, kind in vars(module).items():
        if isinstance(kind, type) and name.endswith(("Args", "Config")) and dataclasses.is_dataclass(kind):
            read = {field.name for field in dataclasses.fields(kind) if READ.search(field.name)}
            assert read - OTHERS <= filled.keys(), f"{family}.{name}"
