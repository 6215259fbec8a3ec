"""Small llama GGUF files for tests, written byte by byte from the format's description, with NumPy only.

Independent of the importer on purpose: it quantises, permutes and packs in its own way.
"""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, LAYERS, INNER = 64, 4, 2, 16, 2, 96
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


TOKENS = [*SPECIALS, *byte_alphabet(), "th", "the", "Ġt"]
MERGES = ["t h", "th e", "Ġ t"]


def text(value: str) -> bytes:
    """A GGUF string: its length and its bytes."""
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value_bytes(value: Any) -> bytes:
    """A GGUF metadata value with its type in front."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(item) for item in value)
    if isinstance(value[0], float):
        return struct.pack(f"<IIQ{len(value)}f", 9, 6, len(value), *value)
    return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def pack_q4_0(weight: np.ndarray) -> bytes:
    """Blocks of 32: a half-precision scale d, then 16 bytes low halves first; w = d (n - 8)."""
    blocks = weight.reshape(-1, 32).astype(np.float32)
    scale = (np.abs(blocks).max(axis=1) / 7).astype(np.float16)
    levels = np.clip(np.rint(blocks / scale[:, None].astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    packed = levels[:, :16] | (levels[:, 16:] << 4)
    return b"".join(one.tobytes() + row.tobytes() for one, row in zip(scale, packed, strict=True))


def pack_q4_1(weight: np.ndarray) -> bytes:
    """As Q4_0 with a minimum m after the scale; w = d n + m."""
    blocks = weight.reshape(-1, 32).astype(np.float32)
    low = blocks.min(axis=1).astype(np.float16)
    scale = ((blocks.max(axis=1) - low.astype(np.float32)) / 15).astype(np.float16)
    levels = (blocks - low[:, None].astype(np.float32)) / scale[:, None].astype(np.float32)
    levels = np.clip(np.rint(levels), 0, 15).astype(np.uint8)
    packed = levels[:, :16] | (levels[:, 16:] << 4)
    parts = zip(scale, low, packed, strict=True)
    return b"".join(one.tobytes() + least.tobytes() + row.tobytes() for one, least, row in parts)


def pack_q8_0(weight: np.ndarray) -> bytes:
    """Blocks of 32: a half-precision scale d, then 32 signed bytes; w = d n."""
    blocks = weight.reshape(-1, 32).astype(np.float32)
    scale = (np.abs(blocks).max(axis=1) / 127).astype(np.float16)
    levels = np.clip(np.rint(blocks / scale[:, None].astype(np.float32)), -127, 127).astype(np.int8)
    return b"".join(one.tobytes() + row.tobytes() for one, row in zip(scale, levels, strict=True))


def pack_q5_0(weight: np.ndarray) -> bytes:
    """Blocks of 32: a scale d, the fifth bits as 32 bits, then 16 bytes low halves first; w = d (n - 16)."""
    blocks = weight.reshape(-1, 32).astype(np.float32)
    scale = (np.abs(blocks).max(axis=1) / 15).astype(np.float16)
    levels = np.clip(np.rint(blocks / scale[:, None].astype(np.float32)) + 16, 0, 31).astype(np.uint8)
    fifth = np.packbits(levels >> 4, axis=1, bitorder="little")
    packed = (levels[:, :16] & 15) | ((levels[:, 16:] & 15) << 4)
    rows = zip(scale, fifth, packed, strict=True)
    return b"".join(one.tobytes() + high.tobytes() + low.tobytes() for one, high, low in rows)


def pack_bf16(weight: np.ndarray) -> bytes:
    """The upper half of each float32, cut off."""
    return (weight.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()


def unpack(raw: bytes, type_name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 weights of the bytes of one tensor."""
    if type_name in ("F32", "F16"):
        return np.frombuffer(raw, np.float32 if type_name == "F32" else np.float16).astype(np.float32).reshape(shape)
    if type_name == "BF16":
        return (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    size = {"Q4_0": 18, "Q4_1": 20, "Q5_0": 22, "Q8_0": 34}[type_name]
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, size)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    if type_name == "Q8_0":
        return (scale * blocks[:, 2:].view(np.int8)).reshape(shape)
    levels = blocks[:, size - 16 :]
    levels = np.concatenate([levels & 15, levels >> 4], axis=1).astype(np.float32)
    if type_name == "Q4_0":
        return (scale * (levels - 8)).reshape(shape)
    if type_name == "Q5_0":
        fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little").astype(np.float32)
        return (scale * (levels + 16 * fifth - 16)).reshape(shape)
    return (scale * levels + blocks[:, 2:4].copy().view(np.float16).astype(np.float32)).reshape(shape)


