"""Stop strings in text that arrives in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from mlx_spec.stopping import StopStrings


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
