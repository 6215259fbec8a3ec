"""A model with fewer bits a weight, by mlx-lm's own quantisation, and what that does to what it says: measured."""

import contextlib
import copy
import io
import json
import math
import shutil
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model, quantize_model, save_config, save_model

from mlx_spec.errors import ConfigError, ModelError, UnsupportedModelError
from mlx_spec.machine.resources import data_folder, resources_folder
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.memory import weights_bytes
from mlx_spec.models.named import folder_of
from mlx_spec.models.progress import Progress, silent
from mlx_spec.models.staging import full_disk_as_os_error, staged_folder
from mlx_spec.models.weights import load_weights

DEFAULT_GROUP: Final = 64
RECORD_FILE: Final = "quantised.json"
_GROUPS: Final = (32, 64, 128)
_SPARE_BYTES: Final = 30_000_000  # tokenizer, configuration and the file system's own
_CARRIED: Final = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
                   "chat_template*", "generation_config.json", "tiktoken.model")  # fmt: skip
# Prose and code, so many passages of so many tokens: the logits of two models wait in memory at once.
_PASSAGE_TOKENS, _PASSAGES = 64, 4
_TEXT_CHARACTERS: Final = 600
_TEXTS: Final = ("long", "code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How a quantised model's next-token distributions differ from the original's over `tokens` tokens of text.

    `mean_kl` is the mean of KL(original || quantised) in nats a token, `perplexity_ratio` the quantised model's
    perplexity of the text over the original's: 1 is no loss.
    """

    mean_kl: float
    perplexity_ratio: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """A finished quantisation. Sizes in bytes, of the weights in memory."""

    folder: str
    name: str
    bits: int
    group_size: int
    original_bytes: int
    weights_bytes: int
    loss: Loss

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def quantize(
    model: str,
    bits: int,
    *,
    group_size: int = DEFAULT_GROUP,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Quantised:
    """Write `model` (a pair's target, a folder, a .gguf file or a Hub id) with `bits` bits a weight into `out`.

    Left out, `out` is a folder of the data folder named for model and bits. A model that is quantised already is
    unpacked first. The folder appears whole or not at all.

    Raises ConfigError for `bits` or `group_size`, UnsupportedModelError where that gains nothing or no matrix has room
    for whole groups, ModelError where `out` is taken, StorageError, and as `load_pair` does for the model.
    """
    _check(bits, group_size)
    tell = progress or silent
    source = folder_of(model, progress)
    source.check()
    _check_gain(source, bits)
    final = out or _own_folder(source.name, bits, group_size)
    if final.exists():
        raise ModelError(f"There is a folder {final} already: use it, remove it, or name another one with --out.")
    tell("loading", 0.0)
    original = load_weights(source)
    original_bytes = weights_bytes(original)
    if "quantization" in source.config:
        original = dequantize_model(original)
        mx.eval(original.parameters())
    with staged_folder(final, _is_complete, _needed(original, bits, group_size), "Quantising") as part:
        found = _quantise(original, source, part, bits, group_size, tell)
        done = Quantised(
            folder=str(final), name=final.name, bits=bits, group_size=group_size, original_bytes=original_bytes,
            weights_bytes=found[0], loss=found[1],
        )  # fmt: skip
        record = done.to_dict() | {"source": model}
        (part / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    tell("saving", 1.0)
    return done


def _quantise(
    model: nn.Module, source: ModelFolder, part: Path, bits: int, group: int, tell: Progress
) -> tuple[int, Loss]:
    """Quantise `model` in place and save it; its bytes then, and the loss."""
    passages = _passages(source)
    tell("measuring", 0.0)
    before = [_log_probabilities(model, passage) for passage in passages]
    tell("quantising", 0.0)
    config = copy.deepcopy(dict(source.config)) | {"eos_token_id": source.end_token_ids}
    plain = {key: value for key, value in config.items() if key not in ("quantization", "quantization_config")}
    size = weights_bytes(model)
    with contextlib.redirect_stdout(io.StringIO()):  # mlx-lm prints there, where JSON may go
        model, quantised_config = quantize_model(model, plain, group, bits)
    mx.eval(model.parameters())
    if weights_bytes(model) >= size:
        raise UnsupportedModelError(
            f"No matrix of the model in {source.path} has rows of whole groups of {group} weights."
        )
    tell("measuring", 0.5)
    loss = _loss(before, [_log_probabilities(model, passage) for passage in passages], passages)
    tell("saving", 0.0)
    taken = weights_bytes(model)
    with full_disk_as_os_error():
        save_model(part, model, donate_model=True)
    save_config(quantised_config, part / "config.json")
    for pattern in _CARRIED:
        for file in source.path.glob(pattern):
            shutil.copyfile(file, part / file.name)
    return taken, loss


def _check(bits: int, group_size: int) -> None:
    if bits not in (4, 8):
        raise ConfigError("bits", bits, "4 or 8")
    if group_size not in _GROUPS:
        raise ConfigError("group_size", group_size, "32, 64 or 128")


def _check_gain(source: ModelFolder, bits: int) -> None:
    present = source.config.get("quantization")
    if isinstance(present, dict) and int(present.get("bits", 16)) <= bits:
        raise UnsupportedModelError(
            f"{source.name} has {present['bits']} bits a weight already: {bits} would gain nothing."
        )


def _own_folder(name: str, bits: int, group_size: int) -> Path:
    group = "" if group_size == DEFAULT_GROUP else f"-g{group_size}"
    return data_folder() / "models" / f"{name}-{bits}bit{group}"


def _is_complete(folder: Path) -> bool:
    return (folder / RECORD_FILE).is_file()


def _needed(model: nn.Module, bits: int, group_size: int) -> int:
    """Disk space for the weights: every value in `bits`, and a scale and a bias for each group."""
    values = sum(value.size for _, value in tree_flatten(model.parameters()))
    return int(values * (bits / 8 + 8 / group_size)) + _SPARE_BYTES


def _passages(folder: ModelFolder) -> list[mx.array]:
    """Token ids `[_PASSAGE_TOKENS]` of each passage, half of them prose and half code."""
    found = []
    for kind in _TEXTS:
        prompts = tomllib.loads((resources_folder() / "bench" / f"{kind}.toml").read_text(encoding="utf-8"))["prompts"]
        ids = [index for text in prompts[:6] for index in folder.tokenizer.encode(str(text)[:_TEXT_CHARACTERS])]
        found += [mx.array(ids[at * _PASSAGE_TOKENS : (at + 1) * _PASSAGE_TOKENS]) for at in range(_PASSAGES // 2)]
    return [passage for passage in found if passage.size > 1]


def _log_probabilities(model: nn.Module, passage: mx.array) -> mx.array:
    """The logarithms of the distributions after each token, `[tokens, vocab]` in float32."""
    logits = model(passage[None])[0].astype(mx.float32)
    found: mx.array = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    mx.eval(found)
    return found


def _loss(before: list[mx.array], after: list[mx.array], passages: list[mx.array]) -> Loss:
    divergence = surprise = 0.0
    tokens = said = 0
    for original, quantised, ids in zip(before, after, passages, strict=True):
        divergence += float((mx.exp(original) * (original - quantised)).sum())
        tokens += int(ids.size)
        apart = mx.take_along_axis(original[:-1] - quantised[:-1], ids[1:, None], axis=-1)
        surprise += float(apart.sum())
        said += int(ids.size) - 1
    return Loss(mean_kl=divergence / tokens, perplexity_ratio=math.exp(surprise / said), tokens=tokens)