PACKERS = {
    "F32": (0, lambda weight: weight.astype(np.float32).tobytes()),
    "F16": (1, lambda weight: weight.astype(np.float16).tobytes()),
    "Q4_0": (2, pack_q4_0),
    "Q4_1": (3, pack_q4_1),
    "Q5_0": (6, pack_q5_0),
    "Q8_0": (8, pack_q8_0),
    "BF16": (30, pack_bf16),
}


@dataclass
class TinyGGUF:
    """What goes into the file; a test changes a field and calls `write`."""

    metadata: dict[str, Any]
    tensors: dict[str, tuple[np.ndarray, str]]
    type_numbers: dict[str, int] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        """The whole file."""
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.metadata))
        head += b"".join(text(key) + value_bytes(value) for key, value in self.metadata.items())
        body = b""
        for name, (weight, type_name) in self.tensors.items():
            number, pack = PACKERS[type_name]
            shape = weight.shape[::-1]
            head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
            head += struct.pack("<IQ", self.type_numbers.get(name, number), len(body))
            raw = pack(weight)
            body += raw + bytes(-len(raw) % 32)
        return head + bytes(-len(head) % 32) + body

    def write(self, path: Path) -> Path:
        """Write the file and return its path."""
        path.write_bytes(self.as_bytes())
        return path

    def weight(self, name: str) -> np.ndarray:
        """What the file really says, float32: the tensor packed and unpacked again."""
        weight, type_name = self.tensors[name]
        return unpack(PACKERS[type_name][1](weight), type_name, weight.shape)


def tiny_gguf(matrix_type: str = "Q4_1", *, tied: bool = True, seed: int = 0) -> TinyGGUF:
    """A random two-layer llama with a byte tokenizer."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> tuple[np.ndarray, str]:
        return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32), matrix_type

    def norm() -> tuple[np.ndarray, str]:
        return random.normal(1, 0.1, HIDDEN).astype(np.float32), "F32"

    tensors = {"token_embd.weight": matrix(len(TOKENS), HIDDEN), "output_norm.weight": norm()}
    if not tied:
        tensors["output.weight"] = matrix(len(TOKENS), HIDDEN)
    for layer in range(LAYERS):
        shapes = {
            "attn_q": (HEADS * HEAD_DIM, HIDDEN), "attn_k": (KV_HEADS * HEAD_DIM, HIDDEN),
            "attn_v": (KV_HEADS * HEAD_DIM, HIDDEN), "attn_output": (HIDDEN, HEADS * HEAD_DIM),
            "ffn_gate": (INNER, HIDDEN), "ffn_up": (INNER, HIDDEN), "ffn_down": (HIDDEN, INNER),
        }  # fmt: skip
        tensors |= {f"blk.{layer}.{name}.weight": matrix(*shape) for name, shape in shapes.items()}
        tensors |= {f"blk.{layer}.{name}.weight": norm() for name in ("attn_norm", "ffn_norm")}
    metadata = {
        "general.architecture": "llama",
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": INNER,
        "llama.block_count": LAYERS,
        "llama.context_length": 256,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": HEAD_DIM,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.token_type": [3] * len(SPECIALS) + [1] * (len(TOKENS) - len(SPECIALS)),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}",
    }
    return TinyGGUF(metadata, tensors)


def numpy_logits(gguf: TinyGGUF, token_ids: list[int]) -> np.ndarray:
    """Logits `[tokens, vocabulary]` of the file, computed as llama.cpp does: rope on neighbouring stored rows."""

    def normed(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * gguf.weight(f"{name}.weight")

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ gguf.weight(f"{name}.weight").T

    count = len(token_ids)
    angles = np.arange(count)[:, None] * 10000.0 ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)

    def rotated(x: np.ndarray) -> np.ndarray:
        pairs = x.reshape(count, -1, HEAD_DIM // 2, 2)
        turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angles)[:, None]
        return np.stack([turned.real, turned.imag], axis=-1).reshape(count, -1, HEAD_DIM)

    x = gguf.weight("token_embd.weight")[token_ids].astype(np.float64)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        inner = normed(x, f"{block}.attn_norm")
        queries, keys = (rotated(linear(inner, f"{block}.{name}")) for name in ("attn_q", "attn_k"))
        values = linear(inner, f"{block}.attn_v").reshape(count, KV_HEADS, HEAD_DIM)
        keys, values = (np.repeat(part, HEADS // KV_HEADS, axis=1) for part in (keys, values))
        scores = np.einsum("qhd,khd->hqk", queries, keys) / HEAD_DIM**0.5
        scores = np.where(np.tri(count, dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        x = x + linear(np.einsum("hqk,khd->qhd", shares, values).reshape(count, -1), f"{block}.attn_output")
        inner = normed(x, f"{block}.ffn_norm")
        gate = linear(inner, f"{block}.ffn_gate")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(inner, f"{block}.ffn_up"), f"{block}.ffn_down")
    head = "output" if "output.weight" in gguf.tensors else "token_embd"
    return linear(normed(x, "output_norm"), head)
