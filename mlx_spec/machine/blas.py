"""Puts OpenBLAS under MLX on Linux, by starting the process again with it preloaded. Imports nothing of the engine.

MLX's Linux wheel carries the reference BLAS, with which a forward pass over n tokens costs n times one over a single
token: speculation could not win there. The loader reads LD_PRELOAD only when a process starts, hence the restart.
macOS needs none of this: MLX uses Metal and Accelerate.

OpenBLAS knows processors by their names, and serves one that is younger than itself with its oldest kernels: Debian
12's 0.3.21 takes those of 2004 on Intel's Emerald Rapids, where a pass over 64 rows takes three times as long as with
the kernels for AVX-512, which are there. So it is told which to take, unless `OPENBLAS_CORETYPE` says so already.

`LOOKAHEAD_BLAS=off` leaves the process as it is.
`python -m mlx_spec.machine.blas ARGS…` runs `python ARGS…` under OpenBLAS.
"""

import os
import sys

LIBRARY = "libopenblas.so.0"
SWITCH = "LOOKAHEAD_BLAS"
OFF = "off"
DONE = "preloaded"
KERNELS = "OPENBLAS_CORETYPE"
"""OpenBLAS' own variable: the processor whose kernels it takes."""

# Those of processors that have no AVX2.
_OLD = ("prescott", "core2", "penryn", "dunnington", "nehalem", "sandybridge", "atom", "opteron", "barcelona", "bobcat")
# What a processor has to have (as Linux names it), and whose kernels serve it then; the newest first.
_NEWER = (
    (("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"), "SkylakeX"),
    (("avx2", "fma"), "Haswell"),
)


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
    change = {"LD_PRELOAD": f"{preloaded}:{library}" if preloaded else library, SWITCH: DONE}
    if KERNELS not in os.environ and (kernels := newer_kernels(kernels_of(library), processor_flags())):
        change[KERNELS] = kernels
    return change


def kernels_of(library: str) -> str:
    """Which processor's kernels an OpenBLAS takes in a process that begins as this one has, in its own words; "" where
    it does not tell. Maps it: 5 ms."""
    import ctypes

    try:
        ask = ctypes.CDLL(library).openblas_get_corename
    except (OSError, AttributeError):
        return ""
    ask.restype = ctypes.c_char_p
    return str(ask().decode(errors="replace"))


def newer_kernels(kernels: str, flags: frozenset[str]) -> str | None:
    """Which kernels to take in the place of these, on a processor with such `flags`; None where they are the right
    ones, as far as can be told."""
    if kernels.lower() not in _OLD:
        return None
    return next((newer for needed, newer in _NEWER if flags.issuperset(needed)), None)


def processor_flags() -> frozenset[str]:
    """What this processor can do, as Linux has it; nothing where it is no x86 one."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as told:
            line = next((line for line in told if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(line.partition(":")[2].split())


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
