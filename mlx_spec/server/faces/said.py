"""What a face reads of a request's parts: each problem one sentence, with the place as the client wrote it."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from mlx_spec.errors import ConfigError, GrammarError
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.engine.job import JobFailed
from mlx_spec.server.requests.messages import checked_text
from mlx_spec.server.requests.validation import RequestError, shown

_NO_TEXT: Final = ("image", "audio", "video", "file", "document")


@contextlib.contextmanager
def renaming(names: Mapping[str, str]) -> Iterator[None]:
    """Within the block, errors about a field of the chat tell the name that it has in the face."""
    try:
        yield
    except RequestError as error:
        raise RequestError(*_renamed(str(error), error.param, names)) from None
    except (ConfigError, GrammarError) as error:
        raise RequestError(*_renamed(str(error), error.field, names)) from None
    except JobFailed as failed:
        _, param = _renamed("", failed.failure.param, names)
        raise JobFailed(replace(failed.failure, param=param)) from None


def _renamed(message: str, param: str | None, names: Mapping[str, str]) -> tuple[str, str | None]:
    for inner, outer in names.items():
        if param is not None and (param == inner or param.startswith((f"{inner}.", f"{inner}["))):
            return message.replace(inner, outer, 1), outer + param[len(inner) :]
    return message, param


def refused(path: str, value: object, must: str) -> RequestError:
    """The error of a field at `path`, which `must` be something else."""
    return RequestError(f"{path} is {shown(value)}: it must be {must}.", path)


def object_at(value: object, path: str) -> Json:
    """The JSON object at `path`. Raises RequestError."""
    if not isinstance(value, dict):
        raise refused(path, value, "a JSON object")
    return value


def list_at(value: object, path: str) -> list[Any]:
    """The list at `path`; null is an empty one. Raises RequestError."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise refused(path, value, "a list")
    return value


def string_at(value: object, path: str) -> str:
    """The text at `path`. Raises RequestError."""
    if not isinstance(value, str):
        raise refused(path, value, "a string")
    try:
        return checked_text(value)
    except ValueError as error:
        raise refused(path, value, str(error)) from None


def text_at(content: object, path: str, readable: Mapping[str, str]) -> str:
    """Content as one text: a string, or a list of parts whose type is `readable`, each with its text in the field that
    is named there. Null is no text. Raises RequestError."""
    if content is None:
        return ""
    if isinstance(content, str):
        return string_at(content, path)
    if not isinstance(content, list):
        raise refused(path, content, "a string or a list of parts")
    return "".join(_part_text(part, f"{path}[{i}]", readable) for i, part in enumerate(content))


def _part_text(part: object, path: str, readable: Mapping[str, str]) -> str:
    if isinstance(part, str):
        return string_at(part, path)
    kind = object_at(part, path).get("type")
    assert isinstance(part, dict)
    if not isinstance(kind, str) or kind not in readable:
        raise no_text(f"{path}.type", kind, readable)
    field = readable[kind]
    return string_at(part.get(field), f"{path}.{field}")


def no_text(path: str, kind: object, readable: Mapping[str, str]) -> RequestError:
    """The error of a part that is no text."""
    if isinstance(kind, str) and any(name in kind for name in _NO_TEXT):
        return RequestError(
            f"{path} is {shown(kind)}: the model here reads text only; send what it shows as text.", path
        )
    return refused(path, kind, f"one of {', '.join(sorted(readable))}")


def nothing_of(said: Json, names: Mapping[str, tuple[object, ...]]) -> None:
    """Raise RequestError where one of the fields `names`, which this server does not know, asks for something."""
    for name, harmless in names.items():
        value = said.get(name)
        if value is not None and value not in harmless:
            raise RequestError(f"{name} is {shown(value)}: this server does not support it; leave it out.", name)
