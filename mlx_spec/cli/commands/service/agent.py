"""What starts the server when its person logs in: a file that the system reads, and the commands that make it do so."""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlx_spec.errors import ServerError, StorageError
from mlx_spec.machine.private import write_private

# What the server reads of its environment, and would not find when the system starts it.
_HUB: Final = ("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT")
KEPT_VARIABLES: Final = ("LOOKAHEAD_HOME", "LOOKAHEAD_API_KEY", "LOOKAHEAD_BLAS", *_HUB)
Run = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]


@dataclass(frozen=True, slots=True)
class Service:
    """The process to be started: its words, and what its environment has besides."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


def kept_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the server will need."""
    return {name: environment[name] for name in KEPT_VARIABLES if environment.get(name)}


def run_command(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """A `Run`: to its end, with what it said. A program that is missing is one that failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: {error}")


class Agent(ABC):
    """A system's way to start a service. `path` is its file."""

    def __init__(self, path: Path, run: Run = run_command) -> None:
        self.path = path
        self._run = run

    @abstractmethod
    def text(self, service: Service) -> bytes:
        """What its file says."""

    @abstractmethod
    def command(self) -> list[str]:
        """The words of its file's command. Raises OSError and ValueError for a file that somebody else wrote."""

    @abstractmethod
    def start(self) -> None:
        """Have the system read the file and start the service, now and at every log-in. Raises ServerError."""

    @abstractmethod
    def stop(self) -> None:
        """End the service, and have the system forget it; not an error where it knows none."""

    @abstractmethod
    def is_running(self) -> bool:
        """Whether its process is there."""

    @property
    def is_installed(self) -> bool:
        """Whether its file is there."""
        return self.path.is_file()

    def install(self, service: Service) -> None:
        """Write the file, which may hold a key and is its owner's alone, and start the service anew.

        Raises StorageError where it cannot be written, ServerError where the system does not start it; the file stays.
        """
        if self.is_installed:
            self.stop()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_private(self.path, self.text(service))
        except OSError as error:
            raise StorageError(
                f"The service cannot be written to {self.path} ({(error.strerror or str(error)).lower()}).",
                details=repr(error),
            ) from error
        self.start()

    def uninstall(self) -> bool:
        """Stop the service and remove its file; False where there was none. Raises StorageError."""
        if not self.is_installed:
            return False
        self.stop()
        try:
            self.path.unlink()
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be removed ({(error.strerror or str(error)).lower()}), so remove it by hand.",
                details=repr(error),
            ) from error
        return True

    def _done(self, *command: str) -> str:
        """Run a command of the system. Raises ServerError where it fails."""
        done = self._run(command)
        if done.returncode:
            reason = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise ServerError(
                f"The service is written to {self.path}, but {os.path.basename(command[0])} did not start it"
                f" ({reason.rstrip('.')}): log in at this machine itself and install it again there.",
                details=done.stderr,
            )
        return done.stdout
