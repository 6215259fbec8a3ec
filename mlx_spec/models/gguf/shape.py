"""What the model in a GGUF file must hold: its numbers, and the name and shape of each of its tensors."""

from dataclasses import dataclass
from typing import Final

from mlx_spec.errors import CorruptModelError, UnsupportedModelError
from mlx_spec.models.gguf.architectures import ARCHITECTURES, Architecture, Size
from mlx_spec.models.gguf.header import GGUFHeader

# The factors of rotation, which go into the configuration and not among the weights.
ROPE_TENSORS: Final = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")

# What else is kept in GGUF files, by `general.type` or, in older ones, by the architecture.
_OTHER_KINDS: Final = {
    "adapter": "a LoRA adapter, which changes a model and is none: merge it into its model, and import that",
    "mmproj": "the part of a model that reads pictures (mmproj): import the model's own file, which reads text",
    "clip": "the part of a model that reads pictures (mmproj): import the model's own file, which reads text",
    "imatrix": "an importance matrix for quantising, and no model",
    "controlvector": "a control vector, which changes a model and is none",
}


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The numbers that the shapes of all tensors follow from. `rotated` counts the rotated columns of each head."""

    architecture: Architecture
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rotated: int
    rows: int

    def size(self, name: Size) -> int:
        """The length of an axis."""
        query, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        sizes: dict[Size, int] = {"hidden": self.hidden, "inner": self.inner, "gate_up": 2 * self.inner, "query": query}
        return (sizes | {"kv": kv, "qkv": query + 2 * kv, "head": self.head_dim})[name]

    def __str__(self) -> str:
        heads = f"{self.heads} heads of {self.head_dim} columns, {self.kv_heads} of keys and values"
        return f"{self.layers} layers, {self.hidden} columns, {heads}"


def read_shape(header: GGUFHeader) -> ModelShape:
    """Read the shape, and check every tensor against it.

    Raises UnsupportedModelError for what is no model, another architecture, or heads or tensors that mlx-lm's lacks,
    CorruptModelError for numbers that contradict each other or the tensors.
    """
    name = header.text("general.architecture")
    other = _OTHER_KINDS.get(header.text("general.type", "model"), _OTHER_KINDS.get(name))
    if other is not None:
        raise UnsupportedModelError(f"{header.path} is {other}.")
    if not header.tensors:
        raise UnsupportedModelError(f"{header.path} holds a vocabulary and no weights, so it cannot answer.")
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnsupportedModelError(f"{header.path} is a '{name}' model, and GGUF import knows only {known}.")
    hidden, heads = header.integer(f"{name}.embedding_length"), header.integer(f"{name}.attention.head_count")
    head_dim = header.integer(f"{name}.attention.key_length", hidden // max(heads, 1))
    shape = ModelShape(
        architecture=ARCHITECTURES[name],
        hidden=hidden,
        inner=header.integer(f"{name}.feed_forward_length"),
        layers=header.integer(f"{name}.block_count"),
        heads=heads,
        kv_heads=header.integer(f"{name}.attention.head_count_kv", heads),
        head_dim=head_dim,
        rotated=header.integer(f"{name}.rope.dimension_count", head_dim),
        rows=len(header.texts("tokenizer.ggml.tokens")),
    )
    if min(heads, shape.kv_heads, head_dim, hidden) < 1 or heads % shape.kv_heads or shape.layers > len(header.tensors):
        raise CorruptModelError(f"{header.path} contradicts itself: {shape}, in {len(header.tensors)} tensors.")
    if header.integer(f"{name}.attention.value_length", head_dim) != head_dim or (
        not shape.architecture.own_head_dim and head_dim * heads != hidden
    ):
        raise UnsupportedModelError(f"{header.path} has attention heads of {head_dim} columns, which are not known.")
    if shape.rotated % 2 or not 0 < shape.rotated <= head_dim or (name != "phi3" and shape.rotated != head_dim):
        raise UnsupportedModelError(f"{header.path} rotates only a part of each attention head, which is not known.")
    _check_tensors(header, shape)
    return shape


def tensor_places(shape: ModelShape) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return, for every tensor's name in GGUF, its name in mlx-lm and its shape (rows first)."""
    hidden = shape.hidden
    places: dict[str, tuple[str, tuple[int, ...]]] = {
        "token_embd.weight": ("model.embed_tokens.weight", (shape.rows, hidden)),
        "output_norm.weight": ("model.norm.weight", (hidden,)),
    }
    if shape.architecture.own_output:
        places["output.weight"] = ("lm_head.weight", (shape.rows, hidden))
    for index in range(shape.layers):
        for name, (target, sizes) in shape.architecture.layer.items():
            axes = tuple(shape.size(size) for size in sizes)
            places[f"blk.{index}.{name}"] = (f"model.layers.{index}.{target}", axes)
    return places


def _check_tensors(header: GGUFHeader, shape: ModelShape) -> None:
    places = tensor_places(shape)
    factors = dict.fromkeys(ROPE_TENSORS, ("", (shape.rotated // 2,)))
    for name, info in header.tensors.items():
        if name not in places and name not in factors:
            raise UnsupportedModelError(f"{header.path} has the tensor {name}, which the import does not know.")
        expected = (places | factors)[name][1]
        if info.shape != expected:
            raise CorruptModelError(
                f"{header.path} contradicts itself: {name} has the shape {info.shape} instead of {expected}."
            )
    missing = places.keys() - header.tensors.keys() - {"output.weight"}  # Without it, the embedding serves twice.
    if missing:
        raise CorruptModelError(f"{header.path} lacks the tensor {min(missing)}.")
