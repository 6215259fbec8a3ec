"""`mx.compile` that keeps the graphs which it traced, and has no C++ compiler make a kernel of what could be fused.

`mx.disable_compile` would have every pass traced anew, which takes more time than all else that a tiny model does. MLX
has a mode between, which Python is not given: it is set through the library's own symbol.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import mlx.core as mx

# mlx::core::set_compile_mode(CompileMode), and two of the modes, in the order of mlx/compile.h.
_SYMBOL: Final = "_ZN3mlx4core16set_compile_modeENS0_11CompileModeE"
_NO_FUSE, _ENABLED = 2, 3
_LIBRARY: Final = "libmlx.dylib" if sys.platform == "darwin" else "libmlx.so"


@contextmanager
def unfused() -> Iterator[None]:
    """Within, nothing is fused that was not before."""
    set_mode = ctypes.CDLL(str(Path(mx.__file__).parent / "lib" / _LIBRARY))[_SYMBOL]
    set_mode.argtypes, set_mode.restype = [ctypes.c_int], None
    set_mode(_NO_FUSE)
    try:
        yield
    finally:
        set_mode(_ENABLED)
