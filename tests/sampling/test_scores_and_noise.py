"""Logits to scores, and counter-based noise."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlx_spec.config import SamplingParams
from mlx_spec.sampling.distribution import log_normaliser, scores
from mlx_spec.sampling.gumbel import NoiseTable, Stream, noise, sample, stream_key, stream_uniform, threefry
from tests import oracle


def test_threefry_is_the_generator_behind_mx_random() -> None:
    key = mx.array([123, 456], dtype=mx.uint32)
    words = mx.random.split(key, 4).reshape(-1).tolist()
    assert [threefry((123, 456), (i, i + 4)) for i in range(4)] == list(zip(words[:4], words[4:], strict=True))


def test_threefry_known_answer() -> None:
    """The all-zero vector published with Random123 for 20 rounds."""
    assert threefry((0, 0), (0, 0)) == (0x6B200159, 0x99BA4EFE)


@pytest.mark.parametrize("vocab", [1, 2, 37, 4097, 49152])
def test_noise_is_a_function_of_seed_position_and_token(vocab: int) -> None:
    row = noise(5, 17, vocab)
    assert row.shape == (vocab,)
    assert mx.array_equal(row, noise(5, 17, vocab))
    assert not mx.array_equal(row, noise(5, 18, vocab))
    assert not mx.array_equal(row, noise(6, 17, vocab))
    assert mx.all(mx.isfinite(row)).item()


def test_noise_is_gumbel() -> None:
    values = np.concatenate([np.array(noise(1, position, 20_000)) for position in range(5)])
    assert stats.kstest(values, "gumbel_r").pvalue > 1e-3


def test_noise_matches_float64_from_the_same_bits() -> None:
    key = mx.array(stream_key(9, 4), dtype=mx.uint32)
    bits = np.array(mx.random.split(key, 500).reshape(-1)).astype(np.float64)
    exact = -np.log(-np.log1p(-(bits + 0.5) / 2.0**32))
    np.testing.assert_allclose(np.array(noise(9, 4, 1000)), exact, atol=2e-5)


def test_streams_and_salts_are_independent() -> None:
    keys = {stream_key(1, 2, stream, salt) for stream in Stream for salt in range(3)}
    assert len(keys) == len(Stream) * 3


def test_large_seeds_and_positions_count() -> None:
    assert stream_key(2**62, 0) != stream_key(0, 0)
    assert stream_key(1, 2**33) != stream_key(1, 0)


def test_uniforms_are_uniform() -> None:
    draws = [stream_uniform(3, position, Stream.ACCEPT) for position in range(5000)]
    assert min(draws) >= 0
    assert max(draws) < 1
    assert stats.kstest(draws, "uniform").pvalue > 1e-3


def test_noise_table_hands_out_the_same_rows_and_forgets() -> None:
    table = NoiseTable(7, 11)
    rows = table.rows(3, 4)
    assert mx.array_equal(rows[2], noise(7, 5, 11))
    table.forget_before(5)
    assert mx.array_equal(table.row(5), noise(7, 5, 11))


def test_sample_is_an_exact_sample() -> None:
    p = np.array([0.5, 0.25, 0.2, 0.05, 0.0])
    draws = np.bincount([sample(mx.array(p), seed, 3) for seed in range(4000)], minlength=5)
    assert draws[4] == 0
    assert stats.chisquare(draws[:4], p[:4] * 4000).pvalue > 1e-3


@settings(max_examples=150, deadline=None)
@given(
    logits=st.lists(st.integers(-60, 60), min_size=2, max_size=40, unique=True),
    temperature=st.sampled_from([0.3, 0.7, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 3, 100]),
    top_p=st.sampled_from([1.0, 0.95, 0.6, 0.1]),
    min_p=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)
def test_scores_are_the_warped_distribution(
    logits: list[int], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    values = np.array(logits) / 7.0
    got = oracle.softmax(np.array(scores(mx.array(values), params)).astype(np.float64))
    np.testing.assert_allclose(got, oracle.warped(values.astype(np.float32), params), atol=2e-5)


def test_filters_keep_ties_and_at_least_one_token() -> None:
    flat = scores(mx.zeros((4,)), SamplingParams(temperature=1, top_p=0.01))
    assert mx.all(mx.isfinite(flat)).item()
    peaked = scores(mx.array([0.0, 50.0, 1.0]), SamplingParams(temperature=1, top_p=0.01, top_k=1, min_p=1.0))
    assert mx.isfinite(peaked).tolist() == [False, True, False]


def test_scores_at_temperature_zero_are_the_logits() -> None:
    logits = mx.array([[1.0, 5.0, 2.0]])
    assert mx.array_equal(scores(logits, SamplingParams(top_k=1, top_p=0.1)), logits)


def test_half_types_are_widened() -> None:
    assert scores(mx.zeros((3,), dtype=mx.bfloat16), SamplingParams(temperature=0.5)).dtype == mx.float32


@pytest.mark.parametrize("shift", [0.0, 5000.0, -5000.0])
def test_log_normaliser(shift: float) -> None:
    rows = mx.random.normal((3, 1000), key=mx.random.key(1)) * 5 + shift
    np.testing.assert_allclose(np.array(log_normaliser(rows)), np.array(mx.logsumexp(rows, axis=-1)), rtol=1e-5)


def test_log_normaliser_of_filtered_and_broken_rows() -> None:
    rows = mx.array([[-np.inf, 2.0, -np.inf], [np.nan, 0.0, 0.0]], dtype=mx.float32)
    filtered, broken = log_normaliser(rows).tolist()
    assert filtered == 2.0
    assert np.isnan(broken)
