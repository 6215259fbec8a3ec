"""A folder with a published head: which kind it is, its configuration, and its weights under one set of names."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import mlx.core as mx

from mlx_spec.errors import CorruptModelError
from mlx_spec.models.heads.torch_file import load_torch_file

HeadKind = Literal["eagle3", "eagle", "medusa", "dflash"]

_TORCH_FILES: Final = ("pytorch_model.bin", "medusa_lm_head.pt")
_MEDUSA: Final = re.compile(r"(?:medusa_heads?\.|heads\.)?(\d+)\.(\d+)\.(?:linear\.)?(?:weight|bias)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head as it was published; `weights` have lost the prefixes that the various trainers put in front."""

    folder: Path
    kind: HeadKind
    config: dict[str, Any]
    weights: dict[str, mx.array]


def head_kind(folder: Path) -> HeadKind | None:
    """Which kind of head a folder holds by its configuration, without reading weights; None for anything else."""
    config = _config(folder)
    if config is None:
        return None
    names = " ".join(str(name) for name in config.get("architectures") or []).lower()
    if "dflash" in names or "dflash_config" in config:
        return "dflash"
    if "medusa_num_heads" in config or "medusa" in names:
        return "medusa"
    if "eagle3" in names or config.get("speculators_model_type") == "eagle3" or "draft_vocab_size" in config:
        return "eagle3"
    if "eagle" in names or config.get("speculators_model_type") == "eagle" or config.get("model_type") == "eagle":
        return "eagle"
    if _looks_like_eagle(folder, config):
        return "eagle"
    return None


def read_checkpoint(folder: Path, kind: HeadKind) -> Checkpoint:
    """Read a head's folder. Raises CorruptModelError where it is damaged or holds no weights."""
    config = _config(folder)
    if config is None:
        raise CorruptModelError(f"The head in {folder} has no config.json: fetch it again.")
    # The `speculators` format keeps the layer's sizes apart.
    config = {**(config.get("transformer_layer_config") or {}), **config}
    renamed = {_plain(name, kind): value for name, value in _weights(folder).items()}
    return Checkpoint(folder, kind, config, {name: value for name, value in renamed.items() if name})


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CorruptModelError(f"{folder / 'config.json'} cannot be read ({error}).") from error
    return config if isinstance(config, dict) else None


def _looks_like_eagle(folder: Path, config: dict[str, Any]) -> bool:
    """EAGLE-1 was published as a one-layer llama without a word about itself: its `fc` tells."""
    if config.get("num_hidden_layers") != 1:
        return False
    files = [*sorted(folder.glob("*.safetensors")), folder / _TORCH_FILES[0]]
    return any(b"fc.weight" in _head_of(path) for path in files if path.is_file())


def _head_of(path: Path) -> bytes:
    """The part of a file that names its tensors: the beginning, or for a ZIP archive its first member."""
    with path.open("rb") as file:
        return file.read(1 << 16)


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
