"""In which chunks a prompt is read. What later answers find of it depends on it: they begin where a chunk ended."""

from typing import Final

import mlx.core as mx

# A chunk is one forward pass: large enough to be efficient, small enough for progress and cancelling, and so that a
# short text has some.
PREFILL_TOKENS: Final = {mx.cpu: 64, mx.gpu: 128}

_SHORTER: Final[dict[mx.DeviceType, tuple[tuple[int, int], ...]]] = {mx.cpu: ((192, 32), (1024, 16)), mx.gpu: ()}
"""From which position on a pass reads how many tokens at most, a whole part of a chunk. A chunk that attends to two
thousand tokens takes two cores 0.7 s, a quarter of one 0.2 s, and whoever writes waits for that; and the less a pass
reads, the less of a text is read again by who goes on from it. To read 2,000 tokens takes a fifth longer so than in
passes of 32, which second and third turns wait a seventh longer with."""

_LAST_TOO: Final[dict[mx.DeviceType, int | None]] = {mx.cpu: 192, mx.gpu: None}
"""From which position on the last pass over a prompt reads its last token too: a pass of its own would take longer than
that does, and the first word waits for it. Before it, a first round that drafts is worth as much. On a GPU to have the
head say what follows each row of a wide pass may take as long as a pass over one; nobody has measured that."""

LEAST_OPENING: Final = 16
"""Of a prompt, in a pass of its own, where every chat begins with it: what is shorter is sooner read again."""

POINT_TOKENS: Final = 512
"""Of a long prompt that cannot be begun anywhere, a point is kept every so many tokens."""


def chunk_tokens() -> int:
    """Of a prompt, in one pass, on MLX's default device."""
    return PREFILL_TOKENS[mx.default_device().type]


def shorter_chunks() -> tuple[tuple[int, int], ...]:
    """Where chunks are read in several passes, and of how many tokens: see `batching.budget.Shorter`."""
    return _SHORTER[mx.default_device().type]


def pass_end(start: int, end: int, opening: int = 0) -> int:
    """Where the pass over a prompt that begins at `start` ends: at a multiple of what passes read there, at the end of
    its `opening`, with which every chat begins, or at `end`. As fixed as chunks are, whoever else is answered."""
    tokens = _pass_tokens(start)
    return min((start // tokens + 1) * tokens, opening if opening > start else end, end)


def reads_last(start: int, length: int, opening: int = 0) -> bool:
    """Whether the pass that begins at `start` of a prompt of `length` tokens reads the last of them too, and says what
    follows. As fixed as where passes end."""
    least = _LAST_TOO[mx.default_device().type]
    return least is not None and least <= start < length - 1 and pass_end(start, length, opening) == length


def last_begin(length: int, opening: int = 0) -> int:
    """The last place of a prompt, `length` at most, where a pass begins: a later answer can begin there too, and makes
    the same passes from there on."""
    tokens = _pass_tokens(length)
    return max(length // tokens * tokens, opening if opening <= length else 0)


def _pass_tokens(start: int) -> int:
    return min([chunk_tokens(), *(tokens for begin, tokens in shorter_chunks() if begin <= start)])
