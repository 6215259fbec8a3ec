"""Tokens of many answers are scored in one pass, and each answer gets the bits that it gets alone."""

import random
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.cache import ConcatenateKVCache, QuantizedKVCache

from mlx_spec.acceptance.tree import TokenTree, tree_of
from mlx_spec.decoding.cache import together
from mlx_spec.decoding.cache.cached_model import CachedModel
from mlx_spec.decoding.cache.passes.apart import Apart
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.together import Part, read_together, score_together
from mlx_spec.models.memory import rows_are_independent
from mlx_spec.models.taps import LAST
from tests.tiny import tiny_llama
from tests.zoo import ARCHITECTURES, VOCAB, WINDOW, zoo_model

TREE = tree_of((0, 0, 1, 1, 2))


def same(one: mx.array, other: mx.array, rounding: float = 1e-4) -> None:
    """Bit for bit where rows do not see each other, but for rounding elsewhere."""
    if rows_are_independent():
        np.testing.assert_array_equal(np.array(one), np.array(other))
    else:
        np.testing.assert_allclose(np.array(one), np.array(other), rtol=rounding, atol=rounding)


def placement_of(tree: TokenTree) -> Placement:
    return Placement(tree.depth_row, tree.depth_row, tree.seen)


class Twin:
    """An answer twice: one is scored with others, one alone; and what both were told to keep."""

    def __init__(self, model: nn.Module, prompt: list[int], listen_to: tuple[int, ...] = ()) -> None:
        self.ours, self.alone = (CachedModel(model, "zoo", speculative=True, listen_to=listen_to) for _ in range(2))
        for cached in (self.ours, self.alone) if prompt else ():
            cached.prefill(prompt[:-1] or prompt)
            cached.score(mx.array(prompt[-1:]), kept=1)  # the first of a model, which is made alone

    def part(self, token_ids: list[int], tree: TokenTree | None = None) -> Part:
        return Part(self.ours, mx.array(token_ids), 1, placement_of(tree) if tree else None)

    def expected(self, part: Part) -> mx.array:
        return self.alone.score(part.token_ids, kept=1, placement=part.placement)

    def keep(self, scored: int, path: list[int], tree: TokenTree | None) -> None:
        for cached in (self.ours, self.alone):
            if tree:
                cached.choose([node - 1 for node in path])
            else:
                cached.forget(scored - 1 - len(path))


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_scores_many_as_it_scores_each(name: str) -> None:
    """Answers of all lengths, that draft as they like, take trees where they can, join, leave, and lose some tokens."""
    model, draw = zoo_model(name), random.Random(5)
    begun = [Twin(model, draw.choices(range(VOCAB), k=length)) for length in (3, 3 * WINDOW + 1, WINDOW, 1)]
    takes_trees = begun[0].ours.takes_trees()
    for turn in range(7):
        here = [twin for at, twin in enumerate(begun) if (turn + at) % 4 or turn == 2]
        trees = [TREE if takes_trees and draw.random() < 0.4 else None for _ in here]
        counts = [TREE.size + 1 if tree else draw.choice([1, 1, 2, 4]) for tree in trees]
        parts = [twin.part(draw.choices(range(VOCAB), k=n), t) for twin, n, t in zip(here, counts, trees, strict=True)]
        for twin, part, scored in zip(here, parts, score_together(parts), strict=True):
            same(scored, twin.expected(part))
        for twin, count, tree in zip(here, counts, trees, strict=True):
            path = draw.choice([[], [2, 5], [1, 3], [1]]) if tree else list(range(1, draw.randint(1, count)))
            twin.keep(count, path, tree)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_reads_many_prompts_as_it_reads_each(name: str) -> None:
    model, draw = zoo_model(name), random.Random(6)
    begun = [Twin(model, draw.choices(range(VOCAB), k=length)) for length in (2, 1, 0, 0)]
    built = []
    for counts in ((9, 5, 2 * WINDOW + 3, 1), (1, 0, 4, WINDOW)):
        here = [(twin, draw.choices(range(VOCAB), k=n)) for twin, n in zip(begun, counts, strict=True) if n]
        read_together([twin.part(ids) for twin, ids in here], lambda: built.append(1))
        for twin, ids in here:
            twin.alone.prefill(ids)
    assert len(built) == 2, "the host has something to do meanwhile, once a pass"
    for twin in begun:
        part = twin.part(draw.choices(range(VOCAB), k=3))
        same(twin.ours.score(part.token_ids, kept=1), twin.expected(part))


