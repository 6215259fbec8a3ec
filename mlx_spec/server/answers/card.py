"""A model, as /v1/models lists it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from mlx_spec.config import Exactness
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.server.answers.errors import Json


def model_card(
    name: str,
    created: int,
    context_length: int | None,
    drafters: Sequence[str] | None,
    kv_bits: int | None,
    exactness: tuple[Exactness, RowWidths | None] | None = None,
) -> Json:
    """One entry of /v1/models, with what Anthropic's clients look for, too; `context_length` is in tokens, what a
    request may draft by, and what its words are unless it asks; None while it loads. `kv_bits` None says that keys and
    values are kept as they are computed, `row_invariant_width` None that a pass may have any number of rows, or that it
    was not measured."""
    return {
        "id": name,
        "object": "model",
        "type": "model",
        "display_name": name,
        "created": created,
        "created_at": datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z"),
        "owned_by": "lookahead",
        "context_length": context_length,
        "drafters": drafters,
        "kv_bits": kv_bits,
        "exactness": exactness[0] if exactness else None,
        "row_invariant_width": exactness[1].width if exactness and exactness[1] else None,
    }
