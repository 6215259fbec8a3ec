"""Which draft fits which target."""

import pytest

from mlx_spec.errors import IncompatiblePairError, ModelNotFoundError
from mlx_spec.models.pairs import PAIRS, Vocabulary, check_pair, find_pair
from tests.models.sentences import one_sentence

IDS = {"a": 0, "b": 1, "c": 2}


def refused(target: Vocabulary, draft: Vocabulary) -> str:
    with pytest.raises(IncompatiblePairError) as caught:
        check_pair(target, draft)
    return one_sentence(caught.value)


def test_known_pairs_go_by_their_names() -> None:
    assert all(find_pair(name).name == name for name in PAIRS)
    assert "starter" in PAIRS
    assert all(pair.note.endswith(".") for pair in PAIRS.values())


def test_an_unknown_pair_lists_the_known() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_pair("startre")
    assert "known: starter" in one_sentence(caught.value)


def test_padding_does_not_matter() -> None:
    check_pair(Vocabulary("big", IDS, 3), Vocabulary("small", dict(IDS), 64))
    check_pair(Vocabulary("big", IDS, 64), Vocabulary("small", dict(IDS), 3))


def test_the_first_token_that_differs_is_named() -> None:
    message = refused(Vocabulary("big", IDS, 3), Vocabulary("small", {"a": 0, "x": 1, "c": 2}, 3))
    assert "small cannot draft for big" in message
    assert "id 1 is 'x' in the draft but 'b' in the target" in message


def test_sizes_are_named_where_no_token_differs() -> None:
    message = refused(Vocabulary("big", IDS, 3), Vocabulary("small", {"a": 0, "b": 1}, 3))
    assert "2 tokens" in message
    assert "has 3" in message


def test_an_embedding_too_small_for_the_targets_tokens() -> None:
    assert "2 rows" in refused(Vocabulary("big", IDS, 3), Vocabulary("small", dict(IDS), 2))
