"""Passes over blocks say what passes over a model's own caches say, copy nothing that grows, and share."""

import random
from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.cache import RotatingKVCache, make_prompt_cache

from mlx_spec.acceptance.tree import tree_of
from mlx_spec.decoding.cache.paged.arrays import LayerBlocks
from mlx_spec.decoding.cache.paged.table import BlockTable
from mlx_spec.decoding.cache.passes import paged_keys, paged_trial
from mlx_spec.decoding.cache.passes.dividing import Depth
from mlx_spec.decoding.cache.passes.paged import BlockCache, block_caches, num_block_layers, run_paged
from mlx_spec.decoding.cache.passes.paged_trial import blocks_agree
from mlx_spec.decoding.cache.passes.placement import Placement
from mlx_spec.decoding.cache.passes.ragged import RaggedPart, ragged_passes
from mlx_spec.decoding.cache.rollback import Rollback
from mlx_spec.machine.kernels.paged_attention import paged_attention
from mlx_spec.models.memory import rows_are_independent
from tests.decoding.cache.blocks.counted import CountedBlocks
from tests.decoding.cache.passes.test_tree_passes import TAKES_TREES, Caches
from tests.machine.kernels.conftest import emulator  # noqa: F401
from tests.machine.kernels.emulator.launches import Emulator, emulated
from tests.tiny import TINY_VOCAB, tiny_llama
from tests.zoo import ARCHITECTURES, VOCAB, WINDOW, zoo_model

OVER_BLOCKS: Final = {
    "llama", "qwen2", "qwen3", "mistral", "ministral3", "gemma3", "gpt_oss", "phi3", "mixtral", "qwen3_moe", "afm7",
    # The layers that attend; the others keep their states.
    "qwen3_next", "nemotron_h", "falcon_h1", "recurrent_gemma", "baichuan_m1", "lfm2",
    # The layers that see everything; those that see a chunk keep their caches.
    "llama4",
}  # fmt: skip
KEEP_THEIR_OWN: Final = {
    "gemma2": "it attends in a way of its own, with capped scores",
    "deepseek_v3": "latent attention computes with its keys",
    "deepseek_v32": "latent attention computes with its keys",
    "longcat_flash": "latent attention computes with its keys",
    "deepseek_v41": "one cache of its own kind",
    "mamba": "no attention",
    "mamba2": "no attention",
}
SIZE: Final = 16
TREE = tree_of((0, 0, 1, 1, 2, 3, 3, 6))
PLACEMENT = Placement(TREE.depth_row, TREE.depth_row, TREE.seen)


class Held:
    """A pool of a model's, and answers over it."""

    def __init__(self, model: nn.Module, num_blocks: int = 40, seed: int | None = 3, size: int = SIZE) -> None:
        self.model, self.pool, self.size = model, CountedBlocks(num_blocks, seed), size
        self.layers = [LayerBlocks(num_blocks, size) for _ in range(num_block_layers(make_prompt_cache(model)))]

    def table(self) -> BlockTable:
        return BlockTable(self.pool, self.layers, self.size)

    def caches(self, table: BlockTable | None = None, offset: int = 0) -> list[Any]:
        return block_caches(make_prompt_cache(self.model), table or self.table(), self.layers, offset)


def scored(model: nn.Module, token_ids: Sequence[int], caches: list[Any], placement: Placement | None = None) -> Any:
    return np.array(run_paged(model, mx.array(token_ids), caches, placement=placement).logits)


def whole(model: nn.Module, text: Sequence[int], newest: int) -> np.ndarray:
    """What the model says after each of the newest tokens, one pass over all of the text."""
    return np.array(model(mx.array([text]), cache=make_prompt_cache(model))[0, -newest:])


def test_each_architecture_is_on_one_side_of_the_table() -> None:
    assert not OVER_BLOCKS & set(KEEP_THEIR_OWN)
    assert OVER_BLOCKS | set(KEEP_THEIR_OWN) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_which_architectures_go_over_blocks_is_found_out_by_trying(name: str) -> None:
    assert blocks_agree(zoo_model(name)) == (name in OVER_BLOCKS)


