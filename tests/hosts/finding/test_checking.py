"""A look at machines before they are a group: facts, ways, and a sentence for each thing that is in the way."""

import json
from dataclasses import replace

import pytest

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.checking import Member, check
from mlx_spec.hosts.finding.facts import own_facts
from mlx_spec.hosts.finding.measuring import Echo, WayMeasured, measure
from mlx_spec.hosts.finding.questions import answer
from mlx_spec.hosts.finding.report import GroupReport, HostReport, LinkReport
from mlx_spec.hosts.finding.ways import OwnWay, ProcessWay, WayError, ssh_problem
from mlx_spec.machine.program import own_command
from tests.hosts.finding.machines import HERE


class Told(OwnWay):
    """A machine that says something else of itself."""

    def __init__(self, **changed: str) -> None:
        self._changed = changed

    def ask(self, question: dict, timeout_s: float = 0) -> dict:
        return answer(question) | (self._changed if question["ask"] == "facts" else {})


def unreachable() -> OwnWay:
    raise WayError("c cannot be reached: wake it.")


def test_machines_that_are_all_right_have_facts_ways_and_no_problem() -> None:
    report = check([Member(name, HERE, OwnWay) for name in "ab"])
    assert [one.facts.total_bytes for one in report.hosts if one.facts] == [own_facts().total_bytes] * 2
    assert [(one.here, one.there) for one in report.links] == [(0, 1), (1, 0)]
    assert all(one.way and one.way.round_trip_ms > 0 and one.way.bytes_per_s > 1e6 for one in report.links)
    assert report.problems == ()
    assert json.loads(json.dumps(report.to_dict()))["slowest"]["bytes_per_s"] > 1e6


def test_a_ring_of_four_is_measured_each_way_and_to_rank_0() -> None:
    links = check([Member(name, HERE, OwnWay) for name in "abcd"]).links
    assert [(one.here, one.there) for one in links] == [
        (0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (2, 0), (2, 1), (2, 3), (3, 0), (3, 2),
    ]  # fmt: skip


def test_each_thing_in_the_way_has_a_sentence_that_says_what_to_do() -> None:
    other = own_facts()
    report = check(
        [
            Member("a", HERE, OwnWay),
            Member("b", HERE, lambda: Told(mlx="0.1", python="3.12.1")),
            Member("c", HERE, unreachable),
            Member("d", "", OwnWay),
        ]
    )
    gone, nowhere, *_ = problems = report.problems
    assert gone == "c cannot be reached: wake it."
    assert nowhere.startswith("Nobody knows d's address")
    versions = problems[-1]
    assert versions == (
        f"b computes with other versions (MLX 0.1 on b and {other.mlx} here): install the same on both."
    )  # and no word hangs on Python's
    assert {(one.here, one.there) for one in report.links} == {(0, 1), (1, 0), (0, 3), (3, 0)}


def test_a_way_that_is_closed_is_told_with_both_names() -> None:
    def elsewhere() -> OwnWay:
        class Closed(OwnWay):
            def ask(self, question: dict, timeout_s: float = 0) -> dict:
                if question["ask"] != "echo":
                    return answer(question)
                echo = Echo(HERE)
                echo.close()
                return echo.told()

        return Closed()

    report = check([Member("a", HERE, OwnWay), Member("b", HERE, elsewhere)])
    there, back = report.links
    assert there.problem is not None
    assert there.problem.startswith(f"a does not reach b ({HERE} port")
    assert back.problem is None


def test_nobody_measures_without_the_token() -> None:
    echo = Echo(HERE)
    with pytest.raises(LookaheadError, match="does not answer"):
        measure(HERE, echo.port, bytes(16))
    assert measure(HERE, echo.port, echo.token).round_trip_ms > 0  # and the echo still waits for who has it


def test_a_process_answers_lines_and_what_a_shell_says_besides_is_passed_over() -> None:
    script = (
        "import json, sys; print('Welcome to studio', flush=True)\n"
        "for line in sys.stdin: print(json.dumps({'heard': json.loads(line)}), flush=True)"
    )
    way = ProcessWay("studio", [own_command()[0], "-c", script])
    assert way.ask({"ask": "facts"}) == {"heard": {"ask": "facts"}}
    way.close()


def test_one_that_ends_is_told_by_its_last_words() -> None:
    way = ProcessWay("studio", [own_command()[0], "-c", "import sys; sys.exit('Permission denied (publickey).')"])
    with pytest.raises(WayError, match="ssh-copy-id studio"):
        way.ask({"ask": "facts"})
    way.close()


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (127, "zsh: command not found: mlx-spec", "not installed"),
        (255, "ssh: Could not resolve hostname studio: nodename nor servname provided, or not known", "no machine"),
        (255, "ssh: connect to host studio port 22: Connection refused", "Remote Login"),
        (255, "ssh: connect to host studio port 22: Operation timed out", "wake it"),
        (255, "Host key verification failed.", "run `ssh studio`"),
        (3, "strange", r"code 3 \(strange\)"),
    ],
)
def test_what_ssh_says_becomes_what_to_do(code: int, said: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(ssh_problem("studio", code, [said]))


def test_jaccl_is_said_to_be_not_measured() -> None:
    link = LinkReport(0, 1, WayMeasured(0.5, 1e9))
    report = GroupReport((HostReport(0, "a", HERE, own_facts()),), (link,), "jaccl")
    assert "jaccl itself" in report.to_dict()["not_measured"]
    assert "not_measured" not in replace(report, backend="ring").to_dict()
