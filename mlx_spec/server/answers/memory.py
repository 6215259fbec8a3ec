"""/v1/models/memory: what the loaded models really take, beside what was expected, and when they are let go."""

from typing import Any

import psutil

from mlx_spec.server.engine.thread import EngineThread


def memory_report(engine: EngineThread) -> dict[str, Any]:
    """Sizes in bytes. `models_bytes` are without `prefix_bytes`, which are what answers have read and left for the next
    ones, and of which the disk has `prefix_disk_bytes`. `blocks` counts the pool that they share with answers under
    way, of `tokens` and `bytes` each. `expected` is None while loading, and for kinds of models that could not be told
    beforehand.
    """
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
    prefixes = engine.prefix_stats()
    prefix_bytes, blocks = prefixes.kept_bytes, prefixes.blocks
    return {
        "loaded": engine.is_loaded,
        "models_bytes": max(0, mx.get_active_memory() - prefix_bytes),
        "prefix_bytes": prefix_bytes,
        "prefix_disk_bytes": prefixes.disk_bytes,
        "blocks": {
            "total": blocks.total,
            "used": blocks.used,
            "shared": blocks.shared,
            "tokens": prefixes.block_tokens,
            "bytes": prefixes.block_bytes,
        },
        "kept_bytes": mx.get_cache_memory(),
        "process_bytes": psutil.Process().memory_info().rss,
        "available_bytes": available_bytes(),
        "expected": expected,
        "unload_after_s": engine.unloading.idle_s if engine.unloading else None,
    }
