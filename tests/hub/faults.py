"""How a loopback Hub misbehaves, on order."""

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "cut",  # closes the connection after `at` bytes of the body
    "stall",  # sends `at` bytes and then nothing
    "status",  # answers `status` with `headers`
    "wrong_bytes",  # flips a bit of the byte `at`
    "wrong_length",  # announces `at` bytes more than there are, and closes
    "ignore_range",  # answers a Range with the whole file
    "redirect_loop",  # redirects to itself
    "endless",  # a body without a length and without an end
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the next `times` requests whose path contains `path`."""

    kind: FaultKind
    path: str
    times: int = 1
    at: int = 0
    status: int = 500
    headers: tuple[tuple[str, str], ...] = ()