def test_prompts_are_read_together_as_far_as_passes_may_be_wide() -> None:
    """Of rows that may see each other there are no more than that, but where one prompt alone has more."""
    model = tiny_llama(1)
    passes: list[int] = []
    every = [CachedModel(model, "tiny", speculative=True, listen_to=(0,), widest=8) for _ in range(4)]
    scored = together._scored
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "_scored", lambda parts, *how: passes.append(len(parts)) or scored(parts, *how))
        read_together([Part(one, mx.arange(n)) for one, n in zip(every, (5, 12, 3, 4), strict=True)], lambda: None)
    assert passes == [1, 2, 1], "twelve; five and three; four"
    assert [one.features.shape[0] for one in every if one.features is not None] == [5, 12, 3, 4]


def test_each_hears_the_layers_that_it_listens_to() -> None:
    model = tiny_llama(1, layers=3)
    twins = [
        Twin(model, [1, 2, 3], (1, LAST)),
        Twin(model, [4]),
        Twin(model, [5, 6], (0,)),
        Twin(model, [7], (LAST, 1)),
    ]
    parts = [twin.part(token_ids) for twin, token_ids in zip(twins, ([9], [8, 7], [6, 5, 4], [3]), strict=True)]
    for twin, part, scored in zip(twins, parts, score_together(parts), strict=True):
        same(scored, twin.expected(part))
        assert (twin.ours.features is None) == (twin.alone.features is None)
        if twin.ours.features is not None:
            same(twin.ours.features, twin.alone.features)


class _Alone(nn.Module):
    """A model that takes no rows of many answers."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    @property
    def layers(self) -> list[nn.Module]:
        return self.inner.layers

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        if isinstance(cache[0], Apart):
            raise TypeError("of its own code")
        return self.inner(inputs, cache)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of answers of the passes that were made over several."""
    counts: list[int] = []
    made = together.ragged_passes

    def passes(model: Any) -> Any:
        class Counting:
            def run(self, parts: Any, *given: Any, **how: Any) -> Any:
                counts.append(len(parts))
                return made(model).run(parts, *given, **how)

        return Counting()

    monkeypatch.setattr(together, "ragged_passes", passes)
    return counts


def test_parts_of_several_models_are_a_pass_for_each(counted: list[int]) -> None:
    one, other, third = tiny_llama(1), tiny_llama(2), _Alone(tiny_llama(3))
    twins = [Twin(model, [1, 2, 3]) for model in (one, other, one, third, other, one, third)]
    parts = [twin.part([4, 5]) for twin in twins]
    for twin, part, scored in zip(twins, parts, score_together(parts), strict=True):
        same(scored, twin.expected(part))
    assert counted == [3, 2]


def test_those_that_are_not_compiled_are_a_pass_of_their_own(counted: list[int]) -> None:
    """As the first token of a text, and more rows than graphs are kept for: in half precision their bits differ."""
    model = _half(tiny_llama(1), mx.float16)
    twins = [Twin(model, prompt) for prompt in ([1, 2], [], [3], [], [4, 5], [6])]
    wide = [list(range(50)), list(range(60))]
    for passes in ([2, 4], [2, 4, 4, 2]):
        read = [[7], [8], [9], [9, 9], *wide]
        parts = [twin.part(token_ids) for twin, token_ids in zip(twins, read, strict=True)]
        for twin, part, scored in zip(twins, parts, score_together(parts), strict=True):
            same(scored.astype(mx.float32), twin.expected(part).astype(mx.float32))
        assert counted == passes


