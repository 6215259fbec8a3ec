"""Ctrl-C, a closed terminal and a closed pipe, wherever a command is: one line, the usual exit status, work kept."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlx_spec.machine.interruption import StopRequest
from tests.hub.contents import folder_model
from tests.hub.loopback import serving

HANGS_S = 120  # no measure of time: only so that what hangs is a failure

LOADING = "mlx_spec.models.loading:load_weights"
CALIBRATING = "mlx_spec.decoder:SpeculativeDecoder.calibrate"
READING = "mlx_spec.decoding.target:Target.prefill"
ASKING = "mlx_spec.cli.commands.chat.talk:_lines"
ANSWERING = "mlx_spec.decoding.target:Target.asked"


class Held:
    """A command that stops at places, and is told to go on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wait_for(self, place: str) -> None:
        """Read what it says on stderr until it has come to `place`."""
        wanted = f"held {place.rpartition(':')[2].rpartition('.')[2]}\n"
        assert self.process.stderr is not None
        said: list[str] = []
        for line in iter(self.process.stderr.readline, ""):
            if line == wanted:
                return
            said.append(line)
        raise AssertionError(f"it never came to {place}: {said}")

    def go_on(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        """Exit status, and what else it said on stdout and stderr; progress bars leave an empty line there."""
        out, err = self.process.communicate(timeout=HANGS_S)
        return self.process.returncode, out, err.strip()


@contextmanager
def held(*places: str, words: list[str]) -> Iterator[Held]:
    command = [sys.executable, "-m", "tests.cli.held", ",".join(places), *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | {"LOOKAHEAD_BLAS": "off"}
    ) as process:
        try:
            yield Held(process)
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("place", "number", "status"),
    [
        (LOADING, signal.SIGINT, 130),
        (CALIBRATING, signal.SIGINT, 130),
        (READING, signal.SIGHUP, 129),
        (ANSWERING, signal.SIGTERM, 143),
    ],
)
def test_an_answer_that_is_interrupted_is_one_line(models: list[str], place: str, number: int, status: int) -> None:
    with held(place, words=["generate", "hello", *models]) as command:
        command.wait_for(place)
        command.process.send_signal(number)
        assert command.end() == (status, "", "mlx-spec: interrupted.")


def test_who_presses_twice_loses_nothing_of_a_run(models: list[str], tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.prompt.md").write_text("---\nmax_tokens: 5\n---\nhello")
    out = tmp_path / "out"
    writing = "mlx_spec.cli.commands.run.outputs:write_table"
    words = ["run", str(tmp_path), "--out", str(out), *models]
    with held(READING, writing, words=words) as command:
        command.wait_for(READING)
        command.process.send_signal(signal.SIGINT)
        command.wait_for(writing)
        command.process.send_signal(signal.SIGINT)
        command.go_on()
        status, _, said = command.end()
    assert (status, said) == (130, f"mlx-spec: interrupted: 0 of 3 prompts were answered; a table of all is in {out}.")
    assert [row["state"] for row in json.loads((out / "results.json").read_text())] == ["stopped"] * 3


def test_who_presses_a_third_time_is_out_at_once(models: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.prompt.md").write_text("hello")
    writing = "mlx_spec.cli.commands.run.outputs:write_table"
    with held(READING, writing, words=["run", str(tmp_path), "--out", str(tmp_path / "out"), *models]) as command:
        command.wait_for(READING)
        command.process.send_signal(signal.SIGINT)
        command.wait_for(writing)
        while command.process.poll() is None:  # two that come together count as one
            command.process.send_signal(signal.SIGINT)
        assert command.end() == (-signal.SIGINT, "", "")


def test_ctrl_c_in_a_chat_ends_the_answer_and_at_the_prompt_the_chat(models: list[str]) -> None:
    with held(ANSWERING, ASKING, words=["chat", *models, "--max-tokens", "200"]) as command:
        command.wait_for(ASKING)
        command.go_on()
        command.go_on("hello")
        command.wait_for(ANSWERING)
        command.process.send_signal(signal.SIGINT)
        command.go_on()
        command.go_on("/quit")
        status, said, errors = command.end()
    assert (status, errors) == (0, "")
    assert "Stopped." in said
    with held(ASKING, "rich.console:Console.input", words=["chat", *models]) as command:
        command.wait_for(ASKING)
        command.go_on()
        command.wait_for("rich.console:Console.input")
        command.process.send_signal(signal.SIGINT)
        status, _, errors = command.end()
    assert (status, errors) == (130, "mlx-spec: interrupted.")


def test_a_second_ctrl_c_leaves_a_chat_whose_round_does_not_end() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest() as stop:
            assert not stop.asked()
            signal.raise_signal(signal.SIGINT)
            assert stop.asked()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_measurement_keeps_what_was_measured(models: list[str], tmp_path: Path) -> None:
    out, running = tmp_path / "bench.json", "mlx_spec.bench.session:_run"
    with held(running, words=["bench", *models, "--out", str(out), "--contenders", "plain"]) as command:
        command.wait_for(running)
        command.process.send_signal(signal.SIGINT)
        status, _, errors = command.end()
    assert status == 130
    assert errors == f"mlx-spec: interrupted: what was measured so far is in {out}, and --show {out} prints it."
    assert json.loads(out.read_text())["complete"] is False


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("mlx_spec.cli.commands.train.sample:sample_answers", ["train", "sample", "--corpus", "corpus"]),
        ("mlx_spec.cli.commands.doctor.report:report", ["doctor"]),
        ("mlx_spec.bench.race:race", ["models", "try"]),
    ],
)
def test_other_commands_say_one_line_too(
    models: list[str], tmp_path: Path, place: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    words = words + {"train": models[:2], "models": [models[1], *models[2:]]}.get(words[0], [])
    with held(place, words=words) as command:
        command.wait_for(place)
        command.process.send_signal(signal.SIGINT)
        status, said, errors = command.end()
    assert (status, said, errors.splitlines()[-1]) == (130, "", "mlx-spec: interrupted.")
    assert "Traceback" not in errors


def test_a_download_is_paused_in_one_line(models: list[str]) -> None:
    model = folder_model(Path(models[1]), facts={"tags": ["license:mit"]})
    following = "mlx_spec.cli.commands.models.tables:follow_downloads"
    with serving({"org/tiny": model}) as hub:
        words = ["models", "pull", "org/tiny", "--anyway", "--endpoint", hub.endpoint]
        with held(following, words=words) as command:
            command.wait_for(following)
            command.process.send_signal(signal.SIGINT)
            status, _, errors = command.end()
    assert status == 130
    assert errors == "mlx-spec: paused: the same command goes on where it was."


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_reader_who_goes_away_ends_it_without_a_word(models: list[str], as_json: list[str]) -> None:
    with held(ANSWERING, words=["generate", "hello", *models, *as_json]) as command:
        command.wait_for(ANSWERING)
        assert command.process.stdout is not None
        command.process.stdout.close()
        command.go_on()
        assert command.process.stdin is not None
        command.process.stdin.close()
        assert command.process.wait(HANGS_S) == 1
        assert command.process.stderr is not None
        said = command.process.stderr.read()
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "Broken" not in said


def test_a_command_of_the_window_ends_with_the_window(models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as window:
        monkeypatch.setenv("LOOKAHEAD_PARENT_PID", str(window.pid))
        with held(LOADING, words=["generate", "hello", *models]) as command:
            command.wait_for(LOADING)
            window.kill()  # and not yet reaped: a zombie is gone, too
            command.process.wait(HANGS_S)
            assert command.end() == (143, "", "mlx-spec: interrupted.")
