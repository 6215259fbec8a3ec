"""What the engine does at this moment, as it tells it: parsed, polled while somebody looks, and named by who asked."""

import json
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from app.engine.pages.batch.client import BatchClient
from app.engine.pages.batch.records import Batch, Blocks, OwnRequest, Rows, RunningRequest, WaitingRequest, parse_batch
from app.engine.process import EngineProcess, EngineState
from app.engine.protocol import ProtocolError, Standing, parse_comment
from tests.app.conftest import EngineFactory

BODY: dict[str, Any] = json.loads("""
{"policy": "fcfs", "max_batch": 4, "tokens_per_second": 21.5, "metrics": {"steps": 3},
 "running": [{"id": "a", "chat": "k", "state": "reading", "priority": "high", "prompt_tokens": 900, "read_tokens": 512,
              "written_tokens": 0, "rows": {"read": 64, "plain": 0, "accepted": 0, "rejected": 0}, "blocks": 16}],
 "waiting": [{"id": "b", "chat": null, "priority": "low", "ahead": 1, "prompt_tokens": 30}],
 "blocks": {"total": 64, "used": 16, "shared": 2, "tokens": 32, "bytes": 1048576}}
""")


def test_a_batch_is_read() -> None:
    batch = parse_batch(BODY)
    assert batch == Batch(
        "fcfs",
        4,
        (RunningRequest("a", "k", "reading", "high", 900, 512, 0, Rows(read=64), 16),),
        (WaitingRequest("b", None, "low", 1, 30),),
        Blocks(64, 16, 2, 32),
        21.5,
    )


@pytest.mark.parametrize("gone", ["policy", "max_batch", "tokens_per_second", "blocks", "metrics"])
def test_what_another_engine_leaves_out_is_not_missed(gone: str) -> None:
    batch = parse_batch({name: value for name, value in BODY.items() if name != gone} | {"newer": 1})
    assert [one.id for one in batch.running] == ["a"]
    assert parse_batch(BODY | {gone: None}) == batch


@pytest.mark.parametrize("body", [{}, [], None, BODY | {"running": 3}, BODY | {"waiting": [{}]}, BODY | {"blocks": 1}])
def test_what_is_no_batch_is_refused(body: Any) -> None:
    with pytest.raises(ProtocolError):
        parse_batch(body)


@pytest.mark.parametrize(("own_id", "chat", "is_it"), [
    ("a", None, True), ("b", "k", False), (None, "k", True), (None, "other", False), (None, None, False),
])  # fmt: skip
def test_a_request_is_known_by_its_id_and_before_that_by_its_chat(
    own_id: str | None, chat: str | None, is_it: bool
) -> None:
    assert OwnRequest(own_id, "title", lambda: None, chat).is_of(RunningRequest("a", "k")) == is_it


@pytest.mark.parametrize(("comment", "standing"), [
    ("waiting 3 ahead", Standing("waiting", 3)), ("waiting 0 ahead", Standing("waiting", 0)),
    ("preempted", Standing("aside")), ("resumed", Standing("on")),
    ("ping - 2026-11-29 20:00:00", None), ("", None), ("waiting -1 ahead", None), ("waiting long", None),
])  # fmt: skip
def test_comments(comment: str, standing: Standing | None) -> None:
    assert parse_comment(comment) == standing


def ready(make_engine: EngineFactory, qtbot: QtBot, *options: str) -> tuple[EngineProcess, BatchClient, list[object]]:
    engine, told = make_engine(*options), []
    client = BatchClient(engine)
    client.told.connect(told.append)
    engine.connect_client(client)
    engine.start()
    qtbot.waitUntil(lambda: engine.state is EngineState.READY, timeout=10_000)
    return engine, client, told


def test_it_is_asked_while_somebody_looks_and_no_longer(make_engine: EngineFactory, qtbot: QtBot) -> None:
    _, client, told = ready(make_engine, qtbot, "--max-batch", "4")
    qtbot.wait(50)
    assert told == []
    client.watch(True)
    qtbot.waitUntil(lambda: len(told) >= 2, timeout=10_000)
    assert told[0] == Batch("fcfs", 4, blocks=Blocks(64, 0, 0, 32), tokens_per_second=0.0)
    client.watch(False)
    qtbot.waitUntil(lambda: client._reply is None, timeout=5_000)
    num_told = len(told)
    qtbot.wait(600)
    assert len(told) == num_told


def test_an_engine_without_such_a_page_is_told_apart(make_engine: EngineFactory, qtbot: QtBot) -> None:
    _, client, told = ready(make_engine, qtbot)
    client.fetch()
    qtbot.waitUntil(lambda: told == [None], timeout=10_000)
