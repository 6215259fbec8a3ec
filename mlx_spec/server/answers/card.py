"""A model, as /v1/models lists it."""

from collections.abc import Sequence

from mlx_spec.server.answers.errors import Json


def model_card(
    name: str, created: int, context_length: int | None, drafters: Sequence[str] | None, kv_bits: int | None
) -> Json:
    """One entry of /v1/models; `context_length` is in tokens, and what a request may draft by; None while it loads.
    `kv_bits` None says that keys and values are kept as they are computed."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "lookahead",
        "context_length": context_length,
        "drafters": drafters,
        "kv_bits": kv_bits,
    }
