"""OpenAI's `prediction`: the text that the answer will mostly be, as editors send a file that is to be changed."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from mlx_spec.server.requests.messages import checked_text, whole_text

PREDICTION_LIMIT: Final = 4 * 1024 * 1024
"""Characters."""
_SHAPE: Final = 'an object like {"type": "content", "content": "the text that is expected"}'


def _predicted(value: Any) -> object:
    """Its text; an empty one is none."""
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("type") != "content" or "content" not in value:
        raise ValueError(_SHAPE)
    content = value["content"]
    if not isinstance(content, str | list):
        raise ValueError(_SHAPE)
    text = whole_text(content)
    if not isinstance(text, str):
        raise ValueError(_SHAPE)
    if len(text) > PREDICTION_LIMIT:
        raise ValueError(f"a text of at most {PREDICTION_LIMIT:,} characters")
    return checked_text(text) or None


Prediction = Annotated[str | None, BeforeValidator(_predicted)]
