"""A folder as mlx-lm wants it: what must be in it, checked before anything is loaded."""

import json
import struct
from pathlib import Path
from typing import Final

from mlx_spec.errors import CorruptModelError, ModelError, ModelNotFoundError
from mlx_spec.models.rope import with_rope
from mlx_spec.models.shards import INDEX, missing_shards
from mlx_spec.models.staging import human_bytes

_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json")
_READ: Final = frozenset({".json", ".jinja", ".model", ".safetensors", ".tiktoken", ".txt"})
_MAX_HEADER_BYTES: Final = 200_000_000


def check_model_folder(folder: Path, *, wants_tokenizer: bool = True) -> dict[str, object]:
    """Check that `folder` holds configuration, whole weights and a tokenizer, and return `config.json`.

    A head has no tokenizer of its own: without `wants_tokenizer` none is missed.

    Raises ModelNotFoundError when there is no folder, ModelError naming a missing file, CorruptModelError for a
    configuration that is not JSON, for truncated weights, or for a link to a file that is gone.
    """
    if not folder.is_dir():
        raise ModelNotFoundError(f"There is no model folder {folder}.")
    config = read_config(folder)
    _check_links(folder)
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise ModelError(f"The model folder {folder} has no weights: model.safetensors is missing.")
    _check_shards(folder, [file.name for file in weights])
    for file in weights:
        _check_safetensors(file)
    if wants_tokenizer and not has_tokenizer(folder):
        raise ModelError(f"The model folder {folder} has no tokenizer: tokenizer.json is missing.")
    return config


def has_tokenizer(folder: Path) -> bool:
    """Whether one of the files that make a tokenizer is in `folder`."""
    return any((folder / name).is_file() for name in _TOKENIZER_FILES)


def read_config(folder: Path) -> dict[str, object]:
    """Return `config.json` of a model folder, with the end tokens of `generation_config.json` where it has them.

    How it turns positions stands in the fields that mlx-lm reads, however it was written.

    Raises ModelError when it is missing, CorruptModelError when it is damaged.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"The model folder {folder} has no configuration: config.json is missing.") from None
    except (OSError, ValueError) as error:
        raise CorruptModelError(f"{folder / 'config.json'} cannot be read ({error}).") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise CorruptModelError(f"{folder / 'config.json'} does not say which model_type it is.")
    generation = folder / "generation_config.json"
    if generation.is_file():
        try:
            ends = json.loads(generation.read_text(encoding="utf-8")).get("eos_token_id")
        except (OSError, ValueError, AttributeError) as error:
            raise CorruptModelError(f"{generation} cannot be read ({error}).") from error
        config["eos_token_id"] = ends if ends is not None else config.get("eos_token_id")
    return with_rope(config)


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in a safetensors file, without reading them. Raises CorruptModelError."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            tensors = json.loads(stream.read(min(length, _MAX_HEADER_BYTES)))
        return {name: tuple(entry["shape"]) for name, entry in tensors.items() if name != "__metadata__"}
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptModelError(f"{file} is not a safetensors file ({error}), so fetch it again.") from error


def _check_links(folder: Path) -> None:
    """Raise CorruptModelError for a link that leads nowhere, as one of a cache does whose file was deleted."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _READ and path.is_symlink() and not path.exists():
            raise CorruptModelError(f"{path} is a link to a file that is gone, so fetch the model again.")


def _check_shards(folder: Path, names: list[str]) -> None:
    index = folder / INDEX
    try:
        missing = missing_shards(names, index.read_text(encoding="utf-8") if index.is_file() else None)
    except (OSError, ValueError) as error:
        raise CorruptModelError(f"{index} cannot be read ({error}), so fetch it again.") from error
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(f"The model folder {folder} lacks {missing[0]}{others} of its weights: fetch what is missing.")


def _check_safetensors(file: Path) -> None:
    """Raise CorruptModelError unless the tensors of `file` fill it exactly: MLX reads later, and fails worse."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size, _MAX_HEADER_BYTES):
                raise ValueError("its head is longer than the file")
            tensors = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptModelError(f"{file} is not a safetensors file ({error}), so fetch it again.") from error
    if expected != size:
        raise CorruptModelError(
            f"{file} is truncated or damaged ({human_bytes(size)} instead of {human_bytes(expected)}),"
            " so fetch it again."
        )


def weights_size(folder: Path) -> int:
    """Bytes of the files that hold a folder's weights."""
    return sum(file.stat().st_size for file in folder.glob("model*.safetensors"))