@pytest.mark.parametrize("name", sorted(OVER_BLOCKS))
def test_rounds_over_blocks_say_what_the_text_says(name: str) -> None:
    """Of rounds that keep some of what they scored, over several blocks and windows."""
    model, draw = zoo_model(name), random.Random(7)
    caches = Held(model).caches()
    rollback = Rollback(caches, name)
    text = [draw.randrange(VOCAB) for _ in range(2 * WINDOW + 3)]
    rollback.begin(mx.array(text), len(text))
    scored(model, text, caches)
    behind: list[int] = []
    for width in (1, 4, 7, 2, 9, 1, 8, 3):
        drafted = [draw.randrange(VOCAB) for _ in range(width)]
        rollback.begin(mx.array(behind + drafted), len(behind) + 1)
        rows = scored(model, behind + drafted, caches)[len(behind) :]
        np.testing.assert_allclose(rows, whole(model, text + drafted, width), rtol=2e-3, atol=2e-3)
        kept = draw.randrange(1, width + 1)
        left = rollback.forget(width - kept)
        behind = [] if left is None else left.tolist()
        text += drafted[:kept]
        assert all(cache.offset == len(text) for cache in caches if isinstance(cache, BlockCache) and not behind)


@pytest.mark.parametrize("name", sorted(OVER_BLOCKS & TAKES_TREES))
def test_trees_over_blocks_keep_the_path_that_is_chosen(name: str) -> None:
    model, draw = zoo_model(name), random.Random(8)
    caches = Held(model).caches()
    rollback = Rollback(caches, name)
    text = [draw.randrange(VOCAB) for _ in range(2 * WINDOW + 3)]
    scored(model, text[:-1], caches)
    for path in ([2, 5], [1, 3, 6, 8], [], [1], [1, 4], [2, 5]):
        token_ids = draw.sample(range(VOCAB), TREE.size)
        rollback.begin(mx.array([text[-1], *token_ids]), 1)
        rows = scored(model, [text[-1], *token_ids], caches, PLACEMENT)
        for node in (0, *range(1, TREE.size + 1)):
            way = [token_ids[ancestor - 1] for ancestor in TREE.path(node)]
            np.testing.assert_allclose(rows[node], whole(model, text + way, 1)[0], rtol=2e-3, atol=2e-3)
        rollback.choose([node - 1 for node in path])
        text += [token_ids[node - 1] for node in path] + [draw.randrange(VOCAB)]
    np.testing.assert_allclose(scored(model, text[-1:], caches), whole(model, text, 1), rtol=2e-3, atol=2e-3)


def test_a_tree_grows_by_several_passes() -> None:
    model, tree = tiny_llama(2), tree_of((0, 0, 1, 1, 2, 2))
    caches = Held(model).caches()
    rollback = Rollback(caches, "tiny")
    text, token_ids = list(range(1, 16)), [5, 6, 7, 8, 9, 10]
    rollback.begin(mx.array(text), len(text))
    scored(model, text, caches)
    depths, rows = tree.depth_row[1:] - 1, []
    for first, last in ((0, 2), (2, 6)):
        placement = Placement(depths[first:last], depths[:last], tree.seen[1 + first : 1 + last, 1 : 1 + last])
        rollback.begin(mx.array(token_ids[first:last]), 0)
        rows.extend(scored(model, token_ids[first:last], caches, placement))
    for node in range(1, 7):
        way = [token_ids[ancestor - 1] for ancestor in tree.path(node)]
        np.testing.assert_allclose(rows[node - 1], whole(model, text + way, 1)[0], rtol=1e-3, atol=1e-3)
    rollback.choose([1, 4])
    np.testing.assert_allclose(scored(model, [11], caches), whole(model, [*text, 6, 9, 11], 1), rtol=1e-3, atol=1e-3)


