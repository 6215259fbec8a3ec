"""Whole passes whose products are the kernel's, each launch emulated: as wide as is tried, with plain steps' words.

Float32 and wide enough that OpenBLAS takes rows apart otherwise for more of them.
"""

from itertools import count
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.decoding.cache.rows import known, whole_passes
from mlx_spec.decoding.cache.rows.known import measure_widths
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.events import GenerationFinished
from mlx_spec.machine.kernels.products.layers import adopt
from mlx_spec.machine.kernels.products.times import MatmulTimes
from mlx_spec.models.memory import rows_are_independent
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.tiny import pair_of, tiny_llama

WIDE = 128
LAUNCHES = 2 * 7 + 1 + 2 * 2  # of the products of two layers and a head, and of two layers' attention


pytestmark = pytest.mark.usefixtures("dense_ahead")


def test_products_are_as_wide_as_is_tried_and_their_price_is_known(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on by one a look, and by one a launch."""
    looks = count()
    monkeypatch.setattr(whole_passes.time, "perf_counter", lambda: next(looks) + len(emulator.launched))
    model = tiny_llama(0, hidden=WIDE)
    stock = measure_widths(model, "tiny")
    with emulated(emulator):
        adopt(model, MatmulTimes(tmp_path / "none.json"))
        ours = measure_widths(model, "tiny")
    products = [part.width for part in ours.parts if part.part.startswith("product")]
    assert products == [known.MOST[mx.cpu]] * len(products)
    assert ours.width == min(part.width for part in ours.parts)
    assert stock.price == 1.0
    assert ours.price >= 1.0 + LAUNCHES, "a strict step launches each product, a fast one none"
    assert ours.allows_strict, "by width alone"
    before = [part.width for part in stock.parts if part.part.startswith("product")]
    assert rows_are_independent() or min(before) < 5, "else this shows nothing"
    assert len(products) == len(before)


def test_strict_answers_have_the_words_of_plain_steps(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pair_of(tiny_llama(0, hidden=WIDE), tiny_llama(0, hidden=WIDE))
    widths = RowWidths(8, trees=False, tried=8)
    for name in ("known_widths", "row_widths"):
        monkeypatch.setattr(f"mlx_spec.decoding.knowledge.{name}", lambda *_: widths)
    ends = {}
    with emulated(emulator):
        adopt(pair.target, MatmulTimes(tmp_path / "none.json"))
        for exactness in ("strict", "fast"):
            config = SpeculativeConfig(exactness=exactness, acceptance_threshold=0.0, adaptive_lookahead=False)
            for drafter in ("none", "model"):
                decoder = SpeculativeDecoder(pair, config, drafter=drafter)
                *_, end = decoder.stream([1, 2, 3, 4], SamplingParams(seed=3, temperature=0.8), 10, lookahead=7)
                assert isinstance(end, GenerationFinished)
                ends[exactness, drafter] = end, emulator.launched.count("few_rows_matmul")
                emulator.launched.clear()
    (plain, steps), (drafted, passes) = ends["strict", "none"], ends["strict", "model"]
    assert drafted.token_ids == plain.token_ids
    assert drafted.stats.accepted_tokens > 0
    assert steps > passes > 0
    assert ends["fast", "none"][1] == ends["fast", "model"][1] == 0
