"""`mx.compile` that keeps the graphs which it traced, and has no C++ compiler make a kernel of what could be fused.

On a CPU that takes g++ half a second a kernel, for nothing that most tests ask. `mx.disable_compile` would have every
pass traced anew, which takes more time than all else that a tiny model does. MLX has a mode between, which Python is
not given: it is set through the library's own symbol.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import mlx.core as mx

FUSE_ALL: Final = bool(os.environ.get("LOOKAHEAD_TESTS_FUSE"))
"""Run all tests as users run their models."""
# mlx::core::set_compile_mode(CompileMode), and three of its modes, in the order of mlx/compile.h.
_SYMBOL: Final = "_ZN3mlx4core16set_compile_modeENS0_11CompileModeE"
_DISABLED, _NO_FUSE, _ENABLED = 0, 2, 3
_LIBRARY: Final = "libmlx.dylib" if sys.platform == "darwin" else "libmlx.so"
_modes: list[int] = [_ENABLED]


@contextmanager
def fusing(is_on: bool) -> Iterator[None]:
    """Within, graphs that are traced are fused, or are not."""
    with _in(_ENABLED if is_on or FUSE_ALL else _NO_FUSE):
        yield


@contextmanager
def untraced() -> Iterator[None]:
    """Within, every pass runs the model's own Python: for models that say what they are told to, each time."""
    with _in(_DISABLED):
        yield


@contextmanager
def _in(mode: int) -> Iterator[None]:
    _modes.append(mode)
    _set(mode)
    try:
        yield
    finally:
        _modes.pop()
        _set(_modes[-1])


def _set(mode: int) -> None:
    set_mode = ctypes.CDLL(str(Path(mx.__file__).parent / "lib" / _LIBRARY))[_SYMBOL]
    set_mode.argtypes, set_mode.restype = [ctypes.c_int], None
    set_mode(mode)
