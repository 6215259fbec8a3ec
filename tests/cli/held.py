"""`python -m tests.cli.held PLACES ARGUMENTS…`: mlx-spec, which stops at some places (module:name, with commas).

It says "held NAME" on stderr when it gets there for the first time, and goes on after a line on stdin: so a test knows
where it is, and needs no clock.
"""

import importlib
import signal
import sys
from collections.abc import Callable
from typing import Any


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
            sys.stdin.readline()
        return original(*given, **named)

    setattr(owner, name, held)


if __name__ == "__main__":
    for one in sys.argv[1].split(","):
        hold(one)
    sys.argv[1:2] = []
    # A test suite that runs in the background of a script ignores it, and hands that down.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from mlx_spec import cli

    cli.main()
