"""Taking what an answer's readers hold out of MLX's memory, and giving it back bit for bit.

It is kept as plain bytes: in memory where the machine has enough of it, else in a file without a name, which ends with
the process whatever happens.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import mlx.core as mx
import numpy as np

from mlx_spec.models.memory import memory_info

HELD_IN: Final = "held_in"
"""The name under which a class says which of its attributes hold arrays, or lead to objects that do. Of mlx-lm's caches
it is all of them."""

HEARS: Final = "swapped"
"""The name of the method of those who are told that what they hold was taken out (True), or is back (False)."""

# So large a share of the machine's memory stays free for others; what would take of it goes into a file.
_SPARE: Final = 10
# Numbers of any kind as bytes, as NumPy knows no bfloat16.
_OF_SIZE: Final = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}
_CACHES: Final = "mlx_lm.models."


@dataclass(frozen=True, slots=True, eq=False)
class _Bytes:
    """One array outside MLX: its bytes, or where they begin in the file."""

    dtype: mx.Dtype
    shape: tuple[int, ...]
    held: "np.ndarray[Any, Any] | int"


class Swapped:
    """What some objects held, and some `values` of theirs, taken out of them. Evaluates what was lazy."""

    def __init__(self, holders: Sequence[Any], values: Any = None, *, room_bytes: int | None = None) -> None:
        """`room_bytes` may be taken of memory; without it, what the machine has to spare."""
        if room_bytes is None:
            memory = memory_info()
            room_bytes = memory.available_bytes - memory.total_bytes // _SPARE
        self._room_bytes = room_bytes
        self._file: IO[bytes] | None = None
        self.size_bytes = 0
        """Of all that was taken out."""
        self._holders = tuple(holders)
        self._values = _exchanged((self._holders, values), mx.array, self._out, out=True)[1]
        mx.clear_cache()  # else MLX would keep the memory to use it again

    @property
    def in_file(self) -> bool:
        """Whether some of it found no room in memory."""
        return self._file is not None

    def back(self) -> Any:
        """Have all of them hold it again; gives the values. Once."""
        values = _exchanged((self._holders, self._values), _Bytes, self._back, out=False)[1]
        if self._file is not None:
            self._file.close()
        self._holders, self._values = (), None
        return values

    def _out(self, array: mx.array) -> _Bytes:
        raw = np.array(mx.flatten(array).view(_OF_SIZE[array.dtype.size]))
        self.size_bytes += raw.nbytes
        if self.size_bytes <= self._room_bytes:
            return _Bytes(array.dtype, tuple(array.shape), raw)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the answer is away
        begin = self._file.seek(0, 2)
        self._file.write(raw.data)
        return _Bytes(array.dtype, tuple(array.shape), begin)

    def _back(self, kept: _Bytes) -> mx.array:
        raw, kind = kept.held, _OF_SIZE[kept.dtype.size]
        if isinstance(raw, int):
            assert self._file is not None
            self._file.seek(raw)
            count = int(np.prod(kept.shape))
            raw = np.frombuffer(self._file.read(count * kept.dtype.size), dtype=f"u{kept.dtype.size}")
        return mx.array(raw, dtype=kind).view(kept.dtype).reshape(kept.shape)


def _exchanged(value: Any, kind: type, other: Callable[[Any], Any], *, out: bool) -> Any:
    """A value with all of a `kind` in it exchanged; objects stay the same, and hold the others."""
    seen: set[int] = set()
    hearing: list[Any] = []

    def through(value: Any) -> Any:
        if isinstance(value, kind):
            return other(value)
        if isinstance(value, dict):
            return {key: through(one) for key, one in value.items()}
        if type(value) in (list, tuple):
            return type(value)(through(one) for one in value)
        names = _held_in(value)
        if names and id(value) not in seen:
            seen.add(id(value))
            for name in names:
                setattr(value, name, through(getattr(value, name)))
            if hasattr(type(value), HEARS):
                hearing.append(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type | _Bytes):
            fields = [field.name for field in dataclasses.fields(value)]
            return dataclasses.replace(value, **{name: through(getattr(value, name)) for name in fields})
        return value

    exchanged = through(value)
    for one in hearing:
        getattr(one, HEARS)(out=out)
    return exchanged


def _held_in(value: Any) -> Sequence[str]:
    """The attributes of an object that lead to arrays; none of anything else."""
    if type(value).__module__.startswith(_CACHES):
        return list(vars(value))
    return getattr(type(value), HELD_IN, ())
