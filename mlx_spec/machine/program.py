"""How this installation starts itself: as a module under an interpreter, or as a frozen program that has none."""

import sys

from mlx_spec.errors import LookaheadError


def is_frozen() -> bool:
    """Whether this is the app, frozen by PyInstaller: then `sys.executable` is `mlx-spec` itself and runs no Python."""
    return bool(getattr(sys, "frozen", False))


def own_command(*arguments: str) -> list[str]:
    """`mlx-spec` with these arguments, as a process of its own."""
    return [sys.executable, *arguments] if is_frozen() else [sys.executable, "-m", "mlx_spec.cli", *arguments]


def interpreter(purpose: str) -> str:
    """The Python that can run another program. Raises LookaheadError in the frozen app; `purpose` begins its sentence,
    as in "Measuring beside mlx-lm"."""
    if is_frozen():
        raise LookaheadError(
            f"{purpose} needs a Python, and this app brings none that runs other programs: use `mlx-spec` from"
            " `uv tool install lookahead-spec` for it."
        )
    return sys.executable


def unsupported_system(platform: str, machine: str) -> str | None:
    """One sentence where MLX does not run, by `sys.platform` and `platform.machine()`; None where it does."""
    if platform == "linux" or (platform == "darwin" and machine == "arm64"):
        return None
    if platform == "darwin":
        return (
            "Lookahead needs Apple silicon, and this Mac or this Python is made for Intel: on an Apple silicon Mac,"
            " start an arm64 Python."
        )
    return f"Lookahead runs on Apple silicon Macs and on Linux, and this system is {platform}: MLX does not run here."
