"""Graphs of passes over many answers: kept when they have come a few times, with the bits of those built anew."""

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import make_prompt_cache

from mlx_spec.decoding.cache.passes import shared_compiled
from mlx_spec.decoding.cache.passes.forward import run
from mlx_spec.decoding.cache.passes.ragged import RaggedPart, ragged_passes
from mlx_spec.decoding.cache.passes.ragged_trial import ragged_way
from tests.tiny import tiny_pair

PROMPTS = [[1, 2, 3, 4, 5], [5, 3, 2], [2, 4, 1, 1, 3, 5, 2, 4, 1]]


def begun(model: Any) -> list[list[Any]]:
    """The caches of each answer, behind its prompt."""
    every = [make_prompt_cache(model) for _ in PROMPTS]
    for held, prompt in zip(every, PROMPTS, strict=True):
        mx.eval(run(model, mx.array(prompt), held, None).logits)
    return every


def rounds(model: Any, counts: list[int], times: int, layers: tuple[int, ...] = ()) -> list[mx.array]:
    """What so many passes say, of so many rows for each answer; all of it is kept."""
    every, said = begun(model), []
    for turn in range(times):
        parts = [
            RaggedPart((mx.arange(count) + turn + at) % 6, held)
            for at, (count, held) in enumerate(zip(counts, every, strict=True))
        ]
        for scored in ragged_passes(model).run(parts, "attention", layers, in_slots=True):
            said += [scored.logits] if scored.features is None else [scored.logits, scored.features]
        mx.eval(said)
    return said


@pytest.fixture
def model() -> Any:
    target = tiny_pair().target
    assert ragged_way(target) == "attention"
    assert ragged_passes(target).shares
    return target


@pytest.mark.parametrize("counts", [[1, 1, 1], [2, 2, 2], [1, 3, 2]])
@pytest.mark.parametrize("layers", [(), (0, 1)])
def test_a_pass_that_is_replayed_says_what_one_says_that_is_built(
    model: Any, monkeypatch: pytest.MonkeyPatch, counts: list[int], layers: tuple[int, ...]
) -> None:
    replayed = rounds(model, counts, 8, layers)
    assert len(ragged_passes(model)._graphs._graphs) == 1
    monkeypatch.setattr(shared_compiled, "_TIMES", 1_000)
    del vars(model)["_lookahead_ragged_passes"]
    ragged_passes(model).shares = True
    built = rounds(model, counts, 8, layers)
    assert not ragged_passes(model)._graphs._graphs
    assert all(mx.array_equal(one, other).item() for one, other in zip(replayed, built, strict=True))


def test_what_comes_twice_is_not_worth_a_graph(model: Any) -> None:
    rounds(model, [1, 2, 1], 2)
    assert not ragged_passes(model)._graphs._graphs


def test_few_graphs_are_kept(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_compiled, "_MOST_GRAPHS", 2)
    for count in (1, 2, 3):
        rounds(model, [count] * 3, 3)
    assert len(ragged_passes(model)._graphs._graphs) == 2


def test_where_a_graph_cannot_be_traced_passes_are_built(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> Any:
        raise ValueError("of the model's own code")

    expected = rounds(model, [1, 1, 1], 5)
    del vars(model)["_lookahead_ragged_passes"]
    ragged_passes(model).shares = True
    monkeypatch.setattr(mx, "compile", lambda *_, **__: refused)
    said = rounds(model, [1, 1, 1], 5)
    assert all(mx.array_equal(one, other).item() for one, other in zip(said, expected, strict=True))
