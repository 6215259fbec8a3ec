"""One sentence for what a request may not say."""

import json
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

Body = TypeVar("Body", bound=BaseModel)

_SHOWN: Final = 80


class RequestError(ValueError):
    """The request cannot be understood or served as it is. `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def validated(kind: type[Body], body: object) -> Body:
    """A request of `kind` in `body`, a parsed JSON value. Raises RequestError."""
    try:
        return kind.model_validate(object_of(body))
    except ValidationError as error:
        raise _request_error(error.errors(include_url=False)[0]) from None


def object_of(body: object) -> dict[str, Any]:
    """The JSON object that a body must be. Raises RequestError."""
    if not isinstance(body, dict):
        raise RequestError("The request body must be a JSON object.")
    return body


def _request_error(problem: Any) -> RequestError:
    """One of pydantic's errors as a sentence."""
    path = _path(problem["loc"])
    if problem["type"] == "missing":
        return RequestError(f"{path} is missing.", path)
    if problem["type"] == "extra_forbidden":
        return RequestError(f"{path} is not a setting that this server knows; leave it out.", path)
    return RequestError(f"{path} is {shown(problem['input'])}: it must be {_allowed(problem)}.", path)


def _allowed(problem: Any) -> str:
    match problem["type"]:
        case "value_error":
            return str(problem["ctx"]["error"])
        case "literal_error":
            return f"one of {problem['ctx']['expected']}"
        case "float_type" | "float_parsing":
            return "a number"
        case "int_type" | "int_from_float" | "int_parsing":
            return "a whole number"
        case "bool_type":
            return "true or false"
        case "string_type":
            return "a string"
        case "string_unicode":
            return "text of whole characters: it holds half of a surrogate pair"
        case "list_type":
            return "a list"
        case _:
            return "a JSON object"


def _path(loc: tuple[str | int, ...]) -> str:
    path = ""
    for part in loc:
        if isinstance(part, str) and "[" in part:  # a branch of a union, by its type
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def shown(value: object) -> str:
    """A value as the client sent it, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
