"""`python -m tests.cli.held PLACES ARGUMENTS…`: mlx-spec, which stops at some places (module:name, with commas).

It says "held NAME" on stderr when it gets there for the first time, and goes on after a line on stdin: so a test knows
where it is, and needs no clock.
"""

import importlib
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any


def wait_for_a_line() -> None:
    """Read one line of stdin, and nothing behind it, which is the command's.

    It wakes by itself now and then: a signal that comes just before a read blocks is only heard when the read returns.
    """
    byte = b""
    while byte != b"\n":
        while not select.select([0], [], [], 0.05)[0]:
            pass
        byte = os.read(0, 1)
        if not byte:
            return


def hold(place: str) -> None:
    """Stop at the function or method `place` from now on, before it does anything."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *parts, name = path.split(".")
    for part in parts:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, name)
    reached: list[bool] = []

    def held(*given: Any, **named: Any) -> Any:
        if not reached:
            reached.append(True)
            sys.stderr.write(f"held {name}\n")
            sys.stderr.flush()
            wait_for_a_line()
        return original(*given, **named)

    setattr(owner, name, held)


if __name__ == "__main__":
    for one in sys.argv[1].split(","):
        hold(one)
    sys.argv[1:2] = []
    # A test suite that runs in the background of a script ignores it, and hands that down.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from mlx_spec.cli import main as cli

    cli.main()
