"""`GET /metrics`: what the engine counts, as Prometheus reads it (text format 0.0.4)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlx_spec.batching.metrics import MetricsSnapshot, Percentiles
from mlx_spec.decoding.cache.blocks.prefixes import PrefixStats
from mlx_spec.events import SpeculativeStats
from mlx_spec.server.engine.thread import EngineThread

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "lookahead"
Kind = Literal["counter", "gauge"]
Told = tuple[str, Kind, str, float]


def metrics_text(engine: EngineThread) -> str:
    """All metrics, each with its meaning and kind. Counters are zero again after a reset, which Prometheus expects."""
    # A registry of its own: this process's others are nobody's business, and two servers in one share nothing.
    registry = CollectorRegistry()
    registry.register(_Engine(engine))
    return generate_latest(registry).decode()


class _Engine(Collector):
    def __init__(self, engine: EngineThread) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """What there is to tell now."""
        engine, snapshot = self._engine, self._engine.metrics.snapshot()
        yield _single("ready", "gauge", "1 when the models are loaded.", int(engine.status().state == "ready"))
        meaning = "Requests that wait or are being answered."
        yield _single("requests_unfinished", "gauge", meaning, engine.num_unfinished())
        for told in (*_of_prefixes(engine.prefix_stats()), *_of_speculation(engine.stats()), *_of_batch(snapshot)):
            yield _single(*told)
        yield _labelled("requests_total", "Requests by what became of them.", "outcome", snapshot.requests)
        yield _labelled("preemptions_total", "Answers that stepped aside for others.", "how", snapshot.preemptions)
        tested = {str(place): odds.tested for place, odds in enumerate(snapshot.by_place, 1)}
        accepted = {str(place): odds.accepted for place, odds in enumerate(snapshot.by_place, 1)}
        yield _labelled("place_tested_total", "Drafted tokens that were judged, by their place.", "place", tested)
        yield _labelled("place_accepted_total", "Those of them that stood.", "place", accepted)
        for name, meaning, of in _times(snapshot):
            yield _summary(name, meaning, of)


def _single(name: str, kind: Kind, meaning: str, value: float) -> Metric:
    family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    return family(f"{_PREFIX}_{name}", meaning, value=value)


def _labelled(name: str, meaning: str, label: str, values: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


def _summary(name: str, meaning: str, of: Percentiles) -> Metric:
    """The last observations' percentiles, as a summary has them; nothing of none."""
    full = f"{_PREFIX}_{name}"
    metric = Metric(full, meaning, "summary")
    quantiles: Sequence[tuple[str, float | None]] = [("0.5", of.p50), ("0.95", of.p95), ("0.99", of.p99)]
    for quantile, value in quantiles:
        if value is not None:
            metric.add_sample(full, {"quantile": quantile}, value / 1e3)
    return metric


def _times(snapshot: MetricsSnapshot) -> Iterator[tuple[str, str, Percentiles]]:
    yield "queue_seconds", "From arrival until it was let on, of the last requests.", snapshot.queue_ms
    yield "first_token_seconds", "From arrival to the first token, of the last requests.", snapshot.first_token_ms
    yield "between_tokens_seconds", "From token to token, of the last tokens.", snapshot.between_ms
    yield "pause_seconds", "From round to round of an answer, of the last rounds.", snapshot.pause_ms
    yield "step_seconds", "Of the last steps.", snapshot.step_ms


def _of_batch(snapshot: MetricsSnapshot) -> Iterator[Told]:
    yield "batch_answers", "gauge", "Answers in the newest step.", snapshot.batch
    yield "batch_answers_mean", "gauge", "Answers in a step, over the last of them.", snapshot.mean_batch
    yield "batch_waiting", "gauge", "Requests that wait for their turn.", snapshot.waiting
    yield "batch_blocks", "gauge", "Blocks that answers can have.", snapshot.total_blocks
    yield "batch_blocks_used", "gauge", "Blocks that answers had in the newest step.", snapshot.blocks_used
    yield "batch_steps_total", "counter", "Steps of all answers together.", snapshot.steps
    yield "batch_tokens_total", "counter", "Tokens that steps wrote.", snapshot.tokens
    yield "batch_read_tokens_total", "counter", "Tokens of texts that steps read.", snapshot.tokens_read
    yield "batch_recomputed_tokens_total", "counter", "Those that were read again.", snapshot.recomputed_tokens
    yield "batch_prompts_total", "counter", "Prompts that were let on.", snapshot.prompts
    yield "batch_prefix_hits_total", "counter", "Those whose beginning was known.", snapshot.prefix_hits
    yield "tokens_per_second", "gauge", "Written by all answers, while the engine was busy.", snapshot.tokens_per_s
    yield "read_tokens_per_second", "gauge", "Read by all answers, while it was busy.", snapshot.read_per_s


def _of_prefixes(prefixes: PrefixStats) -> Iterator[Told]:
    yield "prefix_hits_total", "counter", "Prompts that began with something read before.", prefixes.hits
    yield "prefix_misses_total", "counter", "Prompts that did not.", prefixes.misses
    yield "prefix_bytes", "gauge", "Memory of what answers have read and left for the next ones.", prefixes.kept_bytes
    yield "prefix_disk_bytes", "gauge", "What of it is kept on disk.", prefixes.disk_bytes
    yield "kv_blocks", "gauge", "Blocks of keys and values in all.", prefixes.blocks.total
    yield "kv_blocks_used", "gauge", "Those that texts or answers under way hold.", prefixes.blocks.used
    yield "kv_blocks_shared", "gauge", "Those that several hold.", prefixes.blocks.shared


def _of_speculation(stats: SpeculativeStats) -> Iterator[Told]:
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
    yield "wire_seconds_total", "counter", "Of these, time between machines, reckoned.", stats.wire_time_ms / 1e3
    yield "generation_seconds_total", "counter", "Time of all rounds.", stats.total_time_ms / 1e3
    yield "lossless", "gauge", "0 once a lossy acceptance rule has judged a draft.", int(stats.lossless)
    if stats.speedup is not None:
        yield "speedup", "gauge", "Against plain decoding, measured on this machine.", stats.speedup
