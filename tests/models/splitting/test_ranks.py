"""Real ranks say what one machine says: a session of processes over loopback for each number of ranks."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten, tree_map_with_path

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="ranks are forked, which Metal does not outlive")
ROOT = Path(__file__).parents[3]
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 128,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "vocab_size": 160,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "moe_intermediate_size": 64,
    "head_dim": 8,
    "norm_topk_prob": True,
    "max_position_embeddings": 2048,
}
# What share of a model that outgrows a Mac is embedding and head: 3 % of Llama's 70B, 6 % of Mistral's 24B.
LARGE = {**SIZES, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8, "vocab_size": 1024}


def save(folder: Path, family: str, sizes: dict[str, Any], bits: int | None = None) -> Path:
    """A random model of a family as a folder, quantised where it says in how many bits."""
    module = importlib.import_module(f"mlx_lm.models.{family}")
    config = {"model_type": family, **sizes}
    mx.random.seed(1)
    model = module.Model(module.ModelArgs.from_dict(config))
    model.update(tree_map_with_path(_drawn, model.parameters()))
    if bits is not None:
        nn.quantize(model, 32, bits)
        config["quantization"] = {"group_size": 32, "bits": bits}
    folder.mkdir()
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _drawn(path: str, value: mx.array) -> mx.array:
    if value.ndim < 2:
        return value
    return mx.random.normal(value.shape) * (4.0 if "layers" in path else 1.0) * value.shape[-1] ** -0.5


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("split")
    return {
        "llama": save(home / "llama", "llama", {**SIZES, "tie_word_embeddings": True}),
        "qwen2": save(home / "qwen2", "qwen2", SIZES),
        "experts": save(home / "experts", "qwen3_moe", {**SIZES, **EXPERTS, "num_hidden_layers": 2}),
        "experts' layer": save(home / "layer", "qwen3_moe", {**SIZES, **EXPERTS, "num_hidden_layers": 1}),
        "quantised": save(home / "quantised", "llama", {**SIZES, "hidden_size": 128, "num_hidden_layers": 1}, 4),
        "large": save(home / "large", "llama", LARGE),
    }


@pytest.fixture(scope="module")
def sessions(folders: dict[str, Path]) -> dict[Any, list[dict[str, Any]]]:
    """What each rank found, by number of ranks, model, way and exactness; and what it measured of the wire.

    Each kind of layer goes over two ranks; over four, where a collective takes ten times as long, what is new there.
    """
    strict, pipeline, fast = ("tensor", "strict"), ("pipeline", "strict"), ("tensor", "fast")
    for_two = [("llama", strict, "all"), ("llama", pipeline, "all"), ("experts", pipeline, "few")]
    for_two += [(name, way, "few") for name in ("quantised", "experts") for way in (strict, fast)]
    for_four = [("llama", pipeline, "heard"), ("qwen2", pipeline, "few")]
    for_four += [(name, strict, "few") for name in ("quantised", "experts' layer")]
    plan = {
        ranks: [
            {"folder": str(folders[name]), "way": way[0], "exactness": way[1], "passes": p} for name, way, p in each
        ]
        + [{"folder": str(folders["large"]), "way": way[0], "exactness": way[1]} for way in (strict, pipeline)]
        for ranks, each in {2: for_two, 4: for_four}.items()
    }
    # Of a large machine and a small one: who has which layers changes no bit.
    next(case for case in plan[2] if case["way"] == "pipeline" and case["passes"] == "all")["layers"] = (3, 1)
    environment = {**os.environ, "LOOKAHEAD_BLAS": "off", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("LD_PRELOAD", None)  # what is preloaded here would be the BLAS there
    ran = subprocess.run(
        [sys.executable, "-m", "tests.models.splitting.ranks"],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[Any, list[dict[str, Any]]] = {}
    for rank in json.loads(ran.stdout):
        assert "failed" not in rank, rank["failed"]
        found.setdefault(("wire", rank["ranks"]), []).append(rank["wire"])
        for one in rank["found"]:
            case = one["case"]
            key = rank["ranks"], Path(case["folder"]).name, case["way"], case["exactness"]
            found.setdefault(key, []).append(one)
    return found


def cases(sessions: dict[Any, list[dict[str, Any]]]) -> dict[Any, list[dict[str, Any]]]:
    """Those whose passes were made."""
    return {key: ranks for key, ranks in sessions.items() if key[0] != "wire" and key[1] != "large"}


def test_strict_ranks_have_one_machines_bits(sessions: dict[Any, list[dict[str, Any]]]) -> None:
    strict = {key: ranks[0] for key, ranks in cases(sessions).items() if key[3] == "strict"}
    assert len(strict) == 9
    for key, leader in strict.items():
        assert leader["differ"] == {}, key
        assert {"prompt", "alone", "rows", "together 0", "together 1", "together 2"} <= set(leader["names"]), key
        assert leader["compiled"], key
        assert leader["rows_differ"] == 0, key


def test_two_fast_ranks_are_close_and_keep_rows_apart(sessions: dict[Any, list[dict[str, Any]]]) -> None:
    fast = {key: ranks[0] for key, ranks in cases(sessions).items() if key[3] == "fast"}
    assert len(fast) == 2
    for key, leader in fast.items():
        assert leader["differ"], key  # else strict would be for nothing
        assert max(value for name, value in leader["differ"].items() if "heard" not in name) < 1e-3, key
        assert leader["rows_differ"] == 0, key


def test_states_that_heads_listen_to_come_to_rank_0(sessions: dict[Any, list[dict[str, Any]]]) -> None:
    for ranks, way in ((2, "tensor"), (2, "pipeline"), (4, "pipeline")):
        leader = sessions[ranks, "llama", way, "strict"][0]
        wanted = {"rows heard", *(["tree heard", "together 1 heard"] if ranks == 2 else [])}
        assert wanted <= set(leader["names"]), (ranks, way)
        assert leader["differ"] == {}, (ranks, way)


def test_a_rank_holds_its_part_and_never_more(
    sessions: dict[Any, list[dict[str, Any]]], folders: dict[str, Path]
) -> None:
    whole = (folders["large"] / "model.safetensors").stat().st_size
    for ranks, share in ((2, 0.55), (4, 0.3)):
        for way in ("tensor", "pipeline"):
            for rank in sessions[ranks, "large", way, "strict"]:
                assert rank["active"] <= share * whole, (ranks, way, rank["active"] / whole)
                assert rank["peak"] <= share * whole, (ranks, way, rank["peak"] / whole)
                assert rank["told"] == rank["nbytes"] == pytest.approx(rank["active"], rel=0.02)


def test_a_pass_makes_the_collectives_that_are_told(sessions: dict[Any, list[dict[str, Any]]]) -> None:
    layers, hidden, wide, size = 4, 64, 128, 4
    gathered = hidden + hidden + wide + hidden
    strict = sessions[2, "llama", "tensor", "strict"]
    assert [rank["wire"] for rank in strict] == [[1 + 4 * layers, (layers * gathered + hidden) // 2 * size]] * 2
    # What the leader looks up goes there, and with what comes back the states of three layers: two were heard before.
    leader, first = sessions[2, "llama", "pipeline", "strict"]
    assert leader["wire"] == first["wire"] == [2, 3 * hidden * size]


def test_nothing_is_held_twice_where_the_leader_looks_tokens_up(
    sessions: dict[Any, list[dict[str, Any]]], folders: dict[str, Path]
) -> None:
    whole = sum(array.nbytes for array in mx.load(str(folders["llama"] / "model.safetensors")).values())
    norm = 64 * 4  # that of the states behind the last layer, which each rank has
    for ranks in (2, 4):
        held = [rank["nbytes"] for rank in sessions[ranks, "llama", "pipeline", "strict"]]
        assert sum(held) == whole + (ranks - 1) * norm


def test_two_ranks_measure_their_wire_together(sessions: dict[Any, list[dict[str, Any]]]) -> None:
    for costs in sessions["wire", 2]:
        assert set(costs) == {"gather", "sum", "message"}
        assert all(one["fixed_ms"] + one["ms_per_byte"] > 0 for one in costs.values())
