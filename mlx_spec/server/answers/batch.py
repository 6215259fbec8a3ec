"""`GET /v1/batch`: who is answered and who waits, what the newest step was made of, and how that goes in all."""

from dataclasses import asdict
from typing import Any

from mlx_spec.batching.metrics import MetricsSnapshot
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.engine.standing import Standing
from mlx_spec.server.engine.thread import EngineThread


def batch_report(engine: EngineThread) -> Json:
    """Requests in the order of arrival. Times in milliseconds, sizes in bytes; the metrics are those of
    `batching.metrics.MetricsSnapshot`."""
    standings, snapshot, prefixes = engine.standings(), engine.metrics.snapshot(), engine.prefix_stats()
    on = [one for one in standings if one.entry is not None and one.entry.is_on]
    return {
        "policy": engine.settings.policy,
        "max_batch": engine.settings.max_batch,
        "running": [_running(one) for one in on],
        "waiting": [_waiting(one, at) for at, one in enumerate(one for one in standings if one not in on)],
        "blocks": {
            "total": snapshot.total_blocks,
            "used": snapshot.blocks_used,
            "shared": prefixes.blocks.shared,
            "tokens": prefixes.block_tokens,
            "bytes": prefixes.block_bytes,
        },
        "tokens_per_second": snapshot.tokens_per_s,
        "metrics": metrics_json(snapshot),
    }


def metrics_json(snapshot: MetricsSnapshot) -> dict[str, Any]:
    """All numbers of an instant, ready for JSON."""
    return asdict(snapshot)


def _running(one: Standing) -> Json:
    assert one.entry is not None
    return _who(one) | {
        "state": one.entry.state,
        "prompt_tokens": one.entry.prompt_tokens,
        "read_tokens": min(one.entry.read_tokens, one.entry.prompt_tokens),
        "written_tokens": one.entry.written_tokens,
        "rows": asdict(one.rows),
        "blocks": one.entry.blocks,
    }


def _waiting(one: Standing, at: int) -> Json:
    """What the batch has not seen yet stands behind what came before it."""
    entry = one.entry
    return _who(one) | {
        "state": entry.state if entry is not None else "waiting",
        "ahead": one.ahead if entry is not None else at,
        "prompt_tokens": entry.prompt_tokens if entry is not None else None,
    }


def _who(one: Standing) -> Json:
    request = one.job.request
    return {"id": one.job.id, "choice": request.choice, "chat": request.owner, "priority": request.priority}
