"""Counters: what they mean, and reading them from another thread."""

import threading

from mlx_spec.decoding.tally import StatsCounter
from mlx_spec.events import SpeculativeStats


def test_rates_mean_what_the_glossary_says() -> None:
    stats = SpeculativeStats(
        draft_tokens=20,
        tested_tokens=10,
        accepted_tokens=6,
        rounds=5,
        target_forward_passes=5,
        total_tokens_generated=11,
        total_time_ms=550.0,
        plain_step_ms=100.0,
    )
    assert stats.acceptance_rate == 0.6
    assert stats.mean_tokens_per_pass == stats.mean_accepted_length == 2.2
    assert stats.target_passes_saved == 6
    assert stats.tokens_per_second == 20.0
    assert stats.speedup == 2.0
    assert stats.to_dict()["speedup"] == 2.0


def test_nothing_counted_is_zero_and_no_guess() -> None:
    stats = SpeculativeStats()
    assert stats.acceptance_rate == stats.mean_tokens_per_pass == stats.tokens_per_second == 0
    assert stats.speedup is None


def test_snapshots_are_of_one_instant() -> None:
    counter = StatsCounter()
    writer = threading.Thread(
        target=lambda: [counter.add(SpeculativeStats(rounds=1, draft_tokens=4)) for _ in range(3000)]
    )
    writer.start()
    while writer.is_alive():
        seen = counter.snapshot()
        assert seen.draft_tokens == 4 * seen.rounds
    writer.join()
    counter.add(SpeculativeStats(plain_step_ms=7.0))
    counter.add(SpeculativeStats(prompt_tokens=9, cached_tokens=4))
    counter.add(SpeculativeStats(prompt_tokens=1))
    told = counter.snapshot().to_dict()
    assert (told["prompt_tokens"], told["cached_tokens"]) == (10, 4)
    assert counter.reset().rounds == 3000
    assert counter.snapshot() == SpeculativeStats(plain_step_ms=7.0)
