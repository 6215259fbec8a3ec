"""`GET /metrics`: the engine's counters as Prometheus reads them (text format 0.0.4)."""

from collections.abc import Iterator
from typing import Final, Literal

from mlx_spec.decoding.cache.blocks.prefixes import PrefixStats
from mlx_spec.events import SpeculativeStats

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "lookahead"
Kind = Literal["counter", "gauge"]


def metrics_text(stats: SpeculativeStats, *, ready: bool, num_unfinished: int, prefixes: PrefixStats) -> str:
    """All metrics, each with its meaning and kind. Counters are zero again after a reset, which Prometheus expects."""
    lines: list[str] = []
    for name, kind, meaning, value in _metrics(stats, ready, num_unfinished, prefixes):
        full = f"{_PREFIX}_{name}"
        lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}", f"{full} {value}"]
    return "\n".join(lines) + "\n"


def _metrics(
    stats: SpeculativeStats, ready: bool, num_unfinished: int, prefixes: PrefixStats
) -> Iterator[tuple[str, Kind, str, float]]:
    yield "ready", "gauge", "1 when the models are loaded.", int(ready)
    yield "requests_unfinished", "gauge", "Requests that wait or are being answered.", num_unfinished
    yield "prefix_hits_total", "counter", "Prompts that began with something read before.", prefixes.hits
    yield "prefix_misses_total", "counter", "Prompts that did not.", prefixes.misses
    yield "prefix_bytes", "gauge", "Memory of what answers have read and left for the next ones.", prefixes.kept_bytes
    yield "prefix_disk_bytes", "gauge", "What of it is kept on disk.", prefixes.disk_bytes
    yield "kv_blocks", "gauge", "Blocks of keys and values in all.", prefixes.blocks.total
    yield "kv_blocks_used", "gauge", "Those that texts or answers under way hold.", prefixes.blocks.used
    yield "kv_blocks_shared", "gauge", "Those that several hold.", prefixes.blocks.shared
    yield "prompt_tokens_total", "counter", "Tokens of prompts.", stats.prompt_tokens
    yield "cached_prompt_tokens_total", "counter", "Those that earlier answers had read.", stats.cached_tokens
    yield "generated_tokens_total", "counter", "Tokens of answers.", stats.total_tokens_generated
    yield "drafted_tokens_total", "counter", "Tokens that drafts proposed.", stats.draft_tokens
    yield "tested_tokens_total", "counter", "Drafted tokens that the target judged.", stats.tested_tokens
    yield "accepted_tokens_total", "counter", "Drafted tokens that stood.", stats.accepted_tokens
    yield "rounds_total", "counter", "Rounds of drafting and verifying, plain ones included.", stats.rounds
    yield "target_passes_total", "counter", "Forward passes of the target.", stats.target_forward_passes
    yield "draft_passes_total", "counter", "Forward passes of the draft.", stats.draft_forward_passes
    yield "draft_seconds_total", "counter", "Time spent drafting.", stats.draft_time_ms / 1e3
    yield "target_seconds_total", "counter", "Time spent in the target.", stats.target_time_ms / 1e3
    yield "generation_seconds_total", "counter", "Time of all rounds.", stats.total_time_ms / 1e3
    yield "lossless", "gauge", "0 once a lossy acceptance rule has judged a draft.", int(stats.lossless)
    if stats.speedup is not None:
        yield "speedup", "gauge", "Against plain decoding, measured on this machine.", stats.speedup
