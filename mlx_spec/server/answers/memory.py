"""/v1/models/memory: what the loaded models really take, beside what was expected, and when they are let go."""

from typing import Any

import psutil

from mlx_spec.server.engine.thread import EngineThread


def memory_report(engine: EngineThread) -> dict[str, Any]:
    """Sizes in bytes. `models_bytes` are without `prefix_bytes`, which are what answers have read and left for the next
    ones. `expected` is None while loading, and for kinds of models that could not be told beforehand."""
    import mlx.core as mx

    from mlx_spec.models.room import available_bytes

    room = getattr(engine.pair, "room", None)
    expected = None
    if room is not None:
        expected = {
            "weights_bytes": room.weights_bytes,
            "cache_bytes": room.cache_bytes,
            "working_bytes": room.working_bytes,
            "needed_bytes": room.needed_bytes,
            "context_tokens": room.context_tokens,
        }
    prefix_bytes = engine.prefix_stats().kept_bytes
    return {
        "loaded": engine.is_loaded,
        "models_bytes": max(0, mx.get_active_memory() - prefix_bytes),
        "prefix_bytes": prefix_bytes,
        "kept_bytes": mx.get_cache_memory(),
        "process_bytes": psutil.Process().memory_info().rss,
        "available_bytes": available_bytes(),
        "expected": expected,
        "unload_after_s": engine.unloading.idle_s if engine.unloading else None,
    }
