"""docs/PROTOCOL.md as values; what is not in it is told, not swallowed."""

import json
from pathlib import Path

import pytest

from app.protocol import Failure, Finished, Prefill, ProtocolError, Round, Text, parse_chunk
from mlx_spec.config import SpeculativeConfig
from mlx_spec.costs import Calibration
from mlx_spec.lookahead import CostLookahead, Option

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


def test_a_parked_round_is_told_from_one_that_had_nothing_to_draft() -> None:
    plain = documented_objects()[1] | {"drafter": None, "lookahead": 0, "drafted": []}
    parked, empty = (
        parse_chunk(chunk(plain | {"reason": reason}))[0]
        for reason in ("parked: 0.85x plain expected with 2 drafted", "nothing to draft")
    )
    assert isinstance(parked, Round)
    assert parked.is_parked
    assert isinstance(empty, Round)
    assert not empty.is_parked


def test_the_engine_says_parked_as_the_window_reads_it() -> None:
    costs = Calibration(tuple(10.0 * width for width in range(1, 10)), draft_step_ms=10.0)
    controller = CostLookahead(SpeculativeConfig(), costs)
    plan = controller.plan([Option("model", 4)], room=8)
    assert plan.parked
    assert Round(0, plan.length, 0, (), (), reason=plan.reason).is_parked


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
