"""The server as a process: its address, its parent and its end."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from mlx_spec.errors import ServerError
from mlx_spec.server.address import bind
from mlx_spec.server.engine.served import Decoder, Pair, Progress
from mlx_spec.server.guard import KEY_VARIABLE, checked_key
from mlx_spec.server.serve import run_server

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
HANGS_S = 60  # no measure of time: only so that what hangs is a failure
HELLO = [{"role": "user", "content": "hello"}]


@contextmanager
def server_process(
    program: Sequence[str] = ("-m", "tests.server.scripted_server"),
    *more: str,
    parent_pid: int = 0,
    step_s: float = 0.01,
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A scripted server process, and its address. It hears a closed terminal also where these tests run under nohup."""
    command = [sys.executable, *program, "0", str(parent_pid), str(step_s), *more]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what is ignored is handed down
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGHUP, before)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Listening on http://127.0.0.1:"), line
            yield process, line.split()[-1]
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "presses"), [*((number, 1) for number in SIGNALS), (signal.SIGINT, 3)])
def test_a_signal_while_it_answers_ends_it_with_0_and_its_stream_with_a_message(number: int, presses: int) -> None:
    body = {"messages": HELLO, "stream": True}
    with server_process() as (process, url):
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=10) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            for _ in range(presses):
                process.send_signal(number)
            assert "The server is stopping." in "".join(lines)  # and its end: a cut would raise
        assert process.wait(HANGS_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_at_the_end_it_reports_what_became_of_the_requests() -> None:
    with server_process(("-m", "tests.server.scripted_server"), "report") as (process, url):
        for _ in range(2):
            answer = httpx.post(
                f"{url}/v1/chat/completions", json={"messages": HELLO, "max_tokens": 3}, timeout=HANGS_S
            )
            assert answer.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANGS_S) == 0
        assert process.stdout is not None
        report = process.stdout.read()
    assert [line.split() for line in report.splitlines() if line.startswith("  done")] == [["done", "2"]]
    assert "in the queue" in report


def test_a_pass_that_does_not_return_is_left_behind_with_a_line_in_the_log() -> None:
    with server_process(step_s=600.0) as (process, url):
        body = {"messages": HELLO, "stream": True}
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=10) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            process.terminate()
            assert "The server is stopping." in "".join(lines)
        assert process.wait(HANGS_S) == 0
        assert process.stderr is not None
        assert process.stderr.read().startswith("Leaving without waiting for engine: ")


def test_a_stream_without_an_end_of_its_own_is_ended_and_not_cut() -> None:
    with (
        server_process() as (process, url),
        httpx.stream("GET", f"{url}/v1/models/downloads/events", timeout=HANGS_S) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        process.terminate()
        assert "data: " not in "".join(lines)
        assert process.wait(HANGS_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_who_is_started_to_outlive_a_terminal_does() -> None:
    ignoring = "import signal, runpy; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    ignoring += "runpy.run_module('tests.server.scripted_server', run_name='__main__', alter_sys=True)"
    with server_process(["-c", ignoring]) as (process, url):
        process.send_signal(signal.SIGHUP)
        assert httpx.get(f"{url}/health").status_code == 200
        process.terminate()
        assert process.wait(HANGS_S) == 0


def test_it_ends_with_its_parent() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent,
        server_process(parent_pid=parent.pid) as (process, url),
    ):
        assert httpx.get(f"{url}/health").status_code == 200
        parent.kill()  # and not yet reaped: a zombie is gone, too
        assert process.wait(HANGS_S) == 0


def test_a_parent_that_was_gone_before_ends_it_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as parent:
        parent.wait()
    with server_process(parent_pid=parent.pid) as (process, _):
        assert process.wait(HANGS_S) == 0


def never(progress: Progress) -> tuple[Pair, Decoder]:
    """A loader that must not be called."""
    raise AssertionError("the models were loaded")


def test_a_port_in_use_is_one_sentence_before_any_model_is_loaded() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"^Cannot listen on 127.0.0.1, port {port}: .* another port\.$"):
            run_server(never, model_name="x", port=port)


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70000), ("192.0.2.1", 0)])
def test_an_address_that_is_none_is_one_sentence(host: str, port: int) -> None:
    with pytest.raises(ServerError) as caught:
        run_server(never, model_name="x", host=host, port=port, api_key="k")
    assert host in str(caught.value)
    assert str(port) in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "my-mac.local"])
def test_the_network_needs_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(ServerError, match="give an API key"):
        run_server(never, model_name="x", host=host)
    assert checked_key("secret", host) == "secret"
    monkeypatch.setenv(KEY_VARIABLE, "from-the-environment")
    assert checked_key(None, host) == "from-the-environment"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.5"])
def test_loopback_needs_none(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "")
    assert checked_key(None, host) is None


@pytest.mark.parametrize("key", ["", "with space", "ключ", "line\n"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ServerError, match="printable ASCII"):
        checked_key(key, "127.0.0.1")


def test_a_bound_socket_takes_connections_before_the_server_runs() -> None:
    with bind("localhost", 0) as listener:
        assert listener.family in (socket.AF_INET, socket.AF_INET6)
        with socket.create_connection(listener.getsockname()[:2], timeout=2) as connection:
            assert connection.getpeername()[1] == listener.getsockname()[1]
