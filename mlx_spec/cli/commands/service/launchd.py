"""macOS: a launch agent of the person's own. Never run on a Mac: tested by its text and by the commands it gives."""

import os
import plistlib
from pathlib import Path
from typing import Final

from mlx_spec.cli.commands.service.agent import Agent, Run, Service, run_command

LABEL: Final = "org.lookahead-spec.serve"


class LaunchAgent(Agent):
    """`~/Library/LaunchAgents/LABEL.plist`, and `launchctl` in the person's graphical session."""

    def __init__(self, home: Path, run: Run = run_command) -> None:
        super().__init__(home / "Library" / "LaunchAgents" / f"{LABEL}.plist", run)
        self._home = home

    def text(self, service: Service) -> bytes:
        """A property list. It is started again where it failed, and not where somebody ended it."""
        log = str(self._home / "Library" / "Logs" / "Lookahead" / "serve.log")
        return plistlib.dumps(
            {
                "Label": LABEL,
                "ProgramArguments": list(service.command),
                "EnvironmentVariables": dict(service.environment),
                "WorkingDirectory": str(self._home),
                "RunAtLoad": True,
                "KeepAlive": {"SuccessfulExit": False},
                "ThrottleInterval": 10,
                "ProcessType": "Interactive",  # answers are waited for: no throttling of a background job
                "StandardOutPath": log,
                "StandardErrorPath": log,
            }
        )

    def command(self) -> list[str]:
        """ProgramArguments."""
        told = plistlib.loads(self.path.read_bytes())
        return [str(word) for word in told.get("ProgramArguments", ())]

    def start(self) -> None:
        """Raises ServerError."""
        (self._home / "Library" / "Logs" / "Lookahead").mkdir(parents=True, exist_ok=True)
        self._done("launchctl", "bootstrap", self._domain, str(self.path))

    def stop(self) -> None:
        """launchctl complains of a service that it does not know: nobody needs to hear it."""
        self._run(("launchctl", "bootout", f"{self._domain}/{LABEL}"))

    def is_running(self) -> bool:
        """By launchd's own word; a loaded agent whose process has ended is not running."""
        done = self._run(("launchctl", "print", f"{self._domain}/{LABEL}"))
        return done.returncode == 0 and "state = running" in done.stdout

    @property
    def _domain(self) -> str:
        return f"gui/{os.getuid()}"
