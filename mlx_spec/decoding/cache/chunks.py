"""In which chunks a prompt is read. What later answers find of it depends on it: they begin where a chunk ended."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import mlx.core as mx

from mlx_spec.prompt_passes import PromptPasses, Shorter, Turns

# A chunk is one forward pass: large enough to be efficient, small enough for progress and cancelling, and so that a
# short text has some.
PREFILL_TOKENS: Final = {mx.cpu: 64, mx.gpu: 128}

_SHORTER: Final[dict[mx.DeviceType, Shorter]] = {mx.cpu: ((64, 32), (512, 16)), mx.gpu: ()}
"""From which position on a pass reads how many tokens at most, a whole part of a chunk: whoever writes waits for it. 64
tokens behind 128, and 32 behind 1,000, take two cores 0.3 s, twice what a step of four writers takes. To read 2,000
tokens takes a fifth longer than in passes of 32."""

_LAST_TOO: Final[dict[mx.DeviceType, int | None]] = {mx.cpu: 192, mx.gpu: None}
"""From which position on the last pass over a prompt reads its last token too: a pass of its own would take longer than
that does, and the first word waits for it. Before it, a first round that drafts is worth as much. On a GPU to have the
head say what follows each row of a wide pass may take as long as a pass over one; nobody has measured that."""

LEAST_OPENING: Final = 16
"""Of a prompt, in a pass of its own, where every chat begins with it: what is shorter is sooner read again."""

_LEAST_TURN: Final = {mx.cpu: 16, mx.gpu: 64}
"""And of a turn."""

_JOINED_FROM: Final[dict[mx.DeviceType, int | None]] = {mx.cpu: 512, mx.gpu: None}
"""See `PromptPasses`: where passes are so short that a question would take two, each of which reads all weights."""

POINT_TOKENS: Final = 512
"""Of a long prompt that cannot be begun anywhere, a point is kept every so many tokens."""


def chunk_tokens() -> int:
    """Of a prompt, in one pass, on MLX's default device."""
    return PREFILL_TOKENS[mx.default_device().type]


def prompt_passes() -> PromptPasses:
    """Where prompts are read in passes, on MLX's default device."""
    device = mx.default_device().type
    return PromptPasses(PREFILL_TOKENS[device], _SHORTER[device], _JOINED_FROM[device])


def turns_of(prompt_ids: tuple[int, ...], turn_ids: tuple[int, ...], opening: int = 0) -> tuple[int, ...]:
    """Behind how many tokens of a prompt its turns begin: behind the `opening` that every chat has, and wherever
    `turn_ids` stand, with which the template begins a question, unless the turn before is too short."""
    least, found = _LEAST_TURN[mx.default_device().type], [opening] if opening else []
    for end in _behind_each(turn_ids, prompt_ids):
        if least <= end - (found[-1] if found else 0) and end < len(prompt_ids):
            found.append(end)
    return tuple(found)


def _behind_each(turn_ids: tuple[int, ...], prompt_ids: tuple[int, ...]) -> Iterator[int]:
    at, count = -1, len(turn_ids)
    with suppress(ValueError):  # there are no more
        while count:
            at = prompt_ids.index(turn_ids[0], at + 1)
            if prompt_ids[at : at + count] == turn_ids:
                yield at + count


def reads_last(start: int, length: int, turns: Turns = ()) -> bool:
    """Whether the pass that begins at `start` of a prompt of `length` tokens reads the last of them too, and says what
    follows. As fixed as where passes end."""
    least = _LAST_TOO[mx.default_device().type]
    return least is not None and least <= start < length - 1 and prompt_passes().end(start, length, turns) == length
