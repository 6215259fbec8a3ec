"""`mlx-spec service install | uninstall | status`."""

import itertools
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from mlx_spec.cli.commands.service.agent import Agent, Service, kept_environment
from mlx_spec.cli.commands.service.launchd import LaunchAgent
from mlx_spec.cli.commands.service.systemd import UserUnit
from mlx_spec.cli.terminal.json_output import AsJson, write_json
from mlx_spec.errors import ConfigError, LookaheadError
from mlx_spec.machine.program import own_command

app = typer.Typer(no_args_is_help=True)
NOT_RUNNING = 3
_Port = Annotated[int, typer.Option(help="Port; a service has one that stays.", min=1, max=65535)]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def install(
    context: typer.Context,
    port: _Port = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Start the server now, and whenever you log in. Further options are those of `mlx-spec serve`.

    The variables LOOKAHEAD_HOME, LOOKAHEAD_API_KEY, LOOKAHEAD_BLAS and the Hub's are kept as they are now.
    """
    check_place(Path(sys.executable))
    options = ["--host", host, "--port", str(port), *context.args]
    check_options(options)
    agent = agent_here()
    agent.install(Service(tuple(own_command("serve", *options)), kept_environment(os.environ)))
    typer.echo(f"Lookahead serves http://{host}:{port}/v1 from now on, and whenever you log in ({agent.path}).")


@app.command()
def uninstall() -> None:
    """Stop the server, and start it no more at log-in. Models and chats stay."""
    agent = agent_here()
    removed = agent.uninstall()
    typer.echo(f"The service is gone ({agent.path})." if removed else f"No service is installed ({agent.path}).")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Tell whether the service is installed, runs and answers. Exit code 3 where it does not run."""
    agent = agent_here()
    running = agent.is_installed and agent.is_running()
    found: dict[str, Any] = {"installed": agent.is_installed, "running": running, "path": str(agent.path)}
    address = served_address(agent) if agent.is_installed else None
    if address is not None:
        found |= {"url": f"http://{address}/v1", "health": health(address) if running else None}
    if as_json:
        write_json(found)
    else:
        typer.echo(_told(found))
    if not running:
        raise typer.Exit(NOT_RUNNING)


def agent_here() -> Agent:
    """This system's. Raises LookaheadError where there is none."""
    if sys.platform == "darwin":
        return LaunchAgent(Path.home())
    if sys.platform == "linux":
        return UserUnit(Path.home())
    raise LookaheadError(f"Services are set up on macOS and Linux only, and this system is {sys.platform}.")


def check_place(program: Path) -> None:
    """Raise LookaheadError where the program will not be found again: on a disk image, or where macOS put it aside."""
    if program.is_relative_to("/Volumes") or "AppTranslocation" in program.parts:
        raise LookaheadError(
            "Lookahead runs from its disk image, which will not be there at the next log-in: drag it into"
            " Applications, open it there, and install the service then."
        )


def check_options(options: list[str]) -> None:
    """Ask `serve` itself whether it knows these options. Raises ConfigError with what it says."""
    done = subprocess.run(own_command("serve", *options, "--help"), capture_output=True, text=True, check=False)
    if done.returncode:
        words = [line.strip("│╭╰─╮╯ ") for line in done.stderr.splitlines()]
        raise ConfigError("options", " ".join(options), f"what `serve` takes ({[word for word in words if word][-1]})")


def served_address(agent: Agent) -> str | None:
    """HOST:PORT of the installed service, by its own file; None where that does not tell."""
    try:
        words = agent.command()
    except (OSError, ValueError):
        return None
    told = dict(itertools.pairwise(words))
    return f"{told['--host']}:{told['--port']}" if {"--host", "--port"} <= told.keys() else None


def health(address: str) -> str:
    """What the server says of itself, or that it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/health", timeout=5) as answer:
            return str(json.load(answer)["status"])
    except urllib.error.HTTPError as error:  # 503 while it loads
        return str(json.load(error).get("status", error.code))
    except (OSError, ValueError, KeyError):
        return "no answer"


def _told(found: dict[str, Any]) -> str:
    if not found["installed"]:
        return "No service is installed: `mlx-spec service install` does that."
    if not found["running"]:
        return f"The service is installed and does not run ({found['path']})."
    return f"The service runs: {found.get('url', found['path'])}, {found.get('health') or 'no answer'}."
