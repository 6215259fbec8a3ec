"""A drafter by its name, for one request."""

from collections.abc import Callable
from typing import Final

from mlx_spec.decoding.drafters.base import Drafter, DrawSettings
from mlx_spec.decoding.drafters.dflash import DFlashDrafter
from mlx_spec.decoding.drafters.draft_model import DraftModel
from mlx_spec.decoding.drafters.eagle import EagleDrafter
from mlx_spec.decoding.drafters.grammar import Forcing, GrammarDrafter
from mlx_spec.decoding.drafters.medusa import MedusaDrafter
from mlx_spec.decoding.drafters.ngram import NgramDrafter
from mlx_spec.decoding.drafters.self_draft import half_of
from mlx_spec.decoding.drafters.vocab_bridge import VocabBridge
from mlx_spec.models.loading import ModelPair

Maker = Callable[[ModelPair, DrawSettings], Drafter]


def make_drafter(name: str, pair: ModelPair, draw: DrawSettings, forcing: Forcing | None = None) -> Drafter:
    """The drafter called `name`, which the pair must have (see `mlx_spec.decoding.admission`); `grammar` proposes what
    `forcing` tells.

    Raises UnsupportedModelError for a target that cannot draft for itself.
    """
    if name == "grammar":
        assert forcing is not None, "a grammar drafts where there is one"
        return GrammarDrafter(forcing)
    return MAKERS[name](pair, draw)


def _draft_model(pair: ModelPair, draw: DrawSettings) -> Drafter:
    name = pair.draft_name or "the draft"
    if pair.token_map is not None:
        return VocabBridge(pair.draft, name, draw, pair.token_map, least_confidence=draw.confidence)
    return DraftModel(pair.draft, name, draw, least_confidence=draw.confidence)


def _half(pair: ModelPair, draw: DrawSettings) -> Drafter:
    # It keeps keys and values as the target does: in full they would take as much as all of its, or more. A draft model
    # and a head keep theirs in full: those are small, and what is lost of them is lost of the acceptance.
    half = half_of(pair.target)
    return DraftModel(half, pair.target_name, draw, least_confidence=draw.confidence, kv_bits=draw.kv_bits)


def _with_head(name: str, kind: Callable[..., Drafter]) -> Maker:
    return lambda pair, draw: kind(pair.heads[name], draw, least_confidence=draw.confidence)


MAKERS: Final[dict[str, Maker]] = {
    "model": _draft_model,
    "ngram": lambda pair, draw: NgramDrafter(),
    "self": _half,
    "eagle": _with_head("eagle", EagleDrafter),
    "medusa": _with_head("medusa", MedusaDrafter),
    "dflash": _with_head("dflash", DFlashDrafter),
}
"""By the names of `mlx_spec.config.DrafterName`, but `auto`, `none`, and `grammar`, which needs no pair."""
