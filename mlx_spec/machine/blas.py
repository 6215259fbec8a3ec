"""Puts OpenBLAS under MLX on Linux, by starting the process again with it preloaded. Imports nothing of the engine.

MLX's Linux wheel carries the reference BLAS, with which a forward pass over n tokens costs n times one over a single
token: speculation could not win there. The loader reads LD_PRELOAD only when a process starts, hence the restart.
macOS needs none of this: MLX uses Metal and Accelerate.

`LOOKAHEAD_BLAS=off` leaves the process as it is.
`python -m mlx_spec.machine.blas ARGS…` runs `python ARGS…` under OpenBLAS.
"""

import os
import sys

LIBRARY = "libopenblas.so.0"
SWITCH = "LOOKAHEAD_BLAS"
OFF = "off"
DONE = "preloaded"


def find_openblas() -> str | None:
    """A path, or a name that the loader knows, of the system's OpenBLAS; None where it has none.

    The usual folders come first because they cost microseconds; asking the loader maps the whole library.
    """
    for folder in (f"/usr/lib/{os.uname().machine}-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"):
        path = f"{folder}/{LIBRARY}"
        if os.path.exists(path):
            return path
    import ctypes  # 15 ms, and rarely needed

    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    return LIBRARY


def is_preloaded() -> bool:
    """Whether this process was started with an OpenBLAS in LD_PRELOAD."""
    return "libopenblas" in os.environ.get("LD_PRELOAD", "")


def blas_environment() -> dict[str, str]:
    """The variables that a process needs so that MLX computes with OpenBLAS; empty where there is nothing to change."""
    if sys.platform != "linux" or os.environ.get(SWITCH) in (OFF, DONE) or is_preloaded():
        return {}
    library = find_openblas()
    if library is None:
        return {}
    # The loader takes spaces and colons alike; what was already preloaded goes first, as its owner wanted.
    preloaded = os.environ.get("LD_PRELOAD", "")
    return {"LD_PRELOAD": f"{preloaded}:{library}" if preloaded else library, SWITCH: DONE}


def ensure_preloaded() -> None:
    """Start this very command again with OpenBLAS preloaded, once; return where that is done or not needed.

    Call it first in an entry point, before MLX is imported. A process whose LD_PRELOAD the system drops still carries
    the switch, so it is not restarted for ever.
    """
    change = blas_environment()
    if change:
        # A frozen program is its own interpreter, and has no options of one.
        _replace_process(sys.argv[1:] if getattr(sys, "frozen", False) else sys.orig_argv[1:], change)


def _replace_process(arguments: list[str], change: dict[str, str]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *arguments], os.environ | change)


if __name__ == "__main__":
    _replace_process(sys.argv[1:], blas_environment())
