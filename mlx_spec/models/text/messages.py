"""What somebody wrote in a message: every text in it, names inside the arguments of a call too."""

from collections.abc import Callable, Mapping
from typing import Any, Final

_ITEM: Final = 0  # any place in a list; no name in a message is a number
# Where a message is told what it is: the only texts that nobody wrote. Templates compare them.
_FIXED: Final = frozenset({("role",), ("content", _ITEM, "type"), ("tool_calls", _ITEM, "type")})
_SAID: Final = ("content", "reasoning_content", "name")


def texts_of(message: Mapping[str, Any]) -> list[str]:
    """All that somebody wrote in `message`, at any depth."""
    texts: list[str] = []

    def noted(text: str) -> str:
        texts.append(text)
        return text

    with_texts(message, noted)
    return texts


def with_texts(message: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """`message` with `change` made to every text that somebody wrote in it."""
    return {name: _changed(value, (name,), change) for name, value in message.items()}


def contents_of(message: Mapping[str, Any]) -> list[str]:
    """What is said in `message` itself, calls apart: each of the texts that a template writes out."""
    texts: list[str] = []

    def noted(text: str) -> str:
        texts.append(text)
        return text

    with_contents(message, noted)
    return texts


def with_contents(message: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """`message` with `change` made to every text of `contents_of`."""
    return {name: _changed(value, (name,), change) if name in _SAID else value for name, value in message.items()}


def _changed(value: Any, place: tuple[object, ...], change: Callable[[str], str]) -> Any:
    """`value`, which stands at `place`, changed.

    Loops and no comprehensions, which are calls of their own to Python 3.11: what JSON may nest must fit on the stack.
    """
    if isinstance(value, str):
        return value if place in _FIXED else change(value)
    if isinstance(value, Mapping):
        named: dict[Any, Any] = {}
        for name, inner in value.items():
            named[change(name) if isinstance(name, str) else name] = _changed(inner, (*place, name), change)
        return named
    if isinstance(value, list | tuple):
        listed = []
        for inner in value:
            listed.append(_changed(inner, (*place, _ITEM), change))  # noqa: PERF401
        return listed
    return value
