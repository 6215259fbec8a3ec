"""A drafter by its name, for one request."""

from collections.abc import Callable
from typing import Final

from mlx_spec.decoding.drafters.base import Drafter, DrawSettings
from mlx_spec.decoding.drafters.dflash import DFlashDrafter
from mlx_spec.decoding.drafters.draft_model import DraftModel
from mlx_spec.decoding.drafters.eagle import EagleDrafter
from mlx_spec.decoding.drafters.medusa import MedusaDrafter
from mlx_spec.decoding.drafters.ngram import NgramDrafter
from mlx_spec.decoding.drafters.self_draft import half_of
from mlx_spec.decoding.drafters.vocab_bridge import VocabBridge
from mlx_spec.models.loading import ModelPair

Maker = Callable[[ModelPair, DrawSettings, int | None], Drafter]


def make_drafter(name: str, pair: ModelPair, draw: DrawSettings, kv_bits: int | None = None) -> Drafter:
    """The drafter called `name`, which the pair must have (see `mlx_spec.decoding.admission`).

    `kv_bits` is what the target keeps each key and value in. Its own half does so too: in full it would hold as much as
    all of the target. A draft model and a head keep theirs as they are: those are a small part of the memory, what is
    lost of them is lost of the acceptance, and no word depends on them.

    Raises UnsupportedModelError for a target that cannot draft for itself.
    """
    return MAKERS[name](pair, draw, kv_bits)


def _draft_model(pair: ModelPair, draw: DrawSettings, kv_bits: int | None) -> Drafter:
    name = pair.draft_name or "the draft"
    if pair.token_map is not None:
        return VocabBridge(pair.draft, name, draw, pair.token_map, least_confidence=draw.confidence)
    return DraftModel(pair.draft, name, draw, least_confidence=draw.confidence)


def _half(pair: ModelPair, draw: DrawSettings, kv_bits: int | None) -> Drafter:
    half = half_of(pair.target)
    return DraftModel(half, pair.target_name, draw, least_confidence=draw.confidence, kv_bits=kv_bits)


def _with_head(name: str, kind: Callable[..., Drafter]) -> Maker:
    return lambda pair, draw, kv_bits: kind(pair.heads[name], draw, least_confidence=draw.confidence)


MAKERS: Final[dict[str, Maker]] = {
    "model": _draft_model,
    "ngram": lambda pair, draw, kv_bits: NgramDrafter(),
    "self": _half,
    "eagle": _with_head("eagle", EagleDrafter),
    "medusa": _with_head("medusa", MedusaDrafter),
    "dflash": _with_head("dflash", DFlashDrafter),
}
"""By the names of `mlx_spec.config.DrafterName`, but `auto` and `none`."""
