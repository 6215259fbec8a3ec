"""The weights of a folder, as a model of mlx-lm's. All MLX work is done in the calling thread."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model, load_model

from mlx_spec.errors import CorruptModelError, ModelError, UnsupportedModelError
from mlx_spec.models.folder import read_config, weights_size
from mlx_spec.models.gguf.importing import Progress
from mlx_spec.models.narrow_head import narrowed
from mlx_spec.models.rope import check_rope


def load_weights(folder: Path, told: Callable[[int], None] = lambda read: None) -> nn.Module:
    """Load the model in a folder; `told` hears how many bytes were read since it last did. Raises
    UnsupportedModelError or CorruptModelError."""
    try:
        config: dict[str, Any] = read_config(folder)
        model, _ = load_model(folder, lazy=True, model_config=config)
        check_rope(model, config, f"The model in {folder}")
        for _, weight in tree_flatten(model.parameters()):
            mx.eval(weight)
            told(weight.nbytes)
    except ModelError:
        raise
    except SystemExit as error:  # a family of mlx-lm ends the process where a package of its own is missing
        raise lacks_package(folder, config) from error
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, OSError) as error:
        unknown = isinstance(error, ValueError) and re.search("not supported|custom module", str(error))
        kind = UnsupportedModelError if unknown else CorruptModelError
        raise kind(f"The model in {folder} cannot be loaded ({reason(error)}).", details=repr(error)) from error
    return model


def load_draft(folder: Path, told: Callable[[int], None]) -> nn.Module:
    """Load a draft; on a CPU in float32 throughout, because quantised products are slow there."""
    model = load_weights(folder, told)
    if mx.default_device().type == mx.DeviceType.cpu:
        # First the scales, then the weights, so that nothing is rounded to the file's precision.
        model.set_dtype(mx.float32)
        model = dequantize_model(model)
        mx.eval(model.parameters())
    return narrowed(model, folder)


def by_bytes(folders: Sequence[Path], tell: Progress) -> Callable[[int], None]:
    """Count the bytes of some folders' weights as they are read, and tell each percent."""
    total, read, percent = sum(map(weights_size, folders)), 0, 0
    tell("loading", 0.0)

    def told(more: int) -> None:
        nonlocal read, percent
        read += more
        if (now := min(99, 100 * read // max(1, total))) > percent:
            percent = now
            tell("loading", percent / 100)

    return told


def logits_width(model: nn.Module) -> int:
    """The width of a model's logits, from its graph, which is never computed: config.json may leave it to a default."""
    return int(model(mx.zeros((1, 1), dtype=mx.int32)).shape[-1])


def lacks_package(folder: Path, config: Mapping[str, object]) -> UnsupportedModelError:
    """What to raise where mlx-lm would end the process."""
    return UnsupportedModelError(
        f"The model in {folder} cannot be loaded: mlx-lm needs another package for {config.get('model_type')!r}."
    )


def reason(error: Exception) -> str:
    """The first sentence of another library's error; the rest belongs in the details."""
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(".: ") or type(error).__name__
