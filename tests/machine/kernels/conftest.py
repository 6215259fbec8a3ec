"""Kernels are run by the emulator where there is g++ on Linux; what needs neither runs everywhere."""

import sys

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.config import SamplingParams
from mlx_spec.decoding.cache.rows.known import MOST
from mlx_spec.machine.kernels.products.few_rows import few_rows_matmul
from mlx_spec.machine.kernels.products.weights import Weights
from mlx_spec.machine.kernels.warp import WarpedRows
from tests.machine.kernels.emulator.build import COMPILER
from tests.machine.kernels.emulator.launches import Emulator, compile_ahead

WARPS = [
    SamplingParams(temperature=0.0),
    SamplingParams(temperature=0.7),
    SamplingParams(temperature=1.3, top_k=12, top_p=0.9, min_p=0.01),
]


@pytest.fixture
def emulator() -> Emulator:
    """An emulator in forward order, without sanitizers; a test sets what it wants of it."""
    if COMPILER is None or not sys.platform.startswith("linux"):
        pytest.skip("the emulator needs g++ on Linux")
    return Emulator()


@pytest.fixture(scope="session")
def dense_ahead() -> None:
    """Products with dense weights in float32, for as many rows as a strict pass is tried with: compiled at once."""
    if COMPILER is None or not sys.platform.startswith("linux"):
        return
    weights = Weights(mx.zeros((8, 64)))
    compile_ahead(lambda: [few_rows_matmul(mx.zeros((rows, 64)), weights) for rows in range(1, MOST[mx.cpu] + 1)])


def random_rows(
    seed: int, rows: int, vocab: int, params: SamplingParams, dtype: mx.Dtype = mx.float32, spread: float = 3.0
) -> WarpedRows:
    """Logits like a model's: normal, wide enough that some tokens are likely."""
    logits = np.random.default_rng(seed).normal(size=(rows, vocab)) * spread
    return WarpedRows(mx.array(logits.astype(np.float32)).astype(dtype), params)
