"""`mlx-spec serve`: what its options become."""

from typing import Any

import pytest

from mlx_spec.batching.settings import BatchSettings
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.server import serve as serving
from tests.cli.calling import mlx_spec


@pytest.mark.parametrize(
    ("options", "found"), [([], True), (["--prefix-memory", "50"], True), (["--prefix-memory", "0"], False)]
)
def test_what_was_read_is_kept_where_that_is_wanted(
    models: list[str], monkeypatch: pytest.MonkeyPatch, options: list[str], found: bool
) -> None:
    decoders: list[SpeculativeDecoder] = []

    def run_server(load: Any, **_: Any) -> None:
        decoders.append(load(lambda stage, fraction: None)[1])

    monkeypatch.setattr(serving, "run_server", run_server)
    done = mlx_spec("serve", *models, *options)
    assert done.returncode == 0, done.stderr
    [decoder] = decoders
    for _ in range(2):
        list(decoder.stream(list(range(1, 200)), max_tokens=2))
    assert (decoder.prefix_stats().kept_bytes > 0) == found


@pytest.mark.parametrize("command", ["serve", "chat", "run"])
@pytest.mark.parametrize("value", ["-1", "lots", "", "1.5", "nan", "9" * 5000])
def test_a_memory_that_is_none_is_one_sentence(command: str, value: str) -> None:
    files = ["a.prompt.md", "--out", "out"] if command == "run" else []
    done = mlx_spec(command, *files, "--prefix-memory", value)
    assert done.returncode == 2
    assert done.stderr == f"mlx-spec: prefix_memory is {value!r}: it must be a whole number of MB, 0 to keep nothing.\n"


def test_the_help_tells_of_it() -> None:
    for command in ("serve", "chat", "run"):
        assert "--prefix-memory" in mlx_spec(command, "--help").stdout
    assert "--prefix-memory" not in mlx_spec("generate", "--help").stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], BatchSettings(prefill_budget_ms=250.0)),
        (["--max-batch", "1"], BatchSettings(max_batch=1, prefill_budget_ms=250.0)),
        (
            ["--policy", "deadline", "--preemption", "recompute"],
            BatchSettings(policy="deadline", preemption="recompute", prefill_budget_ms=250.0),
        ),
        (["--max-waiting", "0", "--prefill-budget-ms", "12.5"], BatchSettings(max_waiting=0, prefill_budget_ms=12.5)),
    ],
)
def test_how_many_are_answered_at_once_is_the_server_s_to_say(
    monkeypatch: pytest.MonkeyPatch, options: list[str], expected: BatchSettings
) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(serving, "run_server", lambda load, **told: given.append(told))
    done = mlx_spec("serve", *options)
    assert done.returncode == 0, done.stderr
    assert [told["settings"] for told in given] == [expected]
    assert [told["report"] for told in given] == [False]


def test_a_batch_of_very_many_has_a_row_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(serving, "run_server", lambda load, **told: given.append(told))
    assert mlx_spec("serve", "--max-batch", "3000", "--report").returncode == 0
    assert given[0]["settings"].step_tokens > 3000
    assert given[0]["report"] is True


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--max-batch", "0", "max_batch is 0: it must be a whole number of at least 1."),
        ("--max-batch", "-3", "max_batch is -3: it must be a whole number of at least 1."),
        ("--max-waiting", "-1", "max_waiting is -1: it must be a whole number of at least 0."),
        ("--prefill-budget-ms", "0", "prefill_budget_ms is 0.0: it must be a number of milliseconds above 0."),
        ("--prefill-budget-ms", "nan", "prefill_budget_ms is nan: it must be a number of milliseconds above 0."),
    ],
)
def test_a_batch_that_is_none_is_one_sentence(option: str, value: str, told: str) -> None:
    done = mlx_spec("serve", option, value)
    assert (done.returncode, done.stderr) == (2, f"mlx-spec: {told}\n")


def test_an_order_that_is_unknown_is_told_with_those_that_are() -> None:
    done = mlx_spec("serve", "--policy", "luck")
    assert done.returncode == 2
    for name in ("luck", "fcfs", "shortest", "priority", "deadline", "orca"):
        assert name in done.stderr
