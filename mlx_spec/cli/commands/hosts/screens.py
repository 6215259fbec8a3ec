"""Where a code is compared: at a terminal, or in another program that reads and writes lines of JSON."""

import json
import queue
import sys
import threading
from typing import Any

import typer

from mlx_spec.cli.terminal.json_output import write_json
from mlx_spec.hosts.finding.offering import Decision

_LOOK_S = 0.1


class Lines:
    """What is typed, or written by another program, line by line; one thread reads, so that none is lost to a question
    that nobody waits for any more. `ended` is set at its end."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self.ended = threading.Event()
        threading.Thread(target=self._read, name="lines", daemon=True).start()

    def drop(self) -> None:
        """Forget what was typed before anybody asked: to be called before the question shows."""
        while not self._lines.empty():
            self._lines.get_nowait()

    def next(self, given_up: threading.Event) -> str | None:
        """The next line; None where there is none, or somebody has given up."""
        while not given_up.is_set():
            try:
                return self._lines.get(timeout=_LOOK_S)
            except queue.Empty:
                if self.ended.is_set():
                    return None
        return None

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line.strip())
        self.ended.set()


class TerminalScreen:
    """A person who reads and types."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def compare(self, name: str, code: str, address: str, withdrawn: threading.Event) -> Decision:
        """Ask; the code itself, typed as the other screen shows it, is a yes too."""
        self._lines.drop()
        typer.echo(f"{name} ({address}) asks to use this machine, and should show the code {spaced(code)}.")
        typer.echo("Type y if it does, n if not, or never if it shall not ask again: ", nl=False)
        sys.stdout.flush()
        said = self._lines.next(withdrawn)
        if said is None:
            typer.echo("\nIt asks no longer." if withdrawn.is_set() else "")
        return "yes" if is_yes(said, code) else "never" if said is not None and said.casefold() == "never" else "no"

    def tell(self, kind: str, name: str, sentence: str) -> None:
        """A line."""
        typer.echo(sentence)
        sys.stdout.flush()


class JsonScreen:
    """Another program, such as Lookahead's window. It writes `{"confirmed": true}` or false, with `"never": true` where
    nobody wants to be asked again."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def compare(self, name: str, code: str, address: str, withdrawn: threading.Event) -> Decision:
        """Ask."""
        self._lines.drop()
        self.write({"event": "asked", "name": name, "code": code, "address": address})
        said = self._lines.next(withdrawn)
        if withdrawn.is_set():
            self.write({"event": "withdrawn", "name": name})
        return "yes" if is_confirmed(said) else "never" if is_never(said) else "no"

    def tell(self, kind: str, name: str, sentence: str) -> None:
        """An event."""
        self.write({"event": kind, "name": name, "message": sentence})

    def write(self, value: dict[str, Any]) -> None:
        """A line."""
        write_json(value)
        sys.stdout.flush()


def is_yes(said: str | None, code: str) -> bool:
    """Whether a person says that the code is the same; another code is a no."""
    return said is not None and (said.casefold() in ("y", "yes") or said.replace(" ", "") == code)


def is_confirmed(said: str | None) -> bool:
    """The same of a program."""
    return _object(said).get("confirmed") is True


def is_never(said: str | None) -> bool:
    """Whether a program says that it is a no for good."""
    return _object(said).get("never") is True


def _object(said: str | None) -> dict[str, Any]:
    try:
        told = json.loads(said or "")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def spaced(code: str) -> str:
    """As people read it out."""
    return f"{code[:3]} {code[3:]}"
