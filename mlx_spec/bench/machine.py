"""What was measured on: facts without which a time says nothing."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from typing import Any

import mlx.core as mx
import psutil

from mlx_spec.models.memory import blas_build, device_info


def machine_facts() -> dict[str, Any]:
    """Date (UTC), processor, cores, memory in bytes, device, BLAS and versions; and how busy the machine was before."""
    device = device_info()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.name,
        "device_kind": device.kind,
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "logical_cores": psutil.cpu_count(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "blas": blas_build(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "mlx": importlib.metadata.version("mlx"),
        "mlx_lm": importlib.metadata.version("mlx-lm"),
        "default_device": str(mx.default_device()),
    }
