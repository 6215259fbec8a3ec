"""Whether models that are here have room in this machine's memory, told before their weights are read."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import mlx.core as mx

from mlx_spec.errors import DoesNotFitError, UnsupportedModelError
from mlx_spec.models.estimate import estimate
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.memory import memory_info
from mlx_spec.models.staging import human_bytes

Room = Literal["fits", "tight", "no", "unknown"]
USUAL_CONTEXT: Final = 8192
# Beyond this part of the memory there is, other programs begin to suffer.
COMFORTABLE: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRoom:
    """What target and draft together are expected to take, in bytes, at a context of `context_tokens`."""

    weights_bytes: int
    cache_bytes: int
    working_bytes: int
    context_tokens: int
    available_bytes: int

    @property
    def needed_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.cache_bytes + self.working_bytes

    def check(self, name: str) -> None:
        """Raise DoesNotFitError, which calls the models `name`, where that is more than there is."""
        verdict, sentence = weigh(name, self.needed_bytes, self.available_bytes)
        if verdict == "no":
            message = f"{sentence.rstrip('.')}; a smaller one or fewer bits would do, --anyway loads it all the same."
            raise DoesNotFitError(message, needed_bytes=self.needed_bytes, available_bytes=self.available_bytes)


def available_bytes() -> int:
    """What models may take here: what Metal recommends to stay below, elsewhere the memory that is free."""
    memory = memory_info()
    if memory.working_set_bytes is not None:
        return memory.working_set_bytes
    return memory.available_bytes


def weigh(name: str, needed: int, available: int, *, sure: bool = True) -> tuple[Room, str]:
    """Whether `needed` bytes fit into `available` ones, and that as a sentence; `sure` is False for weights alone."""
    numbers = f"it needs {human_bytes(needed)} of memory, and {human_bytes(available)} are there"
    if needed > available:
        return "no", f"{name} does not fit on this machine: {numbers}."
    if not sure:
        return "unknown", f"Whether {name} fits cannot be told: its weights need {human_bytes(needed)}."
    if needed > COMFORTABLE * available:
        return "tight", f"{name} fits tightly: {numbers}, so close other programs first."
    return "fits", f"{name} fits: {numbers}."


def room_of(
    target: ModelFolder,
    draft: ModelFolder | None = None,
    heads: Collection[ModelFolder] = (),
    *,
    kv_bits: int | None = None,
) -> PairRoom | None:
    """What a target, its draft and its heads take together; the target with keys and values of `kv_bits` each.

    None where mlx-lm cannot tell of one from its configuration. Raises ModelError, CorruptModelError for a folder
    without a sound config.json.
    """
    on_cpu = mx.default_device().type == mx.DeviceType.cpu
    models = (target, draft) if draft is not None else (target,)
    context = min(USUAL_CONTEXT, *(model.longest_context or USUAL_CONTEXT for model in models))
    try:
        # A draft is unpacked on a CPU, see `load_draft`.
        parts = [
            estimate(
                model.config,
                model.weights_bytes,
                context,
                in_float32=model is draft and on_cpu,
                kv_bits=None if model is draft else kv_bits,
            )
            for model in models
        ]
    except UnsupportedModelError:
        return None
    return PairRoom(
        weights_bytes=sum(part.weights_bytes for part in parts) + sum(_head_bytes(head, on_cpu) for head in heads),
        cache_bytes=sum(part.cache_bytes for part in parts),
        working_bytes=max(part.working_bytes for part in parts),  # they never compute at the same time
        context_tokens=context,
        available_bytes=available_bytes(),
    )


def _head_bytes(head: ModelFolder, on_cpu: bool) -> int:
    """A head's weights; on a CPU they are unpacked to float32, see `heads.loading`."""
    files = [path for path in head.path.iterdir() if path.suffix in (".safetensors", ".bin", ".pt")]
    if not on_cpu or any(path.suffix != ".safetensors" for path in files):
        return sum(path.stat().st_size for path in files)
    quantisation = (head.written or {}).get("quantization")
    group = int(quantisation.get("group_size", 64)) if isinstance(quantisation, dict) else 64
    return 4 * sum(_unpacked_values(head.tensors(path).shapes, group) for path in files)


def _unpacked_values(shapes: Mapping[str, tuple[int, ...]], group: int) -> int:
    """How many numbers some tensors hold, where a quantised matrix has a scale for each `group` of them."""
    count = 0
    for name, shape in shapes.items():
        scales = shapes.get(f"{name.removesuffix('.weight')}.scales")
        if not name.endswith((".scales", ".biases")):
            count += math.prod(scales) * group if scales else math.prod(shape)
    return count
