"""How a request has its model think: settings of the chat template, and how much may be thought."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator

from mlx_spec.models.text.options import RESERVED
from mlx_spec.server.requests.validation import shown

ReasoningFormat = Literal["auto", "deepseek", "none"]
"""llama.cpp's: what was thought comes as `reasoning_content`, or stays in the content, in its tags, with "none"."""

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def _settings(value: object) -> object:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("a JSON object of settings that the model's chat template knows")
    if taken := sorted(RESERVED & value.keys()):
        raise ValueError(f"settings of the chat template, and {shown(taken[0])} is none: other fields say that")
    return value


def _effort(value: object) -> object:
    if value is not None and value not in EFFORTS:
        raise ValueError(f"one of {', '.join(EFFORTS)}")
    return value


def _budget(value: object) -> object:
    if value is None or value == -1:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number of tokens, or -1 for no limit")
    return value


TemplateSettings = Annotated[Mapping[str, Any], BeforeValidator(_settings)]
Effort = Annotated[str | None, BeforeValidator(_effort)]
Budget = Annotated[int | None, BeforeValidator(_budget)]
