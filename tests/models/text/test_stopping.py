"""Stop strings in text that arrives in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.config import DrafterName
from mlx_spec.events import GenerationFinished
from mlx_spec.models.text.stopping import StopStrings
from tests.tiny import tiny_pair


def pushed(stop: list[str], pieces: list[str]) -> tuple[str, bool]:
    strings = StopStrings(stop)
    text = "".join(strings.push(piece) for piece in pieces)
    return (text if strings.found else text + strings.finish()), strings.found


def test_a_stop_string_across_pieces_ends_the_text_before_it() -> None:
    assert pushed(["END"], ["some E", "N", "D more"]) == ("some ", True)


def test_what_might_begin_a_stop_string_waits() -> None:
    strings = StopStrings(["\n\n"])
    assert strings.push("a\n") == "a"
    assert strings.push("b") == "\nb"


def test_the_earliest_of_several_wins() -> None:
    assert pushed(["cd", "b"], ["abcd"]) == ("a", True)


def test_which_it_was_is_told_as_it_was_asked_for() -> None:
    for stop, pieces, which in ((["cd", "b"], ["abcd"], "b"), (["x", "<|eot_id|>"], ["a", 258], "<|eot_id|>")):
        strings = StopStrings(stop, {"<|eot_id|>": 258})
        for piece in pieces:
            strings.push(*(("", piece) if isinstance(piece, int) else (str(piece),)))
        assert strings.which == which
    assert StopStrings(["b"]).which is None


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.data())
def test_pieces_do_not_matter(text: str, stop: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    starts = [at for at in (text.find(s) for s in stop) if at >= 0]
    got, found = pushed(stop, pieces)
    assert found == bool(starts)
    if not found:
        assert got == text
    else:
        # Cut at a stop string; which of two overlapping ones depends on which was complete first.
        assert any(text.startswith(s, len(got)) for s in stop)
        assert text.startswith(got)


SPECIAL = {"<|im_start|>": 256, "<|im": 257, "<|eot_id|>": 258}


def spoken(stop: list[str], answer: list[str | int]) -> tuple[str, bool]:
    """What is said of an answer of texts and special tokens."""
    strings = StopStrings(stop, SPECIAL)
    text = "".join(strings.push(one) if isinstance(one, str) else strings.push("", one) for one in answer)
    return (text if strings.found else text + strings.finish()), strings.found


@pytest.mark.parametrize("name", ["<|im_start|>", "<|eot_id|>", "<|im"])
def test_the_name_of_a_special_token_means_that_token(name: str) -> None:
    assert spoken([name], ["a", SPECIAL[name], "b"]) == ("a", True)
    others = [token_id for token_id in SPECIAL.values() if token_id != SPECIAL[name]]
    assert spoken([name], ["a", *others, "b"]) == ("ab", False)


def test_its_name_spelled_out_stops_as_well() -> None:
    assert spoken(["<|eot_id|>"], ["a<|eot", "_id|>b"]) == ("a", True)


def test_a_special_token_may_be_part_of_what_stops() -> None:
    assert spoken(["<|im_start|>user"], ["a", 256, "assistant", 256, "us", "er"]) == ("aassistant", True)
    assert spoken(["\n<|im_start|>"], ["a\n", 256]) == ("a", True)
    assert spoken(["\n<|im_start|>"], ["a\n", "b", 256, "c"]) == ("a\nbc", False)


def test_special_tokens_that_nothing_stops_at_part_no_text() -> None:
    assert spoken(["foo"], ["fo", 256, "o"]) == ("", True)


@pytest.mark.parametrize("drafter", ["none", "model"])
def test_an_answer_ends_where_the_model_says_the_special_token(drafter: DrafterName) -> None:
    pair = tiny_pair()
    start = pair.tokenizer.convert_tokens_to_ids("<|im_start|>")
    prompt_ids = pair.encode("hello")

    def say(*stop: str) -> GenerationFinished:
        params = SamplingParams(stop=stop, logit_bias={start: 100.0})
        *_, end = SpeculativeDecoder(pair).stream(prompt_ids, params, 6, drafter=drafter)
        assert isinstance(end, GenerationFinished)
        return end

    assert (say("<|im_start|>").finish_reason, say("<|im_start|>").token_ids) == ("stop", (start,))
    assert say("<|endoftext|>").finish_reason == "length"
    assert say().text == "", "it has no text"
