"""`PUT /v1/models/memory`: when idle models are let go."""

from typing import Any

from mlx_spec.server.requests.validation import RequestError


def unload_after(body: Any) -> float | None:
    """`unload_after_s` in `body`, a parsed JSON value: the seconds without a request, None where null or 0 keeps the
    models. Raises RequestError."""
    idle_s = body.get("unload_after_s", "") if isinstance(body, dict) else ""
    if isinstance(idle_s, bool) or not (idle_s is None or (isinstance(idle_s, int | float) and idle_s >= 0)):
        raise RequestError("unload_after_s must be a number of seconds, or null to keep the models.", "unload_after_s")
    return idle_s or None
