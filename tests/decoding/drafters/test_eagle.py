"""EAGLE heads draft what their papers say, over rounds with rejections."""

from pathlib import Path

import numpy as np
import pytest

from mlx_spec.acceptance.tree import Shape
from mlx_spec.decoding.drafters import eagle
from mlx_spec.decoding.drafters.base import Draft, Reader
from mlx_spec.decoding.drafters.eagle import EagleDrafter
from mlx_spec.models.heads.loading import load_head
from tests.decoding.drafters.published import HIDDEN, SIZES, eagle1, eagle3, ends_of, target
from tests.decoding.drafters.reference import eagle1_chain, eagle3_chain
from tests.decoding.drafters.rounds import Text, kept_of, path_tokens, settings

CLOSE = 1e-4


def expect_eagle3(folder: Path, weights: dict[str, np.ndarray], **variant: bool) -> EagleDrafter:
    """A drafter, whose every draft is compared while a text runs."""
    model = target()
    drafter = EagleDrafter(load_head(folder, "eagle3", model, "tiny"), settings())  # type: ignore[arg-type]
    token_ids = weights["d2t"] + np.arange(len(weights["d2t"]))

    def check(text: Text, draft: Draft) -> None:
        drafted = np.array(draft.token_ids).tolist()
        expected = eagle3_chain(
            weights, SIZES, ends_of(model)[0], text.features(), text.token_ids, drafted[:-1], **variant
        )
        scores = np.array(draft.scores)
        assert np.abs(scores[:, token_ids] - expected).max() < CLOSE
        assert np.isneginf(np.delete(scores, token_ids, axis=1)).all()
        assert set(drafted) <= set(token_ids.tolist())

    drafter.check = check  # type: ignore[attr-defined]
    return drafter


@pytest.mark.parametrize("eager", [True, False])
def test_eagle_3_drafts_what_the_paper_says_whatever_was_rejected(tmp_path: Path, eager: bool) -> None:
    drafter = expect_eagle3(*eagle3(tmp_path))
    Text(3 * HIDDEN).run(drafter, drafter.check, eager=eager)  # type: ignore[attr-defined]


@pytest.mark.parametrize("prompt", [32 + 40, 256 + 40])
def test_eagle_3_reads_a_prompt_that_is_longer_than_a_pass_or_than_what_may_wait(
    tmp_path: Path, prompt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eagle, "PASS_TOKENS", 32)
    monkeypatch.setattr(eagle, "WAITING_TOKENS", 256)
    drafter = expect_eagle3(*eagle3(tmp_path))
    Text(3 * HIDDEN).run(drafter, drafter.check, prompt=prompt, chunk=70, accepted=(2, 0), eager=False)  # type: ignore[attr-defined]


def test_eagle_keeps_no_more_than_the_newest_states_while_it_is_parked(tmp_path: Path) -> None:
    head = load_head(eagle3(tmp_path)[0], "eagle3", target(), "tiny")
    assert kept_of(EagleDrafter(head, settings()), 3 * HIDDEN) < 0.5  # type: ignore[arg-type]


def test_a_head_that_norms_before_the_residual_is_told_by_its_configuration(tmp_path: Path) -> None:
    drafter = expect_eagle3(*eagle3(tmp_path, norm_before_residual=True), norm_before_residual=True)
    Text(3 * HIDDEN).run(drafter, drafter.check, accepted=(1, 3))  # type: ignore[attr-defined]


@pytest.mark.parametrize("bias", [True, False])
def test_eagle_1_drafts_what_the_paper_says_whatever_was_rejected(tmp_path: Path, bias: bool) -> None:
    (folder, weights), model = eagle1(tmp_path, bias=bias), target()
    drafter = EagleDrafter(load_head(folder, "eagle", model, "tiny"), settings())  # type: ignore[arg-type]

    def check(text: Text, draft: Draft) -> None:
        drafted = np.array(draft.token_ids).tolist()[:-1]
        expected = eagle1_chain(weights, SIZES, *ends_of(model), text.features(), text.token_ids, drafted)
        assert np.abs(np.array(draft.scores) - expected).max() < CLOSE

    Text(HIDDEN).run(drafter, check)


SHAPES = [Shape((3, 2, 2)), Shape((3, 3, 3, 2), nodes=8), Shape((1, 1, 1, 1))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_node_of_a_tree_is_chosen_by_what_the_paper_says_of_its_path(
    tmp_path: Path, shape: Shape, temperature: float
) -> None:
    (folder, weights), model = eagle3(tmp_path), target()
    drafter = EagleDrafter(load_head(folder, "eagle3", model, "tiny"), settings(temperature=temperature))  # type: ignore[arg-type]
    token_ids = weights["d2t"] + np.arange(len(weights["d2t"]))

    def check(text: Text, draft: Draft) -> None:
        assert draft.tree is not None
        assert draft.tree.size == shape.size
        scores, features = np.array(draft.scores), text.features()
        for node in range(1, draft.tree.size + 1):
            above = path_tokens(draft, node)[:-1]
            expected = eagle3_chain(weights, SIZES, ends_of(model)[0], features, text.token_ids, above)[-1]
            assert np.abs(scores[node - 1, token_ids] - expected).max() < CLOSE

    Text(3 * HIDDEN).run(drafter, check, accepted=(2, 0, 3, 1), shape=shape)


def test_eagle_drafts_nothing_before_the_target_has_read_anything(tmp_path: Path) -> None:
    drafter = expect_eagle3(*eagle3(tmp_path))
    drafter.commit([5], 0)
    assert drafter.propose(1, 4, 0) is None


def test_eagle_reads_the_layers_that_its_configuration_names(tmp_path: Path) -> None:
    named, model = {"eagle_config": {"eagle_aux_hidden_state_layer_ids": [0, 2, 5]}}, target()
    drafter = EagleDrafter(load_head(eagle3(tmp_path / "a", **named)[0], "eagle3", model, "tiny"), settings())  # type: ignore[arg-type]
    assert isinstance(drafter, Reader)
    assert drafter.taps == (0, 2, 5)
    # Where it names none: the outputs of layers 1, n / 2 - 1 and n - 4, here of six.
    assert load_head(eagle3(tmp_path / "b")[0], "eagle3", model, "tiny").taps == (1, 2, 2)
