"""Tells a model's reasoning from its answer. Knows no Qt."""

from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True, slots=True)
class Parts:
    """What was thought and what is said. `is_thinking`: the reasoning is not over yet."""

    reasoning: str
    answer: str
    is_thinking: bool = False


def split_reasoning(text: str) -> Parts:
    """The parts of `text`. Reasoning stands first, between `<think>` and `</think>`.

    The engine gives every model's reasoning these tags, also where the prompt opened it; so a tag further on, as in an
    answer about tags, is text. A tag that is still arriving belongs to neither part.
    """
    begun = text.lstrip()
    if begun.startswith(OPEN):
        inner = begun[len(OPEN) :]
        thought, closed, said = inner.partition(CLOSE)
        if closed:
            return Parts(thought.strip(), said.lstrip())
        return Parts(_without_beginning_of(CLOSE, thought).strip(), "", is_thinking=True)
    if begun and OPEN.startswith(begun):
        return Parts("", "", is_thinking=True)
    return Parts("", text)


def _without_beginning_of(tag: str, text: str) -> str:
    """`text` without an end that may become `tag`."""
    for length in range(len(tag) - 1, 0, -1):
        if text.endswith(tag[:length]):
            return text[:-length]
    return text
