"""Row statistics, sampling and softmax: the kernels as a Mac would get them, against float64 and the fallback."""

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from scipy import stats

from mlx_spec.config import SamplingParams
from mlx_spec.machine.kernels import row_softmax
from mlx_spec.machine.kernels.row_softmax import log_softmax, probabilities, sample, softmax
from mlx_spec.machine.kernels.warp import WarpedRows
from mlx_spec.sampling.gumbel import stream_key
from tests import oracle
from tests.machine.kernels.conftest import WARPS, random_rows
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.machine.kernels.emulator.run import REVERSE

SIZES = [
    (37, mx.float32),
    (4_097, mx.float16),
    (32_000, mx.bfloat16),
    (49_152, mx.float32),
    (128_256, mx.bfloat16),
    (151_936, mx.bfloat16),
    (262_144, mx.float16),
]


def keys_of(params: SamplingParams, rows: int) -> list[tuple[int, int]] | None:
    return None if params.greedy else [stream_key(3, i) for i in range(rows)]


@pytest.mark.parametrize(("vocab", "dtype"), SIZES, ids=[str(vocab) for vocab, _ in SIZES])
@pytest.mark.parametrize("params", WARPS, ids=["greedy", "plain", "filtered"])
def test_samples_are_the_fallbacks_and_statistics_are_float64s(
    emulator: Emulator, vocab: int, dtype: mx.Dtype, params: SamplingParams
) -> None:
    rows = random_rows(vocab, 2, vocab, params, dtype)
    expected = sample(rows, keys_of(params, 2))
    with emulated(emulator):
        got = sample(rows, keys_of(params, 2))
    assert got.token_ids.tolist() == expected.token_ids.tolist()
    values = np.array(rows.scores()).astype(np.float64)
    exact = np.log(np.exp(values - values.max(axis=-1, keepdims=True)).sum(axis=-1)) + values.max(axis=-1)
    np.testing.assert_allclose(np.array(got.normalisers), exact, rtol=1e-6, atol=1e-5)
    chosen = values[np.arange(2), got.token_ids.tolist()] - exact
    np.testing.assert_allclose(np.array(got.logprobs), chosen, atol=3e-5)


def test_tens_of_thousands_of_positions_pick_the_fallbacks_token(emulator: Emulator) -> None:
    """What `coupled` compares drafts with: each position's own token, from its own noise."""
    for seed in range(250):
        rows = random_rows(seed, 100, 37 + seed % 5, WARPS[2 if seed % 25 == 0 else 1])
        keys = [stream_key(seed, i) for i in range(100)]
        with emulated(emulator):
            got = sample(rows, keys).token_ids.tolist()
        assert got == sample(rows, keys).token_ids.tolist()


@pytest.mark.parametrize("order", [REVERSE, 2, 3])
@pytest.mark.parametrize("params", WARPS, ids=["greedy", "plain", "filtered"])
def test_the_order_of_threads_does_not_matter(emulator: Emulator, order: int, params: SamplingParams) -> None:
    rows = random_rows(5, 3, 20_001, params)
    with emulated(emulator):
        forward = sample(rows, keys_of(params, 3))
    with emulated(Emulator(order=order)):
        other = sample(rows, keys_of(params, 3))
    assert mx.array_equal(forward.token_ids, other.token_ids)
    assert mx.array_equal(forward.normalisers, other.normalisers)


