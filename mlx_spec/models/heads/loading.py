"""A published head as a module for one target, or the reason why it does not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model

from mlx_spec.errors import CorruptModelError, IncompatiblePairError, UnsupportedModelError
from mlx_spec.models.files.head_kind import HeadKind
from mlx_spec.models.folder import ModelFolder
from mlx_spec.models.heads.checkpoint import Checkpoint, read_checkpoint
from mlx_spec.models.heads.dflash import BlockShape, DFlashHead
from mlx_spec.models.heads.eagle import Eagle1Head, Eagle3Head, eagle3_taps
from mlx_spec.models.heads.ends import TargetEnds, target_ends
from mlx_spec.models.heads.layer import LayerShape
from mlx_spec.models.heads.medusa import MedusaHeads

Head = Eagle1Head | Eagle3Head | MedusaHeads | DFlashHead

DRAFTER_OF: Final[dict[HeadKind, str]] = {"eagle3": "eagle", "eagle": "eagle", "medusa": "medusa", "dflash": "dflash"}
"""What drafts with a head of each kind."""


def load_head(folder: Path, kind: HeadKind, target: Any, target_name: str) -> Head:
    """Read the head in `folder` and make it ready to draft for a loaded target, as `head_for` does."""
    return head_for(target, target_name, read_checkpoint(ModelFolder.at(folder), kind))


def head_for(target: Any, target_name: str, checkpoint: Checkpoint) -> Head:
    """The head of a checkpoint as a module that drafts for a loaded target.

    Raises IncompatiblePairError where it was made for another target, CorruptModelError where it is damaged,
    UnsupportedModelError for a variant that is not known.
    """
    ends = target_ends(target)
    refused = f"The {checkpoint.kind} head in {checkpoint.folder} cannot draft for {target_name}"
    head = _BUILDERS[checkpoint.kind](checkpoint, ends, refused)
    _load(head, checkpoint)
    if mx.default_device().type == mx.DeviceType.cpu:
        # As drafts are: quantised products are slow on a CPU.
        head.set_dtype(ends.dtype)
        head = dequantize_model(head)
    head.set_dtype(ends.dtype)
    mx.eval(head.parameters())
    return head


def _eagle3(checkpoint: Checkpoint, ends: TargetEnds, refused: str) -> Head:
    config, weights = checkpoint.config, checkpoint.weights
    shape, taps = LayerShape.of(config), eagle3_taps(config, ends.layers)
    if int(config.get("num_hidden_layers", 1)) != 1:
        raise UnsupportedModelError(f"{refused}: it has {config['num_hidden_layers']} layers, and 1 is known.")
    _check_hidden(shape.hidden, ends, refused)
    _check_taps(taps, ends, refused)
    known, draft_vocab = weights.pop("t2d", None), _rows(weights, "lm_head.weight")
    offsets = weights.pop("d2t", None)
    vocab = known.shape[0] if known is not None else int(config.get("vocab_size", ends.vocab_size))
    _check_vocab(vocab, ends, refused)
    token_ids = None if offsets is None else mx.arange(offsets.shape[0]) + offsets.astype(mx.int32)
    if token_ids is None and draft_vocab != ends.vocab_size:
        raise CorruptModelError(f"{refused}: it scores {draft_vocab:,} tokens and does not say which (d2t is missing).")
    if token_ids is not None and bool(mx.any((token_ids < 0) | (token_ids >= ends.vocab_size)).item()):
        raise IncompatiblePairError(f"{refused}: it drafts tokens that the target's vocabulary does not have.")
    return Eagle3Head(
        shape,
        ends,
        taps,
        token_ids,
        draft_vocab=draft_vocab,
        norm_before_residual=bool(config.get("norm_before_residual")),
        own_embedding=_own_embedding(weights, ends, shape.hidden),
    )


def _eagle(checkpoint: Checkpoint, ends: TargetEnds, refused: str) -> Head:
    shape, weights = LayerShape.of(checkpoint.config), checkpoint.weights
    _check_hidden(shape.hidden, ends, refused)
    _check_vocab(int(checkpoint.config.get("vocab_size", ends.vocab_size)), ends, refused)
    # Some are published with the target's own vocabulary matrix beside the head.
    weights.pop("lm_head.weight", None)
    own = _own_embedding(weights, ends, shape.hidden)
    return Eagle1Head(shape, ends, fc_bias="fc.bias" in weights, own_embedding=own)


def _medusa(checkpoint: Checkpoint, ends: TargetEnds, refused: str) -> Head:
    weights = checkpoint.weights
    places = {tuple(map(int, name.split(".")[1:3])) for name in weights}
    if not places:
        raise CorruptModelError(f"{refused}: it holds no Medusa heads.")
    count, depth = 1 + max(head for head, _ in places), max(block for _, block in places)
    # The vocabulary matrix stands behind the blocks, with a weight and nothing else.
    matrix = weights.get(f"heads.0.{depth}.weight")
    if matrix is None:
        raise CorruptModelError(f"{refused}: its first head has no vocabulary matrix.")
    _check_hidden(matrix.shape[1], ends, refused)
    _check_vocab(matrix.shape[0], ends, refused)
    return MedusaHeads(count, depth, ends.hidden_size, ends.vocab_size)


def _dflash(checkpoint: Checkpoint, ends: TargetEnds, refused: str) -> Head:
    config = checkpoint.config
    shape, block = LayerShape.of(config), BlockShape.of(config, ends.layers)
    made_for = config.get("num_target_layers")
    if made_for is not None and int(made_for) != ends.layers:
        raise IncompatiblePairError(f"{refused}: it was made for a target of {made_for} layers, not {ends.layers}.")
    _check_hidden(shape.hidden, ends, refused)
    _check_taps(block.taps, ends, refused)
    _check_vocab(int(config.get("vocab_size", ends.vocab_size)), ends, refused)
    if not 0 <= block.mask_id < ends.vocab_size:
        raise IncompatiblePairError(f"{refused}: its mask token {block.mask_id} is not in the target's vocabulary.")
    return DFlashHead(shape, block, ends, int(config["num_hidden_layers"]))


_BUILDERS: Final[dict[HeadKind, Callable[[Checkpoint, TargetEnds, str], Head]]] = {
    "eagle3": _eagle3,
    "eagle": _eagle,
    "medusa": _medusa,
    "dflash": _dflash,
}


def _load(head: Head, checkpoint: Checkpoint) -> None:
    """Fill in the weights, quantised where the configuration says so."""
    quantised = checkpoint.config.get("quantization")
    if quantised:
        names = {name.removesuffix(".scales") for name in checkpoint.weights if name.endswith(".scales")}
        nn.quantize(
            head,
            quantised["group_size"],
            quantised["bits"],
            class_predicate=lambda path, _: quantised.get(path, True) if path in names else False,
        )
    wanted: dict[str, mx.array] = dict(tree_flatten(head.parameters()))
    missing = sorted(wanted.keys() - checkpoint.weights.keys())
    wrong = [name for name in wanted if name not in missing and wanted[name].shape != checkpoint.weights[name].shape]
    if missing or wrong:
        name = (missing or wrong)[0]
        said = "is missing" if missing else f"is {checkpoint.weights[name].shape}, not {wanted[name].shape}"
        raise CorruptModelError(f"The head in {checkpoint.folder} cannot be loaded: {name} {said}. Fetch it again.")
    head.load_weights([(name, checkpoint.weights[name]) for name in wanted])


def _own_embedding(weights: dict[str, mx.array], ends: TargetEnds, hidden: int) -> bool:
    """Whether a head brings an embedding of its own, and not the target's over again with other sizes."""
    own = weights.get("embed_tokens.weight")
    return own is not None and own.shape == (ends.vocab_size, hidden)


def _rows(weights: dict[str, mx.array], name: str) -> int:
    if name not in weights:
        raise CorruptModelError(f"An EAGLE-3 head needs {name}, which this one does not have: fetch it again.")
    return int(weights[name].shape[0])


def _check_hidden(hidden: int, ends: TargetEnds, refused: str) -> None:
    if hidden != ends.hidden_size:
        raise IncompatiblePairError(
            f"{refused}: it reads states {hidden} wide, and the target's are {ends.hidden_size}."
        )


def _check_taps(taps: tuple[int, ...], ends: TargetEnds, refused: str) -> None:
    if not taps or max(taps) >= ends.layers or min(taps) < -1:
        raise IncompatiblePairError(f"{refused}: it reads the target's layers {taps}, of {ends.layers} there are.")


def _check_vocab(vocab: int, ends: TargetEnds, refused: str) -> None:
    if vocab != ends.vocab_size:
        raise IncompatiblePairError(
            f"{refused}: it was made for a vocabulary of {vocab:,} tokens, and the target's has {ends.vocab_size:,}."
        )
