"""Keys and values of another making are kept under another name."""

from pathlib import Path

import mlx.core as mx
import pytest

from mlx_spec.decoding.cache.blocks import identity
from mlx_spec.decoding.cache.blocks.disk import DiskTier
from mlx_spec.decoding.cache.blocks.identity import identity_of
from mlx_spec.prompt_passes import PromptPasses
from tests.tiny import tiny_llama


def test_each_thing_that_keys_and_values_depend_on_makes_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model, half = tiny_llama(0), tiny_llama(0)
    half.set_dtype(mx.float16)
    told = [
        identity_of("files", [model], passes=PromptPasses(64)),
        identity_of("other files", [model], passes=PromptPasses(64)),
        identity_of("files", [half], passes=PromptPasses(64)),
        identity_of("files", [model, model], passes=PromptPasses(64)),
        identity_of("files", [model, None], passes=PromptPasses(64)),
        identity_of("files", [model], passes=PromptPasses(512)),
        identity_of("files", [model], passes=PromptPasses(64, ((32, 16),))),
        identity_of("files", [model], passes=PromptPasses(64, joined_from=512)),
        identity_of("files", [model], passes=PromptPasses(64), kv_bits=8, kv_group_size=64),
        identity_of("files", [model], passes=PromptPasses(64), kv_bits=4, kv_group_size=64),
        identity_of("files", [model], passes=PromptPasses(64), kv_bits=4, kv_group_size=32),
    ]
    assert told[0] == identity_of("files", [tiny_llama(1)], passes=PromptPasses(64)), (
        "weights are told apart by their files"
    )
    monkeypatch.setattr(identity, "circumstances", lambda models: ["another machine"])
    told.append(identity_of("files", [model], passes=PromptPasses(64)))
    monkeypatch.setattr(identity, "FORMAT", 99)
    told.append(identity_of("files", [model], passes=PromptPasses(64)))
    assert len(set(told)) == len(told)


def test_it_names_a_folder(tmp_path: Path) -> None:
    name = identity_of("files", [tiny_llama(0)], passes=PromptPasses(64))
    assert name is not None
    assert DiskTier(tmp_path, name, 1000).usage.num_blocks == 0
    assert (tmp_path / name).is_dir()


def test_files_that_nobody_knows_have_none() -> None:
    assert identity_of(None, [tiny_llama(0)], passes=PromptPasses(64)) is None
