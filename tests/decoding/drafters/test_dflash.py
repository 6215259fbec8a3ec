"""DFlash drafters fill a block as the paper says, over rounds with rejections."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.drafters.base import Draft
from mlx_spec.decoding.drafters.dflash import DFlashDrafter
from mlx_spec.models.heads.loading import load_head
from tests.decoding.drafters.published import HIDDEN, SIZES, dflash, ends_of, target
from tests.decoding.drafters.reference import dflash_block
from tests.decoding.drafters.rounds import Text, kept_of, settings
from tests.tiny import TINY_VOCAB


@pytest.mark.parametrize(
    ("variant", "windows"),
    [({}, (None, None)), ({"layer_types": ["full_attention", "sliding_attention"], "sliding_window": 7}, (None, 7))],
)
@pytest.mark.parametrize("eager", [True, False])
def test_dflash_fills_a_block_as_the_paper_says_whatever_was_rejected(
    tmp_path: Path, variant: dict[str, Any], windows: tuple[int | None, ...], eager: bool
) -> None:
    (folder, weights), model, block = dflash(tmp_path, **variant), target(), 5
    drafter = DFlashDrafter(load_head(folder, "dflash", model, "tiny"), settings())  # type: ignore[arg-type]
    assert drafter.taps == (1, 3, 4)

    def check(text: Text, draft: Draft) -> None:
        expected = dflash_block(
            weights, SIZES, 2, *ends_of(model), text.features(), text.token_ids[-1], block, TINY_VOCAB - 1, windows
        )
        count = draft.token_ids.shape[0]
        assert count == min(gamma, block - 1)
        assert np.abs(np.array(draft.scores) - expected[:count]).max() < 1e-4

    for gamma in (3, 9):
        drafter = DFlashDrafter(load_head(folder, "dflash", model, "tiny"), settings())  # type: ignore[arg-type]
        Text(3 * HIDDEN).run(drafter, check, gamma=gamma, eager=eager)


def test_dflash_keeps_what_it_made_of_the_targets_states_and_not_the_states(tmp_path: Path) -> None:
    head = load_head(dflash(tmp_path)[0], "dflash", target(), "tiny")
    assert kept_of(DFlashDrafter(head, settings()), 3 * HIDDEN) < 0.5  # type: ignore[arg-type]


def test_all_nodes_of_a_level_are_chosen_by_the_blocks_row(tmp_path: Path) -> None:
    (folder, weights), model, shape = dflash(tmp_path), target(), Shape((2, 2, 2, 1, 1, 1))
    drafter = DFlashDrafter(load_head(folder, "dflash", model, "tiny"), settings())  # type: ignore[arg-type]

    def check(text: Text, draft: Draft) -> None:
        ends, newest = ends_of(model), text.token_ids[-1]
        expected = dflash_block(weights, SIZES, 2, *ends, text.features(), newest, 5, TINY_VOCAB - 1, (None, None))
        assert draft.nodes.depth == 4  # a block of five guesses four tokens
        for node, depth in enumerate(draft.nodes.depths[1:]):
            assert np.abs(np.array(draft.scores)[node] - expected[depth - 1]).max() < 1e-4

    Text(3 * HIDDEN).run(drafter, check, shape=shape, accepted=(3, 0, 1))


def test_a_drafter_that_names_no_layers_reads_them_evenly(tmp_path: Path) -> None:
    folder, _ = dflash(tmp_path, layers=3, dflash_config={"mask_token_id": 0})
    assert load_head(folder, "dflash", target(), "tiny").taps == (1, 2, 3)
