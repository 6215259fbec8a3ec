"""The ways by which a machine is asked the questions of `questions`: itself, over SSH, or where it offers itself."""

import json
import queue
import subprocess
import threading
from contextlib import suppress
from typing import Any, Final, Protocol

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.questions import answer
from mlx_spec.hosts.finding.sealed import SecureChannel

FIRST_WORD_S: Final = 20.0
"""So long a machine may take to log somebody in and to start a Python."""


class WayError(LookaheadError):
    """The machine cannot be asked; the sentence says what to do."""


class Way(Protocol):
    """A machine that can be asked."""

    def ask(self, question: dict[str, Any], timeout_s: float = FIRST_WORD_S) -> dict[str, Any]:
        """The answer. Raises WayError or ChannelError where none comes."""

    def close(self) -> None:
        """Ask no more."""


class OwnWay:
    """This very process."""

    def ask(self, question: dict[str, Any], timeout_s: float = FIRST_WORD_S) -> dict[str, Any]:
        """The answer, at once."""
        return answer(question)

    def close(self) -> None:
        """Nothing to do."""


class OfferedWay:
    """A machine that was joined."""

    def __init__(self, channel: SecureChannel) -> None:
        self._channel = channel

    def ask(self, question: dict[str, Any], timeout_s: float = FIRST_WORD_S) -> dict[str, Any]:
        """The answer. Raises ChannelError."""
        self._channel.tell(question)
        return self._channel.hear(timeout_s)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


class ProcessWay:
    """`mlx-spec hosts answer` as a process: a child of this one, or over SSH. Questions and answers are lines of JSON.

    `name` is the machine's in sentences.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        self._name = name
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise WayError(
                f"{command[0]} cannot be started here ({(error.strerror or str(error)).lower()})."
            ) from error
        self._said: queue.Queue[str | None] = queue.Queue()
        self._complaints: list[str] = []
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._listen, self._complain)]
        for thread in self._threads:
            thread.start()

    def ask(self, question: dict[str, Any], timeout_s: float = FIRST_WORD_S) -> dict[str, Any]:
        """The answer. Raises WayError."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone, which reading tells with its reason
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        while True:
            try:
                line = self._said.get(timeout=timeout_s)
            except queue.Empty:
                raise WayError(
                    f"{self._name} did not answer within {timeout_s:g} s: look whether it is awake."
                ) from None
            if line is None:
                raise WayError(self._ended())
            # What a login shell says of itself is no answer.
            with suppress(ValueError):
                if isinstance(value := json.loads(line), dict):
                    return value

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1.0)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line)
        self._said.put(None)

    def _complain(self) -> None:
        assert self._process.stderr is not None
        self._complaints += [line.strip() for line in self._process.stderr if line.strip()]

    def _ended(self) -> str:
        self._process.wait(2.0)
        self._threads[1].join(1.0)
        return ssh_problem(self._name, self._process.returncode, self._complaints)


def ssh_problem(name: str, code: int, complaints: list[str]) -> str:
    """What to do where `ssh` or what it ran ended with `code`, by what was said then."""
    said = " ".join(complaints)
    low = said.lower()
    if code == 127 or "command not found" in low or "no module named" in low:
        return f"Lookahead is not installed on {name}, or not where its login shell looks: install it there."
    if "permission denied" in low:
        return f"{name} asks for a password: run `ssh-copy-id {name}` once, so that it lets you in by a key."
    if "host key verification failed" in low or "authenticity" in low:
        return f"{name} is not known to ssh yet, or has another key than before: run `ssh {name}` once and look."
    if "could not resolve" in low or "not known" in low:
        return f"There is no machine called {name} on this network: look at its name in System Settings, Sharing."
    if any(words in low for words in ("timed out", "no route", "unreachable", "is down")):
        return f"{name} cannot be reached: wake it, and look whether both are on the same network."
    if "refused" in low:
        return f"{name} takes no ssh: switch on Remote Login there (System Settings, Sharing), or offer it instead."
    last = complaints[-1] if complaints else "without a word"
    return f"{name} ended with code {code} ({last[:200]}): try `ssh {name} mlx-spec doctor`."
