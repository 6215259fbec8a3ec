"""Prompt lookup: the naive definition's proposals, at a cost that does not grow with the text."""

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_spec.decoding.drafters.ngram import NgramDrafter, SuffixIndex
from mlx_spec.errors import ConfigError

CHATTY = "def area(w, h): return w * h\n\nRewrite it with types.\n\ndef area(w: int, h: int) -> int: return w * h\n"


def naive(text: list[int], gamma: int, min_match: int, max_match: int) -> tuple[int, list[int]]:
    """The definition: the longest ending, its latest earlier occurrence, and what followed it, itself included."""
    for length in range(min(max_match, len(text) - 1), min_match - 1, -1):
        for end in range(len(text) - 1, length - 1, -1):
            if text[end - length : end] == text[-length:]:
                longer = list(text)
                for i in range(gamma):
                    longer.append(longer[end + i])
                return length, longer[len(text) :]
    return 0, []


def drafted(drafter: NgramDrafter, gamma: int) -> list[int]:
    draft = drafter.propose(0, gamma, 0)
    if draft is None:
        return []
    assert draft.scores is None
    assert draft.token_ids.dtype == mx.int32
    return draft.token_ids.tolist()


def reader(text: list[int], min_match: int = 2, max_match: int = 8) -> NgramDrafter:
    drafter = NgramDrafter(min_match=min_match, max_match=max_match)
    drafter.prefill(text)
    return drafter


@given(
    alphabet=st.integers(1, 4),
    data=st.data(),
    gamma=st.integers(1, 9),
    min_match=st.integers(1, 3),
    longer=st.integers(0, 6),
)
def test_every_proposal_is_the_naive_definitions(
    alphabet: int, data: st.DataObject, gamma: int, min_match: int, longer: int
) -> None:
    text = data.draw(st.lists(st.integers(0, alphabet - 1), max_size=40))
    drafter = NgramDrafter(min_match=min_match, max_match=min_match + longer)
    for end, token_id in enumerate(text, start=1):
        drafter.commit([token_id], accepted=0)
        length, expected = naive(text[:end], gamma, min_match, min_match + longer)
        assert drafter.match_length == length
        assert drafter.limit(gamma) == len(expected)
        assert drafted(drafter, gamma) == drafter.shadow(gamma) == expected


def test_prompt_and_answer_are_one_text() -> None:
    text = list(CHATTY.encode())
    whole = reader(text)
    parts = NgramDrafter()
    parts.prefill(text[:30])
    parts.prefill(text[30:60])
    parts.commit([text[60]], accepted=0)
    parts.commit(text[61:90], accepted=12)
    parts.commit(text[90:], accepted=0)
    assert drafted(parts, 6) == drafted(whole, 6)


def test_a_repetition_goes_on_beyond_the_end_of_the_text() -> None:
    assert bytes(drafted(reader(list(b"xabcabc")), 8)) == b"abcabcab"
    assert bytes(drafted(reader(list(b"aaa")), 5)) == b"aaaaa"


def test_a_copy_is_followed() -> None:
    prompt = list(CHATTY.encode())
    assert bytes(drafted(reader([*prompt, *b"Sure:\n\ndef ar"]), 6)) == b"ea(w: "


def test_new_text_proposes_nothing() -> None:
    for text in ([], [7], [1, 2, 3, 4], [1, 2, 1]):
        drafter = reader(text)
        assert drafter.propose(0, 4, 0) is None
        assert (drafter.match_length, drafter.limit(4)) == (0, 0)
    assert reader([1, 2, 1, 2]).propose(0, 0, 0) is None


def test_the_longest_ending_wins_over_a_later_one() -> None:
    # After "ab" stands x, and later y; but only x was after "qab".
    assert bytes(drafted(reader(list(b"qabx.ab y.qab"), min_match=2), 1)) == b"x"
    assert bytes(drafted(reader(list(b"qabx.ab y.qab"), min_match=2, max_match=2), 1)) == b" "


class _CountingDict(dict[int, int]):
    calls = 0

    def get(self, key: int, default: int | None = None) -> int | None:  # type: ignore[override]
        self.calls += 1
        return super().get(key, default)


@pytest.mark.parametrize("text", [[0] * 4000, [0, 1] * 2000, list(range(4000)), [i * i % 7 for i in range(4000)]])
def test_a_token_costs_the_same_in_a_long_text(text: list[int]) -> None:
    index = SuffixIndex(max_match=8)
    index._children = counting = _CountingDict()
    for count, token_id in enumerate(text, start=1):
        index.append(token_id)
        assert counting.calls <= 8 * count
        assert len(counting) <= 8 * count


def test_lengths_that_make_no_range() -> None:
    with pytest.raises(ConfigError, match="min_match"):
        NgramDrafter(min_match=0)
    with pytest.raises(ConfigError, match="max_match"):
        NgramDrafter(min_match=4, max_match=3)
