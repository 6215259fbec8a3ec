"""Medusa heads draft what the paper says, from the target's last state alone."""

from pathlib import Path

import numpy as np
import pytest

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.drafters.base import Draft
from mlx_spec.decoding.drafters.medusa import MedusaDrafter
from mlx_spec.models.heads.loading import load_head
from mlx_spec.models.taps import LAST
from tests.decoding.drafters.published import HIDDEN, medusa, target
from tests.decoding.drafters.reference import medusa_logits
from tests.decoding.drafters.rounds import Text, settings


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("prefix", ["", "medusa_head."])
def test_medusa_drafts_what_the_paper_says_whatever_was_rejected(tmp_path: Path, blocks: int, prefix: str) -> None:
    folder, weights = medusa(tmp_path, heads=3, blocks=blocks, prefix=prefix)
    plain = {name.removeprefix(prefix): value for name, value in weights.items()}
    drafter = MedusaDrafter(load_head(folder, "medusa", target(), "tiny"), settings())  # type: ignore[arg-type]
    assert drafter.taps == (LAST,)

    def check(text: Text, draft: Draft) -> None:
        expected = medusa_logits(plain, 3, blocks, text.features()[-1])
        assert draft.token_ids.shape == (3,)  # asked for four; there are three heads
        assert np.abs(np.array(draft.scores) - expected).max() < 1e-4

    Text(HIDDEN).run(drafter, check)


@pytest.mark.parametrize("shape", [Shape((3, 2, 2)), Shape((4, 3, 3), nodes=9)], ids=str)
def test_all_nodes_of_a_level_are_chosen_by_its_head(tmp_path: Path, shape: Shape) -> None:
    folder, weights = medusa(tmp_path, heads=3)
    drafter = MedusaDrafter(load_head(folder, "medusa", target(), "tiny"), settings())  # type: ignore[arg-type]

    def check(text: Text, draft: Draft) -> None:
        expected = medusa_logits(weights, 3, 1, text.features()[-1])
        assert draft.passes == 1
        for node, depth in enumerate(draft.nodes.depths[1:]):
            assert np.abs(np.array(draft.scores)[node] - expected[depth - 1]).max() < 1e-4
        for children in draft.nodes.children:
            ids = [int(np.array(draft.token_ids)[child - 1]) for child in children]
            assert len(set(ids)) == len(ids)

    Text(HIDDEN).run(drafter, check, shape=shape, accepted=(1, 0, 3))


def test_medusa_drafts_nothing_before_the_target_has_read_anything(tmp_path: Path) -> None:
    drafter = MedusaDrafter(load_head(medusa(tmp_path)[0], "medusa", target(), "tiny"), settings())  # type: ignore[arg-type]
    drafter.commit([5], 0)
    assert drafter.propose(1, 2, 0) is None
