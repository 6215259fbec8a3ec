"""A drafter by its name, for one request."""

from mlx_spec.decoding.drafters.base import Drafter, DrawSettings
from mlx_spec.decoding.drafters.dflash import DFlashDrafter
from mlx_spec.decoding.drafters.draft_model import DraftModel
from mlx_spec.decoding.drafters.eagle import EagleDrafter
from mlx_spec.decoding.drafters.medusa import MedusaDrafter
from mlx_spec.decoding.drafters.ngram import NgramDrafter
from mlx_spec.decoding.drafters.self_draft import half_of
from mlx_spec.decoding.drafters.vocab_bridge import VocabBridge
from mlx_spec.models.heads.dflash import DFlashHead
from mlx_spec.models.heads.medusa import MedusaHeads
from mlx_spec.models.loading import ModelPair


def make_drafter(name: str, pair: ModelPair, draw: DrawSettings) -> Drafter:
    """The drafter called `name`, which the pair must have (see `mlx_spec.decoding.admission`).

    Raises UnsupportedModelError for a target that cannot draft for itself.
    """

    def least() -> float:
        return draw.least_confidence

    if name == "ngram":
        return NgramDrafter()
    if name == "self":
        return DraftModel(half_of(pair.target), pair.target_name, draw, least_confidence=least)
    if name != "model":
        head = pair.heads[name]
        if isinstance(head, MedusaHeads):
            return MedusaDrafter(head, draw, least_confidence=least)
        if isinstance(head, DFlashHead):
            return DFlashDrafter(head, draw, least_confidence=least)
        return EagleDrafter(head, draw, least_confidence=least)
    draft_name = pair.draft_name or "the draft"
    if pair.token_map is not None:
        return VocabBridge(pair.draft, draft_name, draw, pair.token_map, least_confidence=least)
    return DraftModel(pair.draft, draft_name, draw, least_confidence=least)