def test_a_models_first_pass_is_made_alone(counted: list[int]) -> None:
    """It shows whether the model's passes can be compiled, which decides their bits."""
    model = tiny_llama(1)
    cached = [CachedModel(model, "tiny", speculative=True) for _ in range(3)]
    for one in cached:
        one.prefill([1, 2])
    for passes in ([], [3]):
        score_together([Part(one, mx.array([3]), 1) for one in cached])
        assert counted == passes


def test_one_alone_is_scored_as_ever(counted: list[int]) -> None:
    twin = Twin(tiny_llama(1), [1, 2, 3])
    part = twin.part([4])
    same(score_together([part])[0], twin.expected(part))
    assert counted == []
    assert score_together([]) == []


def test_what_others_say_changes_no_bit_of_a_row() -> None:
    if not rows_are_independent():
        pytest.skip("a row depends on the width of its pass with this BLAS")
    model = tiny_llama(3)
    found = []
    for neighbour in ([5, 6, 7], [200, 1, 250]):
        twins = [Twin(model, [1, 2, 3]), Twin(model, neighbour)]
        found.append(score_together([twins[0].part([4, 5]), twins[1].part(neighbour)])[0])
    assert mx.array_equal(*found).item()


def _half(model: nn.Module, dtype: mx.Dtype) -> nn.Module:
    model.set_dtype(dtype)
    return model


def _quantised(model: nn.Module) -> nn.Module:
    nn.quantize(model, group_size=32, bits=4, class_predicate=lambda _, layer: _takes_groups(layer))
    return model


def _takes_groups(layer: nn.Module) -> bool:
    return hasattr(layer, "to_quantized") and layer.weight.shape[-1] % 32 == 0


class _Caches(nn.Module):
    """A model with caches of another kind than its own."""

    def __init__(self, inner: nn.Module, kind: Any) -> None:
        super().__init__()
        self.inner, self._kind = inner, kind

    @property
    def layers(self) -> list[nn.Module]:
        return self.inner.layers

    def make_cache(self) -> list[Any]:
        return [self._kind() for _ in self.layers]

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        return self.inner(inputs, cache)


MADE: dict[str, Any] = {
    "float16": lambda: _half(zoo_model("llama"), mx.float16),
    "bfloat16": lambda: _half(zoo_model("gemma3"), mx.bfloat16),
    "4 bit": lambda: _quantised(zoo_model("qwen3_moe")),
    "4 bit in bfloat16": lambda: _half(_quantised(zoo_model("llama")), mx.bfloat16),
    "keys in 8 bit": lambda: _Caches(tiny_llama(1, hidden=128), lambda: QuantizedKVCache(group_size=32, bits=8)),
    "keys in one array": lambda: _Caches(tiny_llama(1), ConcatenateKVCache),
}


@pytest.mark.parametrize("made", MADE)
def test_other_precisions_and_caches_have_their_bits_too(made: str) -> None:
    """With 16 answers, so that experts see rows enough to sort them first."""
    model, draw = MADE[made](), random.Random(9)
    # The rounding of another width may make a key the next of its 256 steps.
    rounding = 2e-2 if made == "keys in 8 bit" else 1e-4
    twins = [Twin(model, draw.choices(range(VOCAB), k=draw.randint(1, 20))) for _ in range(16)]
    for _ in range(3):
        counts = [draw.randint(1, 6) for _ in twins]
        parts = [twin.part(draw.choices(range(VOCAB), k=n)) for twin, n in zip(twins, counts, strict=True)]
        for twin, part, scored in zip(twins, parts, score_together(parts), strict=True):
            same(scored.astype(mx.float32), twin.expected(part).astype(mx.float32), rounding)
        for twin, count in zip(twins, counts, strict=True):
            twin.keep(count, list(range(1, draw.randint(1, count))), None)
