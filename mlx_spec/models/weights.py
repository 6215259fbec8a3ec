"""The weights of a folder, as a model of mlx-lm's. All MLX work is done in the calling thread."""

import copy
import re
from collections.abc import Callable, Sequence

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model, load_model

from mlx_spec.errors import CorruptModelError, ModelError, UnsupportedModelError
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.narrow_head import narrowed
from mlx_spec.models.positions import check_rope
from mlx_spec.models.progress import Progress
from mlx_spec.models.reasons import lacks_package, reason


def load_weights(folder: ModelFolder, told: Callable[[int], None] = lambda read: None) -> nn.Module:
    """Load the model in a folder; `told` hears how many bytes were read since it last did.

    Raises UnsupportedModelError, CorruptModelError, and ModelError where it has no config.json.
    """
    path = folder.path
    try:
        config = copy.deepcopy(dict(folder.config))
        model, _ = load_model(path, lazy=True, model_config=config)
        check_rope(model, config, f"The model in {path}")
        for _, weight in tree_flatten(model.parameters()):
            mx.eval(weight)
            told(weight.nbytes)
    except ModelError:
        raise
    except SystemExit as error:  # a family of mlx-lm ends the process where a package of its own is missing
        raise lacks_package(path, folder.config) from error
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, OSError) as error:
        unknown = isinstance(error, ValueError) and re.search("not supported|custom module", str(error))
        kind = UnsupportedModelError if unknown else CorruptModelError
        raise kind(f"The model in {path} cannot be loaded ({reason(error)}).", details=repr(error)) from error
    return model


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
