"""DFlash drafters fill a block as the paper says, over rounds with rejections."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlx_spec.drafters.base import Draft
from mlx_spec.drafters.dflash import DFlashDrafter
from mlx_spec.models.heads.loading import load_head
from tests.drafters.published import HIDDEN, SIZES, dflash, ends_of, target
from tests.drafters.reference import dflash_block
from tests.drafters.rounds import Text, settings
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


def test_a_drafter_that_names_no_layers_reads_them_evenly(tmp_path: Path) -> None:
    folder, _ = dflash(tmp_path, layers=3, dflash_config={"mask_token_id": 0})
    assert load_head(folder, "dflash", target(), "tiny").taps == (1, 2, 3)
