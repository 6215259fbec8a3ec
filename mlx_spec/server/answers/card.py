"""A model, as /v1/models lists it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from mlx_spec.server.answers.errors import Json


def model_card(
    name: str, created: int, context_length: int | None, drafters: Sequence[str] | None, kv_bits: int | None
) -> Json:
    """One entry of /v1/models, with what Anthropic's clients look for, too; `context_length` is in tokens, and what a
    request may draft by; None while it loads. `kv_bits` None says that keys and values are kept as they are
    computed."""
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
    }
