"""Small chunks and blocks, so that tiny texts have several of them."""

import mlx.core as mx
import pytest

from mlx_spec.decoding.cache import chunks
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.drafters import eagle
from tests.batching.asked import BLOCK


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is a block."""
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, BLOCK)
    monkeypatch.setattr(eagle, "PART_TOKENS", BLOCK)
    monkeypatch.setitem(chunks._LAST_TOO, mx.cpu, 2 * BLOCK)  # some prompts are read to the last, and some are not
