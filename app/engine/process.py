"""The engine's process: started, watched, started again when it dies, and never left behind."""

import logging
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

from app.engine.command import end, mlx_spec_command
from app.engine.health import EngineHealth, Health
from app.engine.network import EngineAddress
from app.engine.problem import Problem

CRASH_LIMIT = 3
CRASH_WINDOW_S = 60.0
BACKOFF_MS = (500, 1_000, 2_000)
LOG_LINES = 40
REFUSED = 2  # its exit code where it ends with a sentence for people
REACH_MS = 8_000

logger = logging.getLogger(__name__)
Command = Callable[[int, int], Sequence[str]]


class Client(Protocol):
    """What asks an engine."""

    def set_address(self, address: EngineAddress) -> None:
        """From now on it is asked there."""


class EngineState(Enum):
    """Where the engine stands."""

    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    STOPPED = "stopped"


def engine_command(port: int, parent_pid: int) -> list[str]:
    """`mlx-spec serve`; it ends by itself when `parent_pid` is gone.

    It loads what does not fit too: whoever chose that in the window was asked there.
    """
    arguments = ["serve", "--host", "127.0.0.1", "--port", str(port), "--parent-pid", str(parent_pid), "--anyway"]
    return mlx_spec_command(*arguments)


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EngineProcess(QObject):
    """Runs the engine as a child process, or watches one on another computer.

    `remote` is set before `start`: with an address there is no child, and requests go there. `models` too: what the
    command is told of the models to load, the starter pair where it is empty; and `options`, whatever else it is told.

    Signals:
        state_changed: the state and a sentence about it. Sent on every change of either.
        address_changed: the EngineAddress of a process just started; requests go there from now on.
        crashed: a Problem. Sent when the process died and will be started again.
        gave_up: a Problem. Sent when it died too often, could not be started, or said that it failed.
    """

    state_changed = Signal(object, str)
    address_changed = Signal(object)
    crashed = Signal(object)
    gave_up = Signal(object)

    def __init__(
        self, command: Command = engine_command, backoff_ms: Sequence[int] = BACKOFF_MS, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.state = EngineState.STOPPED
        self.message = ""
        self.remote: EngineAddress | None = None
        self.models: Sequence[str] = ()
        self.options: Sequence[str] = ()
        self.address: EngineAddress | None = None
        self._command = command
        self._backoff_ms = backoff_ms
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._crashes: deque[float] = deque(maxlen=CRASH_LIMIT)
        self._process: QProcess | None = None
        self._health: EngineHealth | None = None
        self._restart = QTimer(self, singleShot=True)
        self._restart.timeout.connect(self._launch)

    @property
    def pid(self) -> int | None:
        """The child's process id, None when there is none."""
        return self._process.processId() or None if self._process else None

    def start(self) -> None:
        """Start the engine, forgetting earlier crashes. Does nothing while it runs."""
        self._crashes.clear()
        if self.remote is not None:
            self._reach(self.remote)
        elif self._process is None:
            self._launch()

    def stop(self) -> None:
        """End the process and wait until it is gone."""
        self._restart.stop()
        process = self._let_go()
        if process is not None:
            end(process)
        self._set_state(EngineState.STOPPED, "")

    def connect_client(self, client: Client) -> None:
        """Have a client ask this engine: now, where it is known already, and wherever it listens later."""
        self.address_changed.connect(client.set_address)
        if self.address is not None:
            client.set_address(self.address)

    def log_tail(self) -> str:
        """The last lines the engine wrote."""
        return "\n".join(self._log)

    def _reach(self, address: EngineAddress) -> None:
        self._let_go()
        self._set_state(EngineState.STARTING, self.tr("Reaching {0}…").format(address.url))
        health = self._watch(address)
        QTimer.singleShot(REACH_MS, self, lambda: self._tell_unreached(address, health))

    def _tell_unreached(self, address: EngineAddress, health: EngineHealth) -> None:
        # By the watch, and not by the address: one that was left and chosen again has its own time.
        if self._health is health and self.state is EngineState.STARTING:
            advice = self.tr(
                "Look whether it runs there, and at the address in Settings. Reaching it goes on being tried."
            )
            self.gave_up.emit(Problem(self.tr("No engine answers at {0}.").format(address.url), advice, "", "none"))

    def _watch(self, address: EngineAddress) -> EngineHealth:
        self.address = address
        self.address_changed.emit(address)
        health = self._health = EngineHealth(address.url, self)
        health.answered.connect(self._on_health)
        health.start()
        return health

    def _launch(self) -> None:
        address = EngineAddress(f"http://127.0.0.1:{(port := free_port())}", secrets.token_urlsafe(32))
        process = QProcess(self)
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        process.setProcessEnvironment(_environment(address.api_key))
        process.readyRead.connect(self._read_log)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._log.clear()
        self._process = process
        self._set_state(EngineState.STARTING, self.tr("Starting the engine…"))
        program, *arguments = [*self._command(port, os.getpid()), *self.options, *self.models]
        process.start(program, arguments)
        if self._process is not process:  # it could not be started, and said so already
            return
        self._watch(address)

    def _on_health(self, health: Health) -> None:
        if health.status == "ready":
            self._set_state(EngineState.READY, health.message)
        elif health.status == "failed":
            problem = Problem(
                self.tr("The model could not be loaded."),
                health.message or self.tr("Look at the details."),
                self.log_tail(),
                "restart",
            )
            self.stop()
            self.gave_up.emit(problem)
        else:
            self._set_state(EngineState.LOADING, health.message or self.tr("Loading the model…"))

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and (process := self._let_go()):
            process.deleteLater()
            self._set_state(EngineState.STOPPED, "")
            advice = self.tr("Installing Lookahead again should help.")
            self.gave_up.emit(
                Problem(self.tr("The engine could not be started."), advice, process.errorString(), "restart")
            )

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read_log()
        process = self._let_go()
        if process is None:
            return
        process.deleteLater()
        if code == REFUSED and status == QProcess.ExitStatus.NormalExit and (why := self._refusal()):
            # It did not crash: it said in a sentence what is to be mended, and would say it again.
            self._set_state(EngineState.STOPPED, "")
            self.gave_up.emit(Problem(self.tr("The engine could not be started."), why, self.log_tail(), "restart"))
            return
        self._crashes.append(time.monotonic())
        how = self.tr("signal {0}").format(code) if status == QProcess.ExitStatus.CrashExit else f"exit code {code}"
        details = f"{how}\n{self.log_tail()}".strip()
        if len(self._crashes) == CRASH_LIMIT and self._crashes[-1] - self._crashes[0] < CRASH_WINDOW_S:
            self._set_state(EngineState.STOPPED, "")
            advice = self.tr("It stopped {0} times within a minute.").format(CRASH_LIMIT)
            self.gave_up.emit(Problem(self.tr("The engine keeps stopping."), advice, details, "restart"))
            return
        self._set_state(EngineState.STARTING, self.tr("Starting the engine again…"))
        self._restart.start(self._backoff_ms[min(len(self._crashes), len(self._backoff_ms)) - 1])
        self.crashed.emit(
            Problem(
                self.tr("The engine stopped unexpectedly."),
                self.tr("It is being started again. The conversation is kept."),
                details,
            )
        )

    def _refusal(self) -> str:
        """The sentence with which it ended; empty where there was none."""
        last = self._log[-1] if self._log else ""
        return last.removeprefix("mlx-spec: ") if last.startswith("mlx-spec: ") else ""

    def _let_go(self) -> QProcess | None:
        """Stop watching the process; returns it the first time."""
        process, self._process = self._process, None
        health, self._health = self._health, None
        if health is not None:
            health.stop()
            health.deleteLater()
        if process is not None:
            process.finished.disconnect(self._on_finished)
            process.errorOccurred.disconnect(self._on_error)
        return process

    def _read_log(self) -> None:
        if self._process is not None:
            text = bytes(self._process.readAll().data()).decode("utf-8", "replace")
            lines = [line for line in text.splitlines() if line.strip()]
            self._log.extend(lines)
            for line in lines:
                logger.info("engine: %s", line)

    def _set_state(self, state: EngineState, message: str) -> None:
        if (state, message) != (self.state, self.message):
            self.state, self.message = state, message
            self.state_changed.emit(state, message)


def _environment(api_key: str) -> QProcessEnvironment:
    environment = QProcessEnvironment.systemEnvironment()
    environment.insert("LOOKAHEAD_API_KEY", api_key)
    environment.insert("PYTHONUNBUFFERED", "1")
    return environment
