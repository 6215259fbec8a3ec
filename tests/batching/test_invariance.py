"""A part of `make invariance`: each of a crowd has the ids that it has alone. And no row sees another's content."""

from collections import Counter
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams
from mlx_spec.batching import BatchSettings
from mlx_spec.decoding import phases
from mlx_spec.models.memory import rows_are_independent
from tests.batching.asked import BLOCK, Asked, batch_of, run
from tests.batching.invariance import NUMBERS, TEMPERATURES, Case, Numbers, cases, found, pair_for
from tests.zoo import ARCHITECTURES, VOCAB

pytestmark = pytest.mark.usefixtures("small_chunks")

ROOMY = 1_000


def test_all_families_temperatures_and_ways_are_gone_through() -> None:
    every = list(cases())
    assert len(set(every)) == (2 * 2 + 1) * len(ARCHITECTURES) * len(TEMPERATURES) * 2
    assert len(ARCHITECTURES) >= 25


def test_each_of_a_crowd_has_the_ids_that_it_has_alone() -> None:
    """A family of each kind of cache; every temperature, both ways of stepping aside; strict where a pass over several
    tokens of a model rounds otherwise than single ones."""
    total: Counter[str] = Counter()
    chosen = [
        Case("llama", "float32", 0.0, "recompute", "fast"),
        Case("gemma3", "float32", 0.7, "swap", "fast"),
        Case("mamba2", "float32", 1.2, "recompute", "fast"),
        Case("qwen3_next", "float32", 0.7, "recompute", "fast"),
        Case("llama4", "float32", 0.7, "swap", "fast"),
        Case("deepseek_v3", "bfloat16", 0.7, "swap"),
    ]
    for case in chosen:
        one = found(case)
        assert one.different == (), case
        total += one.seen
    assert min(total[what] for what in ("preempted", "waited", "shared", "cancelled", "drafted", "accepted")) > 0, total
    assert total["cancelled"] == 2 * len(chosen)


@pytest.mark.skipif(not rows_are_independent(), reason="bits depend on how wide a pass is")
@pytest.mark.parametrize("numbers", ["bfloat16", "4bit"])
def test_in_fewer_bits_too(numbers: Numbers) -> None:
    assert found(Case("llama", numbers, 0.7, "recompute")).different == ()


@pytest.mark.in_turn
@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("name", ["llama", "gemma3", "mamba2", "qwen3_next", "mixtral"])
def test_anothers_content_changes_no_bit_of_a_row(name: str, numbers: Numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passes have the same widths, so this holds also where rows depend on these."""
    pair, scored = pair_for(name, numbers), phases._scored
    rows: list[bytes] = []

    def heard(rounds: Any) -> list[mx.array]:
        every = scored(rounds)
        for (answer, _), logits in zip(rounds, every, strict=True):
            if answer is batch._seats["0"].answer:
                rows.append(bytes(memoryview(mx.contiguous(logits).view(mx.uint8))))
        return every

    monkeypatch.setattr(phases, "_scored", heard)
    told = []
    for content in (3, 3, 50):  # with the first the model is tried, and its rows have passes of their own
        asked = [
            Asked(
                tuple((first + at * at) % VOCAB for at in range(length)),
                SamplingParams(temperature=0.7, seed=first),
                tokens,
                "none",
            )
            for first, length, tokens in ((1, 20, 12), (content, 3 * BLOCK + 1, 12), (content + 1, 5, 12))
        ]
        batch = batch_of(pair, ROOMY, BatchSettings(), keeps=False)
        rows.clear()
        told.append(run(batch, asked).ids("1"))
        told.append(tuple(rows))
    assert told[2] != told[4], "the content differs"
    assert len(told[3]) == 12
    assert told[3] == told[5]