def test_answers_share_a_text_until_they_write() -> None:
    model = tiny_llama(4)
    held = Held(model)
    text = list(range(1, 41))  # two blocks and a half
    first = held.table()
    caches = held.caches(first)
    scored(model, text, caches)
    second = first.shared()
    others = held.caches(second, offset=len(text))
    assert len(+held.pool.held) == 3
    mine, theirs = [7, 8], [9, 10, 11]
    expected = [whole(model, text + tail, len(tail)) for tail in (mine, theirs)]
    np.testing.assert_allclose(scored(model, theirs, others), expected[1], atol=1e-3)
    assert len(+held.pool.held) == 4
    assert first.blocks[:2] == second.blocks[:2]
    np.testing.assert_allclose(scored(model, mine, caches), expected[0], atol=1e-3)
    for table, cache in ((first, caches), (second, others)):
        cache[0].cut(len(text))
        cache[1].cut(len(text))
        assert len(table.blocks) == 3
    np.testing.assert_allclose(scored(model, theirs, caches), expected[1], atol=1e-3)
    first.release()
    second.release()
    assert not +held.pool.held


def test_a_text_that_is_shared_is_not_copied_again() -> None:
    model = tiny_llama(4)
    held, own = Held(model), make_prompt_cache(model)
    text = list(range(1, 41))
    mx.eval(model(mx.array([text]), cache=own))
    first = held.table()
    block_caches(own, first, held.layers)
    mx.eval(model(mx.array([[50, 51]]), cache=own))
    second = first.shared()
    caches = block_caches(own, second, held.layers, offset=len(text))
    assert second.blocks[:2] == first.blocks[:2]
    expected = whole(model, [*text, 50, 51, 7], 1)
    np.testing.assert_allclose(scored(model, [7], caches), expected, atol=1e-3)


def test_what_was_worked_out_for_one_pass_is_not_taken_for_another() -> None:
    """Of as many rows at the same place: of another tree, and in other blocks."""
    model = tiny_llama(4)
    held = Held(model)
    table = held.table()
    caches = held.caches(table)
    rollback = Rollback(caches, "tiny")
    text = list(range(1, 41))
    rollback.begin(mx.array(text), len(text))
    scored(model, text, caches)
    for parents in ((0, 0, 1), (0, 1, 2)):
        tree = tree_of(parents)
        placement = Placement(tree.depth_row, tree.depth_row, tree.seen)
        rollback.begin(mx.array([9, 6, 7, 8]), 0)
        rows = scored(model, [9, 6, 7, 8], caches, placement)
        way = [[6, 7, 8][node - 1] for node in tree.path(3)]
        np.testing.assert_allclose(rows[3], whole(model, [*text, 9, *way], 1)[0], atol=1e-3)
        rollback.choose([])
    other = table.shared()  # the next pass writes into a copy of the last block
    before = table.blocks
    rollback.begin(mx.array([1, 2, 3, 4]), 0)
    rows = scored(model, [1, 2, 3, 4], caches)
    np.testing.assert_allclose(rows, whole(model, [*text, 1, 2, 3, 4], 4), atol=1e-3)
    rollback.forget(4)
    assert table.blocks != before == other.blocks
    table.shared()
    rows = scored(model, [5, 6, 7, 8], caches)
    np.testing.assert_allclose(rows, whole(model, [*text, 5, 6, 7, 8], 4), atol=1e-3)


def test_a_cache_knows_its_window_where_the_model_does_not_name_it() -> None:
    model = Caches(tiny_llama(4), lambda: RotatingKVCache(max_size=WINDOW))
    caches, own = Held(model).caches(), make_prompt_cache(model)
    for part in (list(range(1, 31)), [5, 6, 7], [8]):
        expected = np.array(model(mx.array([part]), cache=own)[0])
        np.testing.assert_allclose(scored(model, part, caches), expected, atol=1e-3)


