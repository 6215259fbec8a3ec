"""docs/PROTOCOL.md as values; what is not in it is told, not swallowed."""

import json
from pathlib import Path

import pytest

from app.protocol import Failure, Finished, Prefill, ProtocolError, Round, Text, parse_chunk

DOCUMENT = Path(__file__).parents[2] / "docs" / "PROTOCOL.md"


def documented_objects() -> list[dict]:
    """The three example objects of the document itself."""
    block = DOCUMENT.read_text(encoding="utf-8").split("```json")[1].split("```")[0]
    return [json.loads(part) for part in block.strip().split("\n\n")]


def chunk(speculation: object, text: str = "") -> str:
    return json.dumps({"choices": [{"delta": {"content": text} if text else {}}], "speculation": speculation})


def test_the_documented_examples_are_read() -> None:
    prefill, one, finished = (parse_chunk(chunk(value))[0] for value in documented_objects())
    assert prefill == Prefill(512, 900, 830.1)
    assert isinstance(one, Round)
    assert (one.index, one.lookahead, one.next_lookahead) == (3, 4, 5)
    assert [token.state for token in one.drafted] == ["accepted", "rejected", "untested"]
    assert [token.kind for token in one.emitted] == ["accepted", "correction"]
    assert (one.accepted_count, one.tested_count) == (1, 2)
    assert isinstance(finished, Finished)
    assert (finished.seed, finished.completion_tokens) == (1234, 64)


def test_a_rounds_text_comes_after_the_round() -> None:
    kinds = [type(event) for event in parse_chunk(chunk(documented_objects()[1], " a large"))]
    assert kinds == [Round, Text]


def test_errors_and_unknown_types() -> None:
    failure = {"error": {"message": "No.", "type": "server_error", "param": None, "code": None}}
    assert parse_chunk(json.dumps(failure)) == [Failure("No.", "server_error", None)]
    assert parse_chunk(chunk({"type": "from the future"})) == []


@pytest.mark.parametrize("data", ["", "[1]", "{", '{"choices": 3}', chunk({"type": "round"}), chunk({"no": "type"})])
def test_what_is_not_of_the_protocol_is_quoted(data: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_chunk(data)
    assert data[:40] in str(caught.value)


def test_an_unknown_kind_is_refused() -> None:
    one = documented_objects()[1]
    one["emitted"][0]["kind"] = "guessed"
    with pytest.raises(ProtocolError, match="guessed"):
        parse_chunk(chunk(one))
