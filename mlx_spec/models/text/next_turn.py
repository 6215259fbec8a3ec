"""What the prompts to come will begin with: as a chat template will write what was said by then.

The template makes a prompt of texts, and what it makes of an answer that is over is seldom what the model said:
thinking is dropped, white space trimmed, an end written, and the text cut into other tokens. So it is asked: what two
prompts share that differ in their last question only is what every such prompt begins with.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from mlx_spec.errors import PromptError

Message = Mapping[str, Any]
Encode = Callable[[Sequence[Message]], list[int]]

# Two that share no letter, and of two kinds, which tokenizers join to what stands before them differently.
_QUESTIONS: Final = ("Why?", "1 + 2")


def next_beginning(encode: Encode, messages: Sequence[Message], reply: str) -> list[int]:
    """The ids that a prompt begins with that goes on from `messages`, answered by `reply`, with any question.

    `encode` makes the prompt of a conversation. Where it refuses one that goes on, what it makes of `messages` alone.
    Raises PromptError where it refuses that too.
    """
    said = [*messages, {"role": "assistant", "content": reply}]
    return _shared(encode, said) or encode(messages)


def opening(encode: Encode, messages: Sequence[Message]) -> list[int]:
    """The ids that a conversation begins with that has the system messages of `messages`, whatever is asked; none where
    it has no such message, or the template wants more."""
    system = [message for message in messages if message["role"] == "system"]
    return _shared(encode, system) if system else []


def plain_opening(encode: Encode) -> list[int]:
    """The ids that every conversation without a system message begins with; none where the template wants one."""
    return _shared(encode, [])


def turn(encode: Encode) -> list[int]:
    """The ids that stand before every question but the first, whatever was said before; none where the template wants
    it otherwise."""
    one, other = (
        _shared(encode, [{"role": "user", "content": question}, {"role": "assistant", "content": reply}])
        for question, reply in zip(_QUESTIONS, reversed(_QUESTIONS), strict=True)
    )
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(reversed(one), reversed(other), strict=False))
    return [token_id for token_id, _ in alike][::-1]


def _shared(encode: Encode, said: list[Message]) -> list[int]:
    try:
        one, other = (encode([*said, {"role": "user", "content": question}]) for question in _QUESTIONS)
    except PromptError:
        return []
    different = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[: next(different, min(len(one), len(other)))]
