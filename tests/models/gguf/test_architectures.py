"""Every architecture that GGUF import knows: its numbers are the source model's, and llama.cpp's."""

import json
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_map
from scipy.special import log_softmax

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf.importing import import_gguf
from mlx_spec.models.loading import load_pair
from tests.models.gguf.export import CASES, TOKENS, export, gguf, source_model
from tests.models.text.sentences import one_sentence

# Longer than gemma3's window of 8, so that a layer which does not slide is noticed.
PROMPT: Final = np.random.default_rng(1).integers(1, TOKENS, 40).tolist()
RECORDED: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "architecture_logits.json").read_text("ascii")
)
# llama.cpp multiplies in float16 here and there, and takes Gemma's activations out of a table in float16.
LLAMA_CPP_TOLERANCE: Final = 0.03


def logits(model: Any) -> np.ndarray:
    """Logits `[tokens, vocabulary]` of the prompt."""
    return np.array(model(mx.array([PROMPT]))[0])


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_the_source_model(case: str, tmp_path: Path) -> None:
    source = export(case, tmp_path / "x.gguf")
    pair = load_pair(str(tmp_path / "x.gguf"))
    np.testing.assert_allclose(logits(pair.target), logits(source), atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_probabilities_are_those_of_llama_cpp(case: str) -> None:
    """So the conventions of the exporter, which the test above leans on, are llama.cpp's own."""
    source, _ = source_model(case)
    told = np.array(RECORDED["cases"][case])
    np.testing.assert_allclose(log_softmax(logits(source)[-1]), told, atol=LLAMA_CPP_TOLERANCE)
    assert told.std() > 1, "a distribution this flat would show nothing"


# One setting of each case that would go unnoticed if the record were too coarse.
WRONG: Final[dict[str, dict[str, Any]]] = {
    "llama-3.1": {"rope_scaling": None},
    "mistral": {"rope_theta": 10000.0},
    "qwen3-yarn": {"rope_scaling": None},
    "gemma2": {"attn_logit_softcapping": 50.0},
    "gemma3": {"sliding_window_pattern": 2},
    "gemma3-4b": {"rope_scaling": None},
    "phi3-long": {"rope_scaling": None},
    "phi4-mini": {"partial_rotary_factor": 1.0},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_would_be_noticed(case: str) -> None:
    source, _ = source_model(case, change=WRONG[case])
    apart = np.abs(log_softmax(logits(source)[-1]) - np.array(RECORDED["cases"][case]))
    assert apart.max() > 3 * LLAMA_CPP_TOLERANCE


@pytest.mark.parametrize("case", ["llama", "qwen2", "gemma3", "phi3"])
@pytest.mark.parametrize("kind", ["Q4_0", "Q5_1", "Q8_0", "BF16"])
def test_a_quantised_file_loses_what_its_quantisation_loses(case: str, kind: str, tmp_path: Path) -> None:
    """The source with its matrices through the quantisation and back, which `gguf` does on its own."""
    source = export(case, tmp_path / "x.gguf", kind=kind)
    quantisation = gguf.GGMLQuantizationType[kind]

    def lost(weight: mx.array) -> mx.array:
        if weight.ndim == 1:
            return weight
        return mx.array(gguf.quants.dequantize(gguf.quants.quantize(np.array(weight), quantisation), quantisation))

    exact = logits(source)
    source.update(tree_map(lost, source.parameters()))
    found = logits(load_pair(str(tmp_path / "x.gguf")).target)
    np.testing.assert_allclose(found, logits(source), atol=2e-3)
    assert np.abs(found - exact).max() > 5e-3


def changed(case: str, path: Path, *, key: str = "", value: Any = None, tensor: str = "") -> Path:
    """A case's file with one field, or the name of one tensor, changed."""
    export(case, path, fields={key: value} if key else {}, rename={tensor: "blk.0.stranger.weight"} if tensor else {})
    return path


@pytest.mark.parametrize(
    ("case", "key", "value", "named"),
    [
        ("llama", "llama.rope.scaling.type", "longrope", "'longrope'"),
        ("llama-3.1", "llama.rope.freq_base", 9000.0, "not Llama 3's"),
        ("qwen3-yarn", "qwen3.rope.scaling.yarn_log_multiplier", 0.1, "'yarn'"),
        ("gemma2", "gemma2.rope.scaling.factor", 2.0, "'linear'"),
        ("gemma3", "gemma3.final_logit_softcapping", 30.0, "caps its logits"),
        ("gemma3", "gemma3.attention.sliding_window_pattern", [True, False, False, True], "no regular pattern"),
        ("phi3-long", "phi3.rope.scaling.attn_factor", 2.0, "its own attention factor"),
        ("qwen2", "qwen2.rope.dimension_count", 8, "only a part"),
        ("qwen2", "qwen2.attention.value_length", 8, "heads of 16"),
    ],
)
def test_what_mlx_lm_could_not_compute_is_named(case: str, key: str, value: Any, named: str, tmp_path: Path) -> None:
    path = changed(case, tmp_path / "x.gguf", key=key, value=value)
    with pytest.raises(UnsupportedModelError) as caught:
        import_gguf(path, tmp_path / "models" / "x", source="test")
    assert named in one_sentence(caught.value)


def test_a_pattern_may_stand_layer_by_layer(tmp_path: Path) -> None:
    path = changed(
        "gemma3", tmp_path / "x.gguf", key="gemma3.attention.sliding_window_pattern", value=[True, True, False, True]
    )
    source, _ = source_model("gemma3")
    np.testing.assert_allclose(logits(load_pair(str(path)).target), logits(source), atol=1e-4)


@pytest.mark.parametrize("case", ["qwen2", "phi3", "gemma3"])
def test_tensors_of_another_architecture_are_named(case: str, tmp_path: Path) -> None:
    path = changed(case, tmp_path / "x.gguf", tensor="blk.0.ffn_down.weight")
    with pytest.raises(UnsupportedModelError, match=r"blk\.0\.stranger\.weight"):
        import_gguf(path, tmp_path / "models" / "x", source="test")


def test_a_missing_bias_is_named(tmp_path: Path) -> None:
    export("qwen2", tmp_path / "x.gguf", leave_out="blk.1.attn_k.bias")
    with pytest.raises(CorruptModelError, match=r"lacks the tensor blk\.1\.attn_k\.bias"):
        import_gguf(tmp_path / "x.gguf", tmp_path / "models" / "x", source="test")
