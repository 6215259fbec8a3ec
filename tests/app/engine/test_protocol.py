"""docs/PROTOCOL.md as values; what is not in it is told, not swallowed."""

import json
from pathlib import Path
from typing import ClassVar

import pytest

from app.engine.protocol import (
    Alternative,
    Failure,
    Finished,
    Prefill,
    ProtocolError,
    Round,
    Text,
    parse_chunk,
    parse_request_id,
    parse_round,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "PROTOCOL.md"


def documented_objects() -> list[dict]:
    """The three example objects of the document itself."""
    block = DOCUMENT.read_text(encoding="utf-8").split("```json")[1].split("```")[0]
    return [json.loads(part) for part in block.strip().split("\n\n")]


def chunk(speculation: object, text: str = "") -> str:
    return json.dumps({"choices": [{"delta": {"content": text} if text else {}}], "speculation": speculation})


def test_the_documented_examples_are_read() -> None:
    prefill, one, finished = (parse_chunk(chunk(value))[0] for value in documented_objects())
    assert prefill == Prefill(512, 900, 830.1, cached_tokens=documented_objects()[0].get("cached_tokens", 0))
    assert isinstance(one, Round)
    assert (one.index, one.lookahead, one.next_lookahead) == (3, 4, 5)
    assert (one.drafter, one.reason, one.is_parked) == ("model", "1.21x plain expected", False)
    assert [token.state for token in one.drafted] == ["accepted", "rejected", "untested"]
    assert [token.kind for token in one.emitted] == ["accepted", "correction"]
    assert (one.accepted_count, one.tested_count) == (1, 2)
    assert isinstance(finished, Finished)
    assert (finished.seed, finished.completion_tokens) == (1234, 64)


def test_an_older_engine_tells_neither_drafter_nor_reason() -> None:
    older = {key: value for key, value in documented_objects()[1].items() if key not in ("drafter", "reason")}
    (one,) = parse_chunk(chunk(older))
    assert isinstance(one, Round)
    assert (one.drafter, one.reason, one.is_parked) == (None, "", False)


class TestWhatWasKnownOfThePrompt:
    PREFILL: ClassVar = {"type": "prefill", "processed_tokens": 2030, "total_tokens": 2051, "elapsed_ms": 450.0}
    FINISHED: ClassVar = {"type": "finished", "finish_reason": "stop", "seed": 7, "prompt_tokens": 2051}

    def parsed(self, value: dict) -> object:
        (event,) = parse_chunk(chunk(value))
        return event

    def test_the_engine_tells_it_while_it_reads(self) -> None:
        prefill = self.parsed(self.PREFILL | {"cached_tokens": 2008})
        assert isinstance(prefill, Prefill)
        assert (prefill.cached_tokens, prefill.to_read, prefill.read) == (2008, 43, 22)

    def test_and_at_the_end(self) -> None:
        finished = self.parsed(self.FINISHED | {"cached_tokens": 2008})
        assert isinstance(finished, Finished)
        assert (finished.cached_tokens, finished.read_tokens, finished.prompt_tokens) == (2008, 43, 2051)

    @pytest.mark.parametrize("told", [{}, {"cached_tokens": 0}, {"cached_tokens": None}, {"cached_tokens": -3}])
    def test_of_an_older_engine_nothing_was_known(self, told: dict) -> None:
        prefill, finished = self.parsed(self.PREFILL | told), self.parsed(self.FINISHED | told)
        assert isinstance(prefill, Prefill)
        assert isinstance(finished, Finished)
        assert (prefill.cached_tokens, prefill.to_read, prefill.read) == (0, 2051, 2030)
        assert (finished.cached_tokens, finished.read_tokens) == (0, 2051)

    def test_no_more_is_known_than_there_is(self) -> None:
        prefill = self.parsed(self.PREFILL | {"cached_tokens": 3000})
        assert isinstance(prefill, Prefill)
        assert (prefill.cached_tokens, prefill.to_read, prefill.read) == (2051, 0, 0)


def test_a_parked_round_is_told_by_the_engine_not_by_its_words() -> None:
    bare = {"type": "round", "round": 0, "lookahead": 0, "drafted": [], "emitted": []}
    told, silent = (
        parse_chunk(json.dumps({"choices": [], "speculation": bare | fields}))[0]
        for fields in ({"parked": True, "reason": "geparkt"}, {"reason": "parked: 0.85x plain expected"})
    )
    assert isinstance(told, Round)
    assert isinstance(silent, Round)
    assert (told.is_parked, silent.is_parked) == (True, False)


def test_alternatives_ids_and_parents_are_read_where_they_are_told() -> None:
    top = [{"id": 5, "text": " a", "probability": 0.5}]
    drafted = [
        {"id": 5, "text": " a", "p": 0.5, "q": 0.4, "state": "accepted"},
        {"id": 6, "text": " b", "p": 0.1, "q": 0.3, "state": "rejected"},
        {"id": 7, "text": " c", "p": 0.1, "q": 0.3, "state": "untested", "parent": 0},
    ]
    emitted = [{"id": 5, "text": " a", "kind": "accepted", "p": 0.5, "q": 0.4, "position": 9, "target_top": top}]
    one = parse_chunk(
        json.dumps(
            {"speculation": {"type": "round", "round": 1, "lookahead": 3, "drafted": drafted, "emitted": emitted}}
        )
    )[0]
    assert isinstance(one, Round)
    assert one.emitted[0].target_top == (Alternative(" a", 0.5, 5),)
    assert one.emitted[0].draft_top == ()
    assert [token.parent for token in one.drafted] == [None, None, 0]
    assert one.is_tree
    assert parse_round(one.wire) == one, "what is kept with a chat has all of it"


def test_an_answer_is_known_by_its_chunks_id() -> None:
    assert parse_request_id('{"id": "chatcmpl-7", "choices": []}') == "chatcmpl-7"
    for nameless in ("{}", "[1]", "nonsense", '{"id": 7}'):
        assert parse_request_id(nameless) is None


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