def test_a_pass_over_several_rows_has_the_bits_of_single_steps() -> None:
    """Where the products around the attention have; elsewhere they are near."""
    model, draw = zoo_model("llama"), random.Random(5)
    caches, others = Held(model, seed=1).caches(), Held(model, seed=2).caches()
    for width in (30, 1, 5, 9, 2):
        text = [draw.randrange(VOCAB) for _ in range(width)]
        together = scored(model, text, caches)
        alone = np.concatenate([scored(model, [token_id], others) for token_id in text])
        if rows_are_independent():
            np.testing.assert_array_equal(together, alone)
        np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-3)


def test_no_step_copies_the_pool_or_the_context() -> None:
    model = tiny_llama(5, hidden=256)
    at_first = mx.get_active_memory()
    held, own = Held(model, num_blocks=250, seed=None, size=64), make_prompt_cache(model)
    mx.eval(model(mx.array([[1 + i % 200 for i in range(1500)]]), cache=own))
    caches = block_caches(own, held.table(), held.layers)
    rollback = Rollback(caches, "tiny")
    mx.eval([cache.state for cache in caches])
    keys = held.layers[0].keys
    assert keys is not None
    pool, context = keys.nbytes, keys.nbytes / 250 / 64 * 1500
    del keys, own
    assert mx.get_active_memory() - at_first < 4.2 * pool  # of two layers
    for placement, width in ((None, 1), (PLACEMENT, 9), (None, 2)):
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        rollback.begin(mx.ones((width,), dtype=mx.int32), 1)
        scored(model, [1] * width, caches, placement)
        rollback.choose([1, 4] if placement else list(range(width - 1)))
        mx.eval([cache.state for cache in caches])
        # A row's scores and mixed values are what there has to be: of a few rows more than a context as short as this.
        assert mx.get_peak_memory() - before < (context / 2 if width == 1 else pool / 4)


@pytest.mark.parametrize("name", sorted(OVER_BLOCKS))
def test_a_text_that_was_read_over_own_caches_goes_on_over_blocks(name: str) -> None:
    model, draw = zoo_model(name), random.Random(3)
    text = [draw.randrange(VOCAB) for _ in range(3 * WINDOW)]
    for parts in ([text], [text[:-2], text[-2:-1], text[-1:]]):  # a ring turns with single tokens
        held, own = Held(model), make_prompt_cache(model)
        for part in parts:
            mx.eval(model(mx.array([part]), cache=own))
        caches = block_caches(own, held.table(), held.layers)
        for tail in ([1, 2, 3], [4]):
            rows = scored(model, tail, caches)
            text_now = text + ([1, 2, 3] if tail == [4] else []) + tail
            np.testing.assert_allclose(rows, whole(model, text_now, len(tail)), rtol=2e-3, atol=2e-3)


def test_rows_of_many_answers_attend_together(
    emulator: Emulator,  # noqa: F811
) -> None:
    """In one launch for all of them, with the bits of each alone."""
    model, draw = tiny_llama(6), random.Random(1)
    held = Held(model)
    texts = [[draw.randrange(TINY_VOCAB) for _ in range(length)] for length in (30, 3, 17)]
    reads = ([5], [6, 7, 8], list(range(1, TREE.size + 2)))
    placements = (None, None, PLACEMENT)
    every, again = [], []
    for text in texts:
        for answers in (every, again):
            answers.append(held.caches())
            scored(model, text, answers[-1])
    with emulated(emulator):
        alone = [scored(model, *each) for each in zip(reads, again, placements, strict=True)]
        emulator.launched.clear()
        parts = [RaggedPart(mx.array(read), *each) for read, *each in zip(reads, every, placements, strict=True)]
        found = [np.array(output.logits) for output in ragged_passes(model).run(parts, "attention")]
    assert emulator.launched == ["paged_partials", "paged_finish"] * 2
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)  # the products around it may round by their width


