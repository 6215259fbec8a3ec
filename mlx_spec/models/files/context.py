"""How many tokens a model was made for: out of its configuration, as far as that says."""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from mlx_spec.models.files.config import parts_of
from mlx_spec.models.files.rope import yarn_context

# mlx-lm's families know it by these names; dbrx and a few others by one of the later ones.
_FIELDS: Final = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")
# transformers writes 10^30 where it knows of no limit; nobody's memory holds this many either.
_NO_LIMIT: Final = 1 << 40


def context_of(config: Mapping[str, Any]) -> int | None:
    """The tokens that a model was made for, YaRN's stretch included; None where its configuration, as `with_rope` gives
    it, does not say."""
    for place in parts_of(config):
        values = [place.get(name) for name in _FIELDS]
        told = next((value for value in values if _is_length(value)), None)
        # A model card's recipe adds YaRN and leaves the field as it was; others write the stretched length there.
        stretched = yarn_context(place)
        if told is not None or stretched is not None:
            return max(told or 0, stretched or 0)
    return None


def context_length(config: Mapping[str, Any], tokenizer_limit: object) -> int | None:
    """`context_of` a model, or what its tokenizer says where that is a limit at all."""
    told = context_of(config)
    return told if told is not None else tokenizer_limit if _is_length(tokenizer_limit) else None


def _is_length(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _NO_LIMIT
