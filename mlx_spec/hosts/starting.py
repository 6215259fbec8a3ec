"""Starting the process of a rank, here or by ssh, and ending it whatever it does."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import psutil

from mlx_spec.hosts.finding.joined import joined, why_not_reached

SSH_FAILED: Final = 255
"""The exit code of ssh itself; any other one is that of what ran there."""
_SSH: Final = (
    *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"),
    # So that this end of a dead connection is noticed; the other end has the control channel.
    *("-o", "ServerAliveInterval=3", "-o", "ServerAliveCountMax=3"),
)
# A byte at a time, as sh reads: what stands behind the empty line is for who is started.
_READ_ENVIRONMENT: Final = 'while IFS= read -r line && [ -n "$line" ]; do export "$line"; done'
_KEPT_LINES: Final = 20

Relay = Callable[[str], object]
"""Hears each line that a rank writes."""


def ssh_command(host: str, script: str) -> list[str]:
    """The command that runs a script of sh on another machine, whichever shell its user has."""
    return [*_SSH, host, f"exec sh -c {shlex.quote(script)}"]


def remote_script(
    command: Sequence[str], *, host: str, python: str | None, folder: str | None, reads_environment: bool = False
) -> str:
    """What starts a rank on `host`: `command`, with its interpreter replaced by `python` where one is named, else where
    it is not there by the `mlx-spec` of the path. Where it `reads_environment`, its input begins with what
    `environment_lines` wrote: a value may be a secret, and whoever has an account reads command lines."""
    lines = [_READ_ENVIRONMENT] if reads_environment else []
    if folder is not None:  # a checkout is found from its folder
        lines.append(f"cd {shlex.quote(folder)} 2>/dev/null")
    program, *arguments = command
    own = shlex.join([python or program, *arguments])
    if python is not None:
        lines.append(f"exec {own}")
    else:
        on_path = shlex.join(["mlx-spec", *(arguments[2:] if arguments[:1] == ["-m"] else arguments)])
        lines += [
            f"[ -x {shlex.quote(program)} ] && exec {own}",
            f"command -v mlx-spec >/dev/null && exec {on_path}",
            f"echo {shlex.quote(_no_program(host, program))} >&2",
            "exit 127",
        ]
    return "\n".join(lines)


def environment_lines(envs: Sequence[str]) -> bytes:
    """`NAME=VALUE` for each variable, and an empty line: what another machine's rank reads first. Nothing where there
    is none."""
    return "".join(f"{line}\n" for line in (*envs, "")).encode() if envs else b""


class RankProcess:
    """One started rank. Its first line of input is `config`, as JSON, behind what is to be read `before` it; the pipe
    behind that is its leash.

    `ended` is called once, from a thread, with its exit code. `last_words` is the last line that it wrote. With
    `keeps_output` it writes its output where this process does, and only what goes to stderr is relayed.
    """

    def __init__(
        self,
        command: Sequence[str],
        config: Mapping[str, Any],
        *,
        relay: Relay | None,
        ended: Callable[[int], object],
        before: bytes = b"",
        environment: Mapping[str, str] | None = None,
        handed: Collection[int] = (),
        keeps_output: bool = False,
    ) -> None:
        out = subprocess.PIPE if relay is not None else None  # None: it writes where this process does
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=None if keeps_output else out,
            stderr=subprocess.STDOUT if relay is not None and not keeps_output else out,
            env={**os.environ, **(environment or {})},
            pass_fds=tuple(handed),
            start_new_session=True,  # Ctrl-C is for who started it, and ends it in order
        )
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._ended, self._relay = ended, relay
        self._reader = threading.Thread(target=self._read, name="rank's output", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name="rank's end", daemon=True).start()
        self._hand(before + json.dumps(config).encode() + b"\n")

    @property
    def pid(self) -> int:
        """Its process, or that of the ssh that started it."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """The last line that it wrote; empty where it wrote none."""
        return self._lines[-1] if self._lines else ""

    @property
    def is_over(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    @property
    def is_stopped(self) -> bool:
        """Whether it is stopped (SIGSTOP), as far as this machine can tell: of an ssh, nothing is known."""
        try:
            return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False

    def ask(self) -> None:
        """Ask it to end, as Ctrl-C would."""
        if not self.is_over:
            self._process.terminate()

    def loose(self) -> None:
        """Close its leash, which ends it, wherever it is and whatever it does."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # nobody reads there any more
            self._process.stdin.close()

    def wait(self, limit_s: float) -> bool:
        """Wait for its end; False where that takes longer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(limit_s)
        return self.is_over

    def end(self, limit_s: float) -> None:
        """Have it gone: by its leash, and after `limit_s` by the system."""
        self.loose()
        if not self.wait(limit_s):
            self._process.kill()
            self._process.wait()

    def _hand(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, and says why
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout or self._process.stderr
        if stream is None or self._relay is None:
            return
        with stream as output:
            for line in output:
                text = line.decode(errors="replace").rstrip()
                if text:
                    self._lines.append(text)
                    self._relay(text)

    def _wait(self) -> None:
        code = self._process.wait()
        # What it said last belongs to its end; but who inherited its output may keep that open.
        self._reader.join(1.0)
        self._ended(code)


def reach(host: str, limit_s: float = 15.0) -> str | None:
    """Why a machine cannot be asked to start a rank: in ssh's own words, unless it was joined; None where it can."""
    if (known := joined(host)) is not None:
        return why_not_reached(known)
    try:
        done = subprocess.run(
            ssh_command(host, "exit 0"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        return "there is no ssh on this machine"
    except subprocess.TimeoutExpired:
        return f"ssh had no answer within {limit_s:g} s"
    if done.returncode == 0:
        return None
    words = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    return words[-1].strip().rstrip(".") if words else f"ssh ended with {done.returncode}"


def _no_program(host: str, program: str) -> str:
    return (
        f"mlx-spec: {host} has neither {program} nor an mlx-spec on its path: install Lookahead there, and name its"
        " interpreter with --python."
    )


def tell_on_stderr(host: str, rank: int) -> Relay:
    """A relay that writes a rank's lines to stderr, those of others than rank 0 with whose they are."""

    def tell(line: str) -> None:
        sys.stderr.write(f"[{host}, rank {rank}] {line}\n" if rank else f"{line}\n")
        sys.stderr.flush()

    return tell
