"""Machines as lines: who stands where, with what, and how it is."""

import json

import pytest

from app.engine.pages.group.records import Neighbours, parse_group, parse_neighbours
from app.engine.protocol import ProtocolError
from app.machines.lines import gigabytes, lines_of, way_words

FOUND = [
    {"name": "studio", "fingerprint": "a" * 16, "chip": "Apple M4", "total_bytes": 64 * 10**9, "port": 1},
    {"name": "mini", "fingerprint": "b" * 16},
]
KNOWN = [
    {"name": "studio", "fingerprint": "a" * 16, "role": "follower"},
    {"name": "attic", "fingerprint": "c" * 16, "role": "follower"},
    {"name": "laptop", "fingerprint": "d" * 16, "role": "leader"},
]
NEIGHBOURS = parse_neighbours({"name": "here", "found": FOUND, "known": KNOWN})
GROUP = json.loads("""
{"stage": "lost", "message": "x", "backend": "ring", "way": "pipeline", "exactness": "strict", "times_formed": 1,
 "ranks": [{"rank": 0, "host": "here", "stage": "ready", "since_s": 1.0, "memory_bytes": 16000000000,
            "free_bytes": 4000000000, "held_bytes": 2500000000, "share": {"part": 0.25, "layers": [24, 32]}},
           {"rank": 1, "host": "studio", "stage": "loading", "progress": 0.5, "share": null, "latency_ms": 0.44},
           {"rank": 2, "host": "mini", "stage": "lost", "since_s": 0.0, "error": "gone"}]}
""")


def test_the_group_comes_first_and_who_may_only_use_this_one_is_not_shown() -> None:
    lines = lines_of(NEIGHBOURS, ["studio", "10.0.0.9"], None)
    assert [(one.name, one.kind) for one in lines] == [
        ("here", "own"), ("studio", "chosen"), ("10.0.0.9", "chosen"), ("mini", "found"), ("attic", "joined"),
    ]  # fmt: skip
    assert lines[1].detail == "Apple M4 · 64 GB"
    assert lines[-1].state == "does not offer itself now"
    assert [one.kind for one in lines_of(NEIGHBOURS, [], None)] == ["own", "joined", "found", "joined"]
    assert [one.name for one in lines_of(Neighbours(), [], None)] == ["This Mac"]


def test_each_machine_of_a_group_tells_what_it_has_holds_and_how_it_is() -> None:
    own, loading, lost, *_ = lines_of(NEIGHBOURS, ["studio", "mini"], parse_group(GROUP))
    assert own.detail == "16 GB · 4.0 GB free · holds 2.5 GB · 25% of the model · layers 25–32"
    assert (own.state, own.part, own.is_wrong) == ("in the group", 0.25, False)
    assert (loading.state, loading.detail, loading.part) == ("loading, 50%", "0.4 ms away", None)
    assert lost.state.startswith("lost since ")
    assert lost.is_wrong


@pytest.mark.parametrize(("stage", "words"), [("missing", "does not answer"), ("starting", "connecting…")])
def test_every_stage_has_words(stage: str, words: str) -> None:
    group = parse_group({"stage": "forming", "message": "", "ranks": [{"host": "here", "stage": stage}]})
    assert lines_of(NEIGHBOURS, [], group)[0].state == words


def test_how_it_is_split_is_told_while_it_answers() -> None:
    assert "one to the next" in way_words(parse_group(GROUP | {"stage": "ready"}))
    assert "every layer" in way_words(parse_group(GROUP | {"stage": "ready", "way": "tensor"}))
    assert way_words(parse_group(GROUP)) == way_words(None) == ""


def test_what_is_no_group_and_no_machines_is_said_so() -> None:
    with pytest.raises(ProtocolError):
        parse_group({"stage": "ready"})
    with pytest.raises(ProtocolError):
        parse_neighbours({"name": "here", "found": [{}], "known": []})


def test_memory_as_people_read_it() -> None:
    assert [gigabytes(count) for count in (0, 9_400_000_000, 68_700_000_000)] == ["", "9.4 GB", "69 GB"]
