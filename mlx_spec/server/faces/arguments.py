"""The arguments of a call as an object, for protocols that tell them so."""

import json

from mlx_spec.server.answers.errors import Json


def read_arguments(text: str) -> Json:
    """The object that `text` is; one that was cut, at the limit of tokens, is told as `{"_unfinished": text}`, so that
    nobody takes it for what was meant."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {"_unfinished": text}
    return found if isinstance(found, dict) else {"_unfinished": text}
