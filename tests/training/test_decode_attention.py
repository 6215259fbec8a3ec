"""The kernel in C++ that the PyTorch stepper compiles: it lies where it is looked for, and is attention."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from mlx_spec.training import on_torch

HAS_TORCH = importlib.util.find_spec("torch") is not None


def test_its_text_lies_beside_the_stepper() -> None:
    """A move of one without the other is seen where PyTorch is not installed, too."""
    folder = Path(on_torch.__path__[0])
    named = (folder / "stepper.py").read_text()
    assert [path.name for path in folder.glob("*.cpp") if f'"{path.name}"' in named] == ["decode_attention.cpp"]


@pytest.mark.skipif(not HAS_TORCH or shutil.which("g++") is None, reason="PyTorch or g++ is not installed")
def test_it_reads_each_row_up_to_its_own_length() -> None:
    import torch

    from mlx_spec.training.on_torch.stepper import compiled_attention

    rows, kv_heads, group, capacity = 5, 2, 3, 40
    kernel = compiled_attention({"num_attention_heads": kv_heads * group, "num_key_value_heads": kv_heads})
    assert kernel is not None
    draw = torch.Generator().manual_seed(1)
    queries = torch.randn(rows, kv_heads, group, 64, generator=draw).bfloat16()
    keys, values = torch.randn(2, rows, kv_heads, capacity, 64, generator=draw).bfloat16()
    lengths = torch.tensor([1, 7, 16, 33, 40])
    read = kernel(queries, keys, values, lengths).float()
    for row, length in enumerate(lengths.tolist()):
        seen = keys[row, :, :length].float(), values[row, :, :length].float()
        weights = torch.softmax(queries[row].float() @ seen[0].transpose(-1, -2) * 64**-0.5, -1)
        assert torch.allclose(read[row], weights @ seen[1], atol=0.02)
