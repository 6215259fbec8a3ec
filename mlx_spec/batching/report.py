"""What the metrics say, as text for people: aligned columns, with units."""

from collections.abc import Iterable, Sequence

from mlx_spec.batching.metrics import MetricsSnapshot, Odds, Percentiles

_WIDE = 22


def format_report(snapshot: MetricsSnapshot) -> str:
    """All that is worth reading of a snapshot, a subject a paragraph. What was never seen is left out."""
    parts = [
        _paragraph("Requests", _requests(snapshot)),
        _paragraph("Steps", _steps(snapshot)),
        _times(snapshot),
        _paragraph("Memory", _memory(snapshot)),
        _drafts("Drafts by place", "place", enumerate(snapshot.by_place, 1)),
        _drafts("Drafts by batch size", "answers", snapshot.by_batch.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _requests(snapshot: MetricsSnapshot) -> Iterable[tuple[str, str]]:
    yield "under way", f"{snapshot.under_way:,}"
    yield "waiting", f"{snapshot.waiting:,}"
    for outcome, count in snapshot.requests.items():
        yield outcome.replace("_", " "), f"{count:,}"


def _steps(snapshot: MetricsSnapshot) -> Iterable[tuple[str, str]]:
    yield "steps", f"{snapshot.steps:,}"
    yield "tokens written", f"{snapshot.tokens:,}  ({snapshot.tokens_per_s:,.1f} a second)"
    yield "tokens read", f"{snapshot.tokens_read:,}  ({snapshot.read_per_s:,.1f} a second)"
    yield "answers a step", f"{snapshot.mean_batch:.2f}  (now {snapshot.batch})"


def _memory(snapshot: MetricsSnapshot) -> Iterable[tuple[str, str]]:
    if snapshot.total_blocks:
        share = snapshot.blocks_used / snapshot.total_blocks
        yield "blocks", f"{snapshot.blocks_used:,} of {snapshot.total_blocks:,}  ({share:.0%})"
    if snapshot.prompts:
        share = snapshot.cached_tokens / snapshot.prompt_tokens
        yield "prompts found", f"{snapshot.prefix_hits:,} of {snapshot.prompts:,}  ({share:.0%} of their tokens)"
    for how, count in snapshot.preemptions.items():
        yield f"stepped aside ({how})", f"{count:,}"
    if snapshot.recomputed_tokens:
        yield "read again", f"{snapshot.recomputed_tokens:,} tokens"


def _times(snapshot: MetricsSnapshot) -> str:
    """The percentiles, in milliseconds, a row each."""
    times = [
        ("in the queue", snapshot.queue_ms),
        ("to the first token", snapshot.first_token_ms),
        ("between tokens", snapshot.between_ms),
        ("between rounds", snapshot.pause_ms),
        ("a step", snapshot.step_ms),
    ]
    seen = [(name, of) for name, of in times if of.count]
    header = f"{'Milliseconds':<{_WIDE + 2}}{'p50':>10}{'p95':>10}{'p99':>10}{'of':>9}"
    return "\n".join([header, *(f"  {name:<{_WIDE}}{_columns(of)}" for name, of in seen)]) if seen else ""


def _columns(of: Percentiles) -> str:
    assert of.p50 is not None
    assert of.p95 is not None
    assert of.p99 is not None
    return f"{of.p50:>10,.1f}{of.p95:>10,.1f}{of.p99:>10,.1f}{of.count:>9,}"


def _drafts(title: str, what: str, rows: Iterable[tuple[int, Odds]]) -> str:
    lines = [
        f"  {f'{what} {number}':<{_WIDE}}{odds.tested:>10,}{odds.accepted:>10,}{odds.rate:>10.0%}"
        for number, odds in rows
        if odds.rate is not None
    ]
    header = f"{title:<{_WIDE + 2}}{'tested':>10}{'accepted':>10}{'rate':>10}"
    return "\n".join([header, *lines]) if lines else ""


def _paragraph(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines: Sequence[str] = [f"  {name:<{_WIDE}}{value}" for name, value in rows]
    return "\n".join([title, *lines]) if lines else ""
