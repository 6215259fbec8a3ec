"""K-quants and the like: read as the format's description has them, and by the sizes that llama.cpp knows."""

from pathlib import Path

import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.gguf.blocks import block_values
from mlx_spec.models.gguf.header import TENSOR_TYPES, TensorInfo

ROWS, COLUMNS, OFFSET = 3, 512, 64


def written(tmp_path: Path, blocks: np.ndarray) -> Path:
    """A file with the blocks' bytes behind something else."""
    path = tmp_path / "blocks.bin"
    path.write_bytes(bytes(OFFSET) + blocks.tobytes())
    return path


def values(path: Path, type_name: str, blocks: np.ndarray) -> np.ndarray:
    info = TensorInfo(path, "blk.0.ffn_up.weight", (ROWS, COLUMNS), type_name, blocks.size, OFFSET)
    return np.array(block_values(info))


def random_blocks(size: int, halves: list[int]) -> np.ndarray:
    """Random blocks of `size` bytes whose half-precision numbers, at `halves`, are small."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 256, (ROWS * COLUMNS // 256, size), dtype=np.uint8)
    for at in halves:
        scales = random.normal(0, 0.01, len(blocks)).astype(np.float16)
        blocks[:, at : at + 2] = scales[:, None].view(np.uint8)
    return blocks


def half(block: np.ndarray, at: int) -> float:
    return float(block[at : at + 2].copy().view(np.float16)[0])


def q4_k(block: np.ndarray) -> list[float]:
    """One block of 256: d, dmin, eight 6-bit scales and minima in 12 bytes, then 4-bit levels; w = d s n - dmin m."""
    d, dmin, packed, levels = half(block, 0), half(block, 2), block[4:16].astype(int), block[16:].astype(int)
    out: list[float] = []
    for group in range(8):
        if group < 4:
            scale, least = packed[group] & 63, packed[group + 4] & 63
        else:
            scale = (packed[group + 4] & 15) | ((packed[group - 4] >> 6) << 4)
            least = (packed[group + 4] >> 4) | ((packed[group] >> 6) << 4)
        chunk = levels[32 * (group // 2) : 32 * (group // 2) + 32]
        chunk = chunk & 15 if group % 2 == 0 else chunk >> 4
        out += [d * scale * n - dmin * least for n in chunk]
    return out


def q6_k(block: np.ndarray) -> list[float]:
    """One block of 256: 128 bytes of low halves, 64 of upper pairs of bits, 16 signed scales, d; w = d s (n - 32)."""
    low, high = block[:128].astype(int), block[128:192].astype(int)
    scales, d = block[192:208].view(np.int8).astype(int), half(block, 208)
    out = np.zeros(256)
    for part in range(2):
        for i in range(32):
            bits = high[32 * part + i]
            for quarter in range(4):
                nibble = low[64 * part + i + 32 * (quarter % 2)]
                nibble = nibble & 15 if quarter < 2 else nibble >> 4
                place = 128 * part + 32 * quarter + i
                out[place] = d * scales[place // 16] * ((nibble | ((bits >> (2 * quarter) & 3) << 4)) - 32)
    return list(out)


@pytest.mark.parametrize(
    ("name", "size", "halves", "reference"), [("Q4_K", 144, [0, 2], q4_k), ("Q6_K", 210, [208], q6_k)]
)
def test_k_quants_are_what_the_format_says(tmp_path: Path, name: str, size: int, halves: list[int], reference) -> None:
    blocks = random_blocks(size, halves)
    expected = np.array([reference(block) for block in blocks]).reshape(ROWS, COLUMNS)
    np.testing.assert_allclose(values(written(tmp_path, blocks), name, blocks), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(name for name, _, _ in TENSOR_TYPES.values()))
def test_every_type_is_read_and_has_the_size_that_llama_cpp_gives_it(tmp_path: Path, name: str) -> None:
    numbers = {entry[0]: number for number, entry in TENSOR_TYPES.items()}
    _, block, size = TENSOR_TYPES[numbers[name]]
    kind = GGMLQuantizationType[name]
    assert (kind.value, *GGML_QUANT_SIZES[kind]) == (numbers[name], block, size)
    zeros = np.zeros((ROWS * COLUMNS // block, size), np.uint8)
    read = values(written(tmp_path, zeros), name, zeros)
    assert read.shape == (ROWS, COLUMNS)
    assert np.abs(read).max() < 1e-30


def test_a_scale_that_is_no_number_is_damage(tmp_path: Path) -> None:
    blocks = random_blocks(144, [0, 2])
    blocks[0, :2] = np.array([np.nan], np.float16).view(np.uint8)
    with pytest.raises(CorruptModelError, match=r"blk\.0\.ffn_up\.weight"):
        values(written(tmp_path, blocks), "Q4_K", blocks)
