"""Server-sent events arrive whole, however the network cut them."""

import pytest

from app.engine.sse import Comment, SseParser

STREAM = 'data: {"a": "é👩‍👩‍👧"}\n\n: ping\n\nevent: x\ndata: one\ndata: two\n\ndata: [DONE]\n\n'
EVENTS = ['{"a": "é👩‍👩‍👧"}', Comment("ping"), "one\ntwo", "[DONE]"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("piece", [1, 2, 3, 7, 10_000])
def test_any_cut_gives_the_same_events(ending: str, piece: int) -> None:
    data = STREAM.replace("\n", ending).encode()
    parser = SseParser()
    found = [event for i in range(0, len(data), piece) for event in parser.feed(data[i : i + piece])]
    found += parser.feed(b"\n")  # a final lone CR waits for its LF
    assert found == EVENTS


def test_an_unfinished_event_waits() -> None:
    parser = SseParser()
    assert parser.feed(b"data: half") == []
    assert parser.feed(b" an event\n") == []
    assert parser.feed(b"\n") == ["half an event"]
