"""Importing the models' libraries takes seconds: each module on the way is a place where that can be given up."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Gate(MetaPathFinder):
    """Finds nothing. Asks `check` before every module that its thread imports."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if threading.get_ident() == self._thread:
            self._check()
        return None


@contextmanager
def checked_imports(check: Callable[[], None]) -> Iterator[None]:
    """Within the block `check` is called before each module that this thread imports; what it raises ends the import.

    Let it raise no Exception: libraries swallow those when they look for what they could do without.
    """
    gate = _Gate(check)
    sys.meta_path.insert(0, gate)
    try:
        yield
    finally:
        sys.meta_path.remove(gate)
