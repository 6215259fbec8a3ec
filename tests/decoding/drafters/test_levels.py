"""Heads draft for many answers at once what they draft for each alone, in a pass a level."""

from collections import Counter
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.drafters.base import Draft, Drafter
from mlx_spec.decoding.drafters.dflash import DFlashDrafter
from mlx_spec.decoding.drafters.eagle import EagleDrafter
from mlx_spec.decoding.drafters.levels import together
from mlx_spec.decoding.drafters.medusa import MedusaDrafter
from mlx_spec.models.heads.loading import load_head
from mlx_spec.models.memory import rows_are_independent
from tests.decoding.drafters.published import HIDDEN, dflash, eagle1, eagle3, medusa, target
from tests.decoding.drafters.rounds import settings
from tests.tiny import TINY_VOCAB

KINDS: dict[str, tuple[Any, Any, int]] = {
    "eagle": (eagle1, EagleDrafter, HIDDEN),
    "eagle3": (eagle3, EagleDrafter, 3 * HIDDEN),
    "medusa": (medusa, MedusaDrafter, HIDDEN),
    "dflash": (dflash, DFlashDrafter, 3 * HIDDEN),
}
SHAPES = {"chain": None, "tree": Shape((3, 2, 2)), "grown": Shape((3, 3, 2), nodes=7)}
PROMPTS = (3, 70, 12, 40, 1)
PASSES = {"eagle": ("step",), "eagle3": ("step",), "medusa": ("logits",), "dflash": ("logits",)}


class Twin:
    """A text under two drafters: one drafts with others, one alone."""

    def __init__(self, kind: str, head: Any, seed: int) -> None:
        _, make, self.width = KINDS[kind]
        self.ours, self.alone = (make(head, settings(seed)) for _ in range(2))
        self.rng = np.random.default_rng(seed)
        self.length = 0

    def read(self, count: int, accepted: int = 0) -> None:
        """So many tokens more, of which the first `accepted` were drafted."""
        token_ids = self.rng.integers(0, TINY_VOCAB, count + 1).tolist()
        states = mx.array(self.rng.standard_normal((count, self.width)).astype(np.float32))
        for drafter in (self.ours, self.alone):
            drafter.read(states, token_ids[:-1])
            drafter.commit(token_ids[-1:], accepted)
        self.length += count

    def asked(self, drafter: Drafter, shape: Shape | None, gamma: int, index: int) -> Any:
        if shape is None:
            return drafter.proposing(self.length, gamma, index)
        return drafter.proposing_tree(self.length, shape, index)  # type: ignore[attr-defined]


def expect_same(ours: Draft, alone: Draft) -> None:
    assert ours.token_ids.tolist() == alone.token_ids.tolist()
    assert ours.nodes.parents == alone.nodes.parents
    assert ours.passes == alone.passes
    compare = np.testing.assert_array_equal if rows_are_independent() else np.testing.assert_allclose
    compare(
        np.array(ours.scores),
        np.array(alone.scores),
        **({} if rows_are_independent() else {"rtol": 1e-4, "atol": 1e-5}),
    )


@pytest.mark.in_turn
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drafted_together_is_what_each_drafts_alone(
    tmp_path: Path, kind: str, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of all lengths, chains of all lengths, some rounds without some of them, much and little to read first."""
    head: Any = load_head(KINDS[kind][0](tmp_path)[0], kind, target(), "tiny")  # type: ignore[arg-type]
    twins = [Twin(kind, head, seed) for seed, _ in enumerate(PROMPTS)]
    for twin, prompt in zip(twins, PROMPTS, strict=True):
        twin.read(prompt)
    counts: Counter[str] = Counter()
    for name in PASSES[kind]:
        original = getattr(type(head), name)

        def counted(self: Any, given: Any, name: str = name, original: Any = original) -> Any:
            counts[name] += 1
            return original(self, given)

        monkeypatch.setattr(type(head), name, counted)
    for index in range(4):
        here = [twin for at, twin in enumerate(twins) if (index + at) % 4]
        lengths = [1 + (index + at) % 4 for at, _ in enumerate(here)]
        asked = [
            (twin, gamma, twin.asked(twin.ours, SHAPES[shape], gamma, index))
            for twin, gamma in zip(here, lengths, strict=True)
        ]
        counts.clear()
        drafts = together([one for *_, one in asked])
        levels = max(lengths) if kind.startswith("eagle") else 1
        depth = SHAPES[shape].depth if SHAPES[shape] else levels  # type: ignore[union-attr]
        assert counts == dict.fromkeys(PASSES[kind], depth if kind.startswith("eagle") else 1)
        for (twin, gamma, _), draft in zip(asked, drafts, strict=True):
            (expected,) = together([twin.asked(twin.alone, SHAPES[shape], gamma, index)])
            expect_same(draft, expected)
            twin.read(1 + index, accepted=min(index, draft.nodes.depth))


@pytest.mark.parametrize("kind", KINDS)
def test_no_head_drafts_for_each_answer_alone(tmp_path: Path, kind: str) -> None:
    """What a step costs is reckoned by this."""
    head: Any = load_head(KINDS[kind][0](tmp_path)[0], kind, target(), "tiny")  # type: ignore[arg-type]
    assert not KINDS[kind][1](head, settings()).is_alone
