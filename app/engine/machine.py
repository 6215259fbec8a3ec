"""What the engine measured of the machine: how fast plain decoding could be there at the most. Knows no Qt."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """`bandwidth` in bytes a second, `step_bytes` the weights that a plain step reads; None where nobody measured."""

    bandwidth: float | None = None
    step_bytes: int | None = None
    device: str = ""

    @property
    def limit(self) -> float | None:
        """Tokens a second that plain decoding cannot exceed."""
        return self.bandwidth / self.step_bytes if self.bandwidth and self.step_bytes else None


def parse_machine(data: bytes) -> Machine:
    """The answer of `GET /v1/speculation/machine`; an older engine has none, and nothing is known then."""
    try:
        body = json.loads(data)
        bandwidth, step_bytes = body["bandwidth_bytes_per_s"], body["step_bytes"]
        return Machine(
            bandwidth=float(bandwidth) if bandwidth else None,
            step_bytes=int(step_bytes) if step_bytes else None,
            device=str(body.get("device", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return Machine()
