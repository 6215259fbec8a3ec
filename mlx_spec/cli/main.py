"""The command line: `mlx-spec generate | run | chat | serve | service | bench | train | models | hosts | doctor`.

Answers go to stdout, progress and errors to stderr. A LookaheadError is one line and exit code 2, Ctrl-C is one line
and exit code 130. A reader of the output who goes away (`| head -1`) ends it without a word, with exit code 1.
"""

import contextlib
import os
import platform
import signal
import sys
from typing import Annotated

import typer

from mlx_spec.cli.commands.bench.command import bench
from mlx_spec.cli.commands.chat.command import chat
from mlx_spec.cli.commands.doctor.command import doctor
from mlx_spec.cli.commands.generate import generate
from mlx_spec.cli.commands.run.command import run
from mlx_spec.cli.commands.serve import serve
from mlx_spec.cli.later import later
from mlx_spec.errors import InterruptedWork, LookaheadError
from mlx_spec.machine import blas
from mlx_spec.machine.allocator import keep_freed_memory
from mlx_spec.machine.interruption import Interruption
from mlx_spec.machine.parent import PARENT_VARIABLE, watch_parent
from mlx_spec.machine.program import unsupported_system

# MLX and the models are imported inside the commands: `--help` and a mistyped option answer at once.

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
for _command in (generate, chat, serve, bench, run, doctor):
    app.command()(_command)
for _name, _help in (
    ("models", "The models on this machine, and which of them fit together."),
    ("train", "Make a draft for a target."),
    ("service", "The server as a service that starts when you log in."),
    ("hosts", "Several machines that one model is split over: find, join and check them."),
):
    app.add_typer(later(f"mlx_spec.cli.commands.{_name}.app", _help), name=_name)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"mlx-spec {version('lookahead-spec')}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version and end.")
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point of `mlx-spec`."""
    with Interruption() as interruption:
        code = _called()
        if interruption.number is not None and code:
            code = 128 + interruption.number
    sys.exit(code if _is_read() else 1)


def _called() -> int:
    """Do what the command line says; the exit code."""
    if unsuited := unsupported_system(sys.platform, platform.machine()):
        return _failed(unsuited, 2)
    try:
        blas.ensure_preloaded()
        keep_freed_memory()
        _follow_parent()
        app()
    except InterruptedWork as stopped:
        return _failed(str(stopped), 128 + signal.SIGINT)
    except LookaheadError as error:
        return _failed(str(error), 2)
    except KeyboardInterrupt:
        return _failed("interrupted.", 128 + signal.SIGINT)
    except SystemExit as ended:
        if ended.code == 128 + signal.SIGINT:  # typer's own word for KeyboardInterrupt
            return _failed("interrupted.", ended.code)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _failed(sentence: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody reads it
        sys.stderr.write(f"mlx-spec: {sentence}\n")
    return code


def _is_read() -> bool:
    """Whether all that was said has gone out. Where its reader is gone, the rest is dropped: the interpreter's own end
    would complain of it."""
    read = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            read = False
    return read


def _follow_parent() -> None:
    """Where the window started this command, its end ends it, too: as Ctrl-C does."""
    if (parent := os.environ.get(PARENT_VARIABLE, "")).isdecimal():
        watch_parent(int(parent), lambda: os.kill(os.getpid(), signal.SIGTERM))


if __name__ == "__main__":
    main()
