"""Pairs for the machine that the server runs on."""

from mlx_spec.decoding.measuring.ceiling import known_bandwidth
from mlx_spec.lookahead.theory import expected_speedup
from mlx_spec.models.memory import device_info
from mlx_spec.models.pairs import PAIRS
from mlx_spec.models.room import available_bytes
from mlx_spec.models.suggestions import ASSUMED_ACCEPTANCE, suggest
from mlx_spec.server.answers.errors import Json


def suggested() -> Json:
    """The answer of /v1/models/suggestions."""
    available, bandwidth, device = available_bytes(), known_bandwidth(), device_info()
    found = suggest(list(PAIRS.values()), available, bandwidth, expected_speedup, drafts_pay=device.kind == "gpu")
    return {
        "available_bytes": available,
        "bandwidth_bytes_per_s": bandwidth,
        "device": device.name,
        "drafts_pay": device.kind == "gpu",
        "assumed_acceptance": ASSUMED_ACCEPTANCE,
        "suggestions": [one.to_dict() for one in found],
    }