@pytest.mark.parametrize("params", WARPS[1:], ids=["plain", "filtered"])
def test_no_sanitizer_objects(emulator: Emulator, params: SamplingParams) -> None:
    rows = random_rows(6, 2, 75, params)
    expected = sample(rows, keys_of(params, 2)).token_ids.tolist()
    for build in ("address", "thread"):
        emulator.build = build
        with emulated(emulator):
            assert sample(rows, keys_of(params, 2)).token_ids.tolist() == expected
            np.testing.assert_allclose(np.array(probabilities(rows)).sum(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_filters_keep_what_they_say(emulator: Emulator, dtype: mx.Dtype, seed: int) -> None:
    generator = np.random.default_rng(seed)
    params = SamplingParams(
        temperature=float(generator.choice([0.3, 1.0, 2.0])),
        top_k=int(generator.choice([0, 1, 7, 60])),
        top_p=float(generator.choice([1.0, 0.9, 0.3])),
        min_p=float(generator.choice([0.0, 0.05])),
    )
    rows = random_rows(seed, 4, 700, params, dtype)
    with emulated(emulator):
        got = np.array(probabilities(rows))
    np.testing.assert_allclose(got, np.array(probabilities(rows)), atol=1e-5)
    if dtype == mx.float32:  # half types have ties, of which the oracle keeps one
        for row, logits in zip(got, np.array(rows.logits), strict=True):
            np.testing.assert_allclose(row, oracle.warped(logits, params), atol=1e-5)


def test_ties_with_the_last_token_that_is_kept_stay(emulator: Emulator) -> None:
    logits = mx.array([[2.0, -1.0, 2.0, 2.0, 0.5, -3.0]])
    with emulated(emulator):
        kept = np.array(probabilities(WarpedRows(logits, SamplingParams(temperature=1, top_k=2))))[0] > 0
        negative = WarpedRows(logits - 9, SamplingParams(temperature=1, top_k=4))
        kept_of_negative = np.array(probabilities(negative))[0] > 0
    assert kept.tolist() == [True, False, True, True, False, False]
    assert kept_of_negative.tolist() == [True, False, True, True, True, False]


def test_a_bias_is_added_first(emulator: Emulator) -> None:
    rows = random_rows(1, 2, 50, SamplingParams(temperature=0.5, top_k=3))
    bias = mx.zeros((50,)).at[7].add(100.0).at[8].add(-mx.inf)
    biased = WarpedRows(rows.logits, rows.params, bias)
    with emulated(emulator):
        assert sample(biased, keys_of(rows.params, 2)).token_ids.tolist() == [7, 7]
        assert np.array(probabilities(biased))[:, 8].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
def test_softmax_of_rows_that_break_a_careless_one(emulator: Emulator, dtype: mx.Dtype) -> None:
    huge = {mx.float32: 3e38, mx.float16: 6e4, mx.bfloat16: 3e38}[dtype]
    values = np.full((4, 100), -np.inf, dtype=np.float32)
    values[0, 41] = -5.0  # all but one removed
    values[1] = np.linspace(-huge, huge, 100)
    values[2] = -huge  # flat, and far below zero
    values[3] = np.linspace(-1, 1, 100)
    logits = mx.array(values).astype(dtype)
    exact = np.array(logits.astype(mx.float32)).astype(np.float64)
    exact = exact - exact.max(axis=-1, keepdims=True)
    exact = exact - np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    with emulated(emulator):
        got, logs = np.array(softmax(logits)), np.array(log_softmax(logits))
        halves = softmax(logits, mx.bfloat16)
    np.testing.assert_allclose(got, np.exp(exact), atol=1e-6)
    finite = exact > -1e30
    np.testing.assert_allclose(logs[finite], exact[finite], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.array(softmax(logits)), np.exp(exact), atol=1e-6)
    assert halves.dtype == mx.bfloat16
    assert mx.allclose(halves.astype(mx.float32), mx.array(got), atol=4e-3).item()


def test_rows_without_a_number_are_found_out(emulator: Emulator) -> None:
    values = np.zeros((3, 40), dtype=np.float32)
    values[0, 5], values[1, :] = np.nan, -np.inf
    with emulated(emulator):
        got = sample(WarpedRows(mx.array(values), SamplingParams(temperature=1, top_k=9)), [(1, 1)] * 3)
    assert np.isfinite(np.array(got.logprobs)).tolist() == [False, False, True]
    assert all(0 <= token_id < 40 for token_id in got.token_ids.tolist())


@pytest.mark.parametrize("params", WARPS[1:], ids=["plain", "filtered"])
def test_the_samples_follow_the_distribution(emulator: Emulator, params: SamplingParams) -> None:
    row = random_rows(9, 1, 12, params).logits
    rows = WarpedRows(mx.repeat(row, 100, axis=0), params)
    counts = np.zeros(12)
    with emulated(emulator):
        for seed in range(60):
            drawn = sample(rows, [stream_key(seed, i) for i in range(100)])
            counts += np.bincount(np.array(drawn.token_ids), minlength=12)
    p = oracle.warped(np.array(row[0]), params)
    assert (counts[p == 0] == 0).all()
    assert stats.chisquare(counts[p > 0], p[p > 0] / p.sum() * 6000).pvalue > 1e-3


def test_the_logits_are_read_once(emulator: Emulator) -> None:
    """Of one row of a wide vocabulary: the statistics and the sample take one read, and the one token's logit."""
    rows = random_rows(2, 1, 151_936, SamplingParams(temperature=1.0), mx.bfloat16)
    emulator.counted = {"row_partials": ("logits",), "row_finish": ("logits",)}
    with emulated(emulator):
        sample(rows, [(1, 2)])
    assert emulator.launched == ["row_partials", "row_finish"]
    assert 1.0 <= emulator.bytes_read / (151_936 * 2) <= 1.05


def test_filters_read_as_often_as_documented(emulator: Emulator) -> None:
    params = SamplingParams(temperature=1.0, top_k=40)
    rows = random_rows(2, 1, 32_000, params, mx.bfloat16)
    emulator.counted = {"row_thresholds": ("logits",)}
    with emulated(emulator):
        sample(rows, [(1, 2)])
    assert emulator.bytes_read == 5 * 32_000 * 2  # the maximum, and four bits of sixteen at a time
    assert row_softmax.PARTIALS.name in emulator.launched


@pytest.mark.parametrize("params", WARPS, ids=["greedy", "plain", "filtered"])
def test_a_rows_bits_are_its_own(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, params: SamplingParams) -> None:
    """Its token, its probability and its normaliser, beside 0 to 15 others, where a row is split over threadgroups."""
    monkeypatch.setattr("mlx_spec.machine.kernels.row_softmax._PARTIAL_TOKENS", 40)
    rows = random_rows(5, 16, 150, params)
    keys = [(at, 7) for at in range(16)]
    with emulated(emulator):
        alone = [sample(rows.row(at), keys[at : at + 1]) for at in range(16)]
        for count in (2, 5, 6, 16):
            together = sample(replace(rows, logits=rows.logits[:count]), keys[:count])
            for name in ("token_ids", "logprobs", "normalisers"):
                expected = mx.concatenate([getattr(one, name) for one in alone[:count]])
                assert mx.array_equal(getattr(together, name), expected), name
