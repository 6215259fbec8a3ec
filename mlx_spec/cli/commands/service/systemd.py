"""Linux: a user unit of systemd."""

import os
import shlex
from pathlib import Path
from typing import Final

from mlx_spec.cli.commands.service.agent import Agent, Run, Service, run_command

UNIT: Final = "lookahead.service"
_TEXT: Final = """\
# Written by `mlx-spec service install`, removed by `mlx-spec service uninstall`.
[Unit]
Description=Lookahead, a local language model server
Documentation=man:systemd.service(5)
StartLimitIntervalSec=60
StartLimitBurst=3

[Service]
Type=exec
ExecStart={command}
{environment}WorkingDirectory=~
Restart=on-failure
RestartSec=2
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


class UserUnit(Agent):
    """`UNIT` in the person's own folder of units, and `systemctl --user`."""

    def __init__(self, home: Path, run: Run = run_command) -> None:
        configuration = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        super().__init__(configuration / "systemd" / "user" / UNIT, run)

    def text(self, service: Service) -> bytes:
        """A unit file. It is started again where it failed, and not where somebody ended it."""
        pairs = [f"{name}={value}" for name, value in service.environment.items()]
        environment = "".join(f"Environment={quoted(pair)}\n" for pair in pairs)
        command = " ".join(quoted(word).replace("$", "$$") for word in service.command)
        return _TEXT.format(command=command, environment=environment).encode()

    def command(self) -> list[str]:
        """The words of ExecStart."""
        lines = self.path.read_text("utf-8").splitlines()
        line = next((line for line in lines if line.startswith("ExecStart=")), "")
        return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line.removeprefix("ExecStart="))]

    def start(self) -> None:
        """Raises ServerError."""
        self._done("systemctl", "--user", "daemon-reload")
        self._done("systemctl", "--user", "enable", "--now", UNIT)

    def stop(self) -> None:
        """systemctl complains of a unit that it does not know: nobody needs to hear it."""
        self._run(("systemctl", "--user", "disable", "--now", UNIT))

    def is_running(self) -> bool:
        """By systemd's own word."""
        return self._run(("systemctl", "--user", "is-active", "--quiet", UNIT)).returncode == 0


def quoted(word: str) -> str:
    """A word as unit files quote it; `%` begins a specifier there."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"'
