"""In which chunks a prompt is read. What later answers find of it depends on it: they begin where a chunk ended."""

from typing import Final

import mlx.core as mx

# A chunk is one forward pass: large enough to be efficient, small enough for progress and cancelling, and so that a
# short text has some.
PREFILL_TOKENS: Final = {mx.cpu: 64, mx.gpu: 128}

POINT_TOKENS: Final = 512
"""Of a long prompt that cannot be begun anywhere, a point is kept every so many tokens."""


def chunk_tokens() -> int:
    """Of a prompt, in one pass, on MLX's default device."""
    return PREFILL_TOKENS[mx.default_device().type]
