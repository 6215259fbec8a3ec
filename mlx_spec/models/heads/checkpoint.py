"""A published head: its configuration, and its weights under one set of names."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mlx.core as mx

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.files.head_kind import HeadKind
from mlx_spec.models.folder import TORCH_FILE, ModelFolder
from mlx_spec.models.heads.torch_file import load_torch_file

_TORCH_FILES: Final = (TORCH_FILE, "medusa_lm_head.pt")
_MEDUSA: Final = re.compile(r"(?:medusa_heads?\.|heads\.)?(\d+)\.(\d+)\.(?:linear\.)?(?:weight|bias)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head as it was published; `weights` have lost the prefixes that the various trainers put in front."""

    folder: Path
    kind: HeadKind
    config: dict[str, Any]
    weights: dict[str, mx.array]


def read_checkpoint(folder: ModelFolder, kind: HeadKind) -> Checkpoint:
    """Read a head of this `kind`. Raises CorruptModelError where it is damaged or holds no weights."""
    written = folder.written
    if written is None:
        raise CorruptModelError(f"The head in {folder.path} has no config.json: fetch it again.")
    # The `speculators` format keeps the layer's sizes apart.
    config = {**(written.get("transformer_layer_config") or {}), **written}
    renamed = {_plain(name, kind): value for name, value in _weights(folder.path).items()}
    return Checkpoint(folder.path, kind, config, {name: value for name, value in renamed.items() if name})


def _weights(folder: Path) -> dict[str, mx.array]:
    files = sorted(folder.glob("*.safetensors"))
    try:
        weights: dict[str, mx.array] = {}
        for path in files:
            weights.update(mx.load(str(path)))  # type: ignore[arg-type]
    except (OSError, RuntimeError, ValueError) as error:
        raise CorruptModelError(f"{path} cannot be read: fetch it again.", details=repr(error)) from error
    if not files:
        for name in _TORCH_FILES:
            if (folder / name).is_file():
                weights.update(load_torch_file(folder / name))
    if not weights:
        raise CorruptModelError(f"The head in {folder} has no weights: fetch it again.")
    return weights


def _plain(name: str, kind: HeadKind) -> str:
    """A parameter's name in our modules; empty for what is no parameter of the head."""
    if kind == "medusa":
        match = _MEDUSA.fullmatch(name)
        return f"heads.{name[match.start(1) :]}" if match else ""
    name = name.removeprefix("model.")
    if kind == "eagle3":
        name = re.sub(r"^layers\.0\.", "midlayer.", name)
    if name.endswith("rotary_emb.inv_freq") or name.startswith(("verifier_", "target_model.")):
        return ""
    return name