@pytest.mark.parametrize("way", ["attention", "mixer", "layer"])
@pytest.mark.parametrize("name", ["gemma3", "qwen3_next", "falcon_h1"])
def test_answers_over_blocks_go_in_one_pass_at_every_depth(name: str, way: Depth) -> None:
    """With windows, beside layers that have a state, and in lists of both."""
    model, draw = zoo_model(name), random.Random(2)
    held = Held(model)
    texts = [[draw.randrange(VOCAB) for _ in range(length)] for length in (20, 3)]
    every = [held.caches() for _ in texts]
    for text, caches in zip(texts, every, strict=True):
        scored(model, text, caches)
    for reads in (([5], [6, 7, 8]), ([1, 2], [3])):
        parts = [RaggedPart(mx.array(read), caches) for read, caches in zip(reads, every, strict=True)]
        found = ragged_passes(model).run(parts, way)
        for text, read, output in zip(texts, reads, found, strict=True):
            text += read
            np.testing.assert_allclose(np.array(output.logits), whole(model, text, len(read)), rtol=2e-3, atol=2e-3)


def test_a_model_over_the_kernel_says_what_it_says_over_the_fallback(
    emulator: Emulator,  # noqa: F811
) -> None:
    for name in ("llama", "gemma3", "gpt_oss"):
        model = zoo_model(name)
        caches, others = Held(model).caches(), Held(model, seed=None).caches()
        for part in ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], [3, 5, 7], [4]):
            with emulated(emulator):
                by_kernel = scored(model, part, caches)
            np.testing.assert_allclose(by_kernel, scored(model, part, others), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("fault", ["wrong", "error"])
def test_a_model_that_says_something_else_keeps_its_own_caches(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def attend(*args: Any, **options: Any) -> mx.array:
        if fault == "error":
            raise KeyError("of its own code")
        return paged_attention(*args, **options | {"scale": options["scale"] * 1.1})

    monkeypatch.setattr(paged_keys, "paged_attention", attend)
    assert not blocks_agree(zoo_model("llama"))


def test_a_model_that_fails_anyway_says_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Any:
        raise KeyError("of its own code")

    monkeypatch.setattr(paged_trial, "run", failing)
    with pytest.raises(KeyError, match="of its own code"):
        blocks_agree(zoo_model("llama"))


def test_it_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo_model("qwen3")
    assert blocks_agree(model)
    monkeypatch.setattr(paged_trial, "_try", lambda _: pytest.fail("tried again"))
    assert blocks_agree(model)


def test_what_cannot_be_attended_to_is_refused() -> None:
    held = Held(tiny_llama(1))
    cache = held.caches()[0]
    with pytest.raises(ValueError, match="one answer, not 2"):
        cache.update_and_fetch(mx.ones((2, 2, 3, 8)), mx.ones((2, 2, 3, 8)))
    keys, values = cache.update_and_fetch(mx.ones((1, 2, 3, 8)), mx.ones((1, 2, 3, 8)))
    assert keys.shape == (1, 2, 3, 8)
    given: dict[str, Any] = {"cache": cache, "scale": 1.0, "sinks": None}
    queries = mx.ones((1, 4, 3, 8))
    with pytest.raises(TypeError, match="not those of the keys"):
        keys.attend(queries, mx.ones((1, 2, 3, 8)), mask=None, **given)
    for mask in (None, mx.ones((3, 3)) > 0):
        with pytest.raises(TypeError, match="a mask of the model's own"):
            keys.attend(queries, values, mask=mask, **given)
    other = Held(held.model).caches()[0].update_and_fetch(mx.ones((1, 2, 3, 8)), mx.ones((1, 2, 3, 8)))[0]
    with pytest.raises(ValueError, match="neither their pool"):
        paged_keys.attend_together(
            [keys, other],
            mx.ones((1, 4, 6, 8)),
            [3, 3],
            values=[keys, other],
            scale=1.0,
            masks=["causal"] * 2,
            sinks=None,
        )
    with pytest.raises(ValueError, match="of 4 tokens 3 are at hand"):
        cache.newest(4)
    cache.trim(1)
    with pytest.raises(ValueError, match="of 1 tokens 0 are at hand"):
        cache.newest(1)
