"""The weights of a folder, as a model of mlx-lm's. All MLX work is done in the calling thread."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model, load_model

from mlx_spec.errors import CorruptModelError, ModelError, UnsupportedModelError
from mlx_spec.models.files.reasons import lacks_package, reason
from mlx_spec.models.files.rope import UNSCALED, scaling_kind
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.narrow_head import narrowed
from mlx_spec.models.progress import Progress


def load_weights(folder: ModelFolder, told: Callable[[int], None] = lambda read: None) -> nn.Module:
    """Load the model in a folder; `told` hears how many bytes were read since it last did.

    Raises UnsupportedModelError, CorruptModelError, and ModelError where it has no config.json.
    """
    with telling_what_fails(folder):
        model = lazy_model(folder)
        read_weights([weight for _, weight in tree_flatten(model.parameters())], told)
    return model


def lazy_model(folder: ModelFolder) -> nn.Module:
    """The model in a folder, of whose weights none are read yet. Inside of `telling_what_fails`."""
    config = copy.deepcopy(dict(folder.config))
    model, _ = load_model(folder.path, lazy=True, model_config=config)
    check_rope(model, config, f"The model in {folder.path}")
    return model


def read_weights(weights: Sequence[mx.array], told: Callable[[int], None]) -> None:
    """Read a model's, one after the other, so that what only a part is needed of is let go before the next."""
    for weight in weights:
        mx.eval(weight)
        told(weight.nbytes)


@contextmanager
def telling_what_fails(folder: ModelFolder) -> Iterator[None]:
    """Whatever MLX and mlx-lm raise of a folder inside, as `load_weights` raises it."""
    path = folder.path
    try:
        yield
    except ModelError:
        raise
    except SystemExit as error:  # a family of mlx-lm ends the process where a package of its own is missing
        raise lacks_package(path, folder.config) from error
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, OSError) as error:
        unknown = isinstance(error, ValueError) and re.search("not supported|custom module", str(error))
        kind = UnsupportedModelError if unknown else CorruptModelError
        raise kind(f"The model in {path} cannot be loaded ({reason(error)}).", details=repr(error)) from error


def load_draft(folder: ModelFolder, told: Callable[[int], None]) -> nn.Module:
    """Load a draft, narrowed where its folder says so; on a CPU in float32 throughout, because quantised products are
    slow there. Raises as `load_weights`."""
    model = load_weights(folder, told)
    if mx.default_device().type == mx.DeviceType.cpu:
        # First the scales, then the weights, so that nothing is rounded to the file's precision.
        model.set_dtype(mx.float32)
        model = dequantize_model(model)
        mx.eval(model.parameters())
    return narrowed(model, folder.path)


def by_bytes(folders: Sequence[ModelFolder], tell: Progress) -> Callable[[int], None]:
    """Count the bytes of some folders' weights as they are read, and tell each percent."""
    total, read, percent = sum(folder.weights_bytes for folder in folders), 0, 0
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


def check_rope(model: nn.Module, config: Mapping[str, Any], where: str) -> None:
    """Raise UnsupportedModelError where a built model turns positions in another way than its configuration says.

    Then its words would be wrong without a sign: a family of mlx-lm that knows no scaling drops it in silence.
    """
    inner = config.get("text_config")
    said = dict(inner) if isinstance(inner, dict) else dict(config)
    plain = [module for module in model.modules() if isinstance(module, nn.RoPE)]
    if not plain or any(hasattr(module, "_freqs") or _is_rotary(module) for module in model.modules()):
        return
    scaling, bases = said.get("rope_scaling"), _table_bases(said.get("rope_parameters"))
    lost = ""
    if isinstance(scaling, dict) and _changes(scaling) and all(module.scale == 1.0 for module in plain):
        lost = f"scales its positions by {scaling_kind(scaling)!r}"
    elif bases and not bases & {float(module.base) for module in plain}:
        lost = f"turns positions by base {min(bases):,.0f}"
    if lost:
        family = said.get("model_type", config.get("model_type"))
        raise UnsupportedModelError(
            f"{where} {lost}, which this version of mlx-lm does not do for {family!r}: its answers would be wrong."
        )


def _changes(scaling: Mapping[str, Any]) -> bool:
    return scaling_kind(scaling) not in UNSCALED and scaling.get("factor", 0.0) != 1.0


def _is_rotary(module: nn.Module) -> bool:
    """Whether a family has a class of its own for it, as some have."""
    name = type(module).__name__.lower()
    return not isinstance(module, nn.RoPE) and ("rope" in name or "rotary" in name) and "attention" not in name


def _table_bases(table: Any) -> set[float]:
    if not isinstance(table, dict):
        return set()
    parts = [part for part in table.values() if isinstance(part, dict)] or [table]
    return {float(part["rope_theta"]) for part in parts if part.get("rope_theta") is not None}
