"""Small chunks and blocks, so that tiny texts have several of them."""

from collections.abc import Iterator

import mlx.core as mx
import pytest

from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.decoding.drafters import eagle
from tests.batching.asked import BLOCK


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is a block."""
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, BLOCK)
    monkeypatch.setattr(eagle, "BLOCK_TOKENS", BLOCK)


@pytest.fixture(scope="module")
def uncompiled() -> Iterator[None]:
    """On a CPU, MLX has the C++ compiler make each fused kernel."""
    mx.disable_compile()
    yield
    mx.enable_compile()
