"""Measuring side by side: plain decoding, mlx-lm plain, mlx-lm's speculation and ours, on one pair in one process.

All contenders answer the same prompts in turn, in an order that rotates, so that a machine that is slower for a while
is slower for all. Prompts are processed before the clock starts; speeds count decoding only.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import mlx.core as mx
from mlx_lm.generate import generate_step, speculative_generate_step
from mlx_lm.models.cache import make_prompt_cache, trim_prompt_cache
from mlx_lm.sample_utils import make_sampler
from rich.console import Group
from rich.table import Table

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.errors import ConfigError, ModelError
from mlx_spec.events import GenerationFinished, RoundFinished
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.memory import serving_blas, weights_bytes
from mlx_spec.resources import resources_folder

BASELINE: Final = "mlx-lm plain"
MLX_LM_SPECULATIVE: Final = "mlx-lm speculative"
OURS_PLAIN: Final = "ours plain"
OURS: Final = "ours"
OURS_AUTO: Final = "ours auto"
_SEED: Final = 7
_PASS_REPEATS: Final = 5


@dataclass(slots=True)
class Contender:
    """What one way of decoding did at one temperature; one entry a prompt in each list."""

    name: str
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Over all prompts together."""
        return sum(self.tokens) / max(sum(self.seconds), 1e-9)

    @property
    def tokens_per_round(self) -> float:
        """Mean accepted length: tokens emitted a target pass."""
        return sum(self.tokens) / max(sum(self.rounds), 1)

    def ratio_to(self, other: "Contender") -> float:
        """Speed as a multiple of another's."""
        return self.tokens_per_second / max(other.tokens_per_second, 1e-9)


@dataclass(frozen=True, slots=True)
class HostShare:
    """How much of a round is not the models: the round's time less its passes, measured by themselves, in ms."""

    round_ms: float
    draft_pass_ms: float
    verify_pass_ms: float
    gamma: int

    @property
    def share(self) -> float:
        """Fraction of the round, which noise may push below 0."""
        return 1 - (self.gamma * self.draft_pass_ms + self.verify_pass_ms) / self.round_ms


@dataclass(frozen=True, slots=True)
class Measurement:
    """One temperature: contenders by name, and the host's share in ours."""

    temperature: float
    contenders: dict[str, Contender]
    host: HostShare


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that `make bench` prints."""

    pair: str
    blas: str
    lookahead: int
    prompts: int
    max_tokens: int
    weights_bytes: int
    cache_bytes: int
    measurements: list[Measurement]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, with the ratios."""
        values = asdict(self)
        for measurement, plain in zip(values["measurements"], self.measurements, strict=True):
            baseline = plain.contenders[BASELINE]
            measurement["ratios"] = {name: c.ratio_to(baseline) for name, c in plain.contenders.items()}
            measurement["tokens_per_round"] = {name: c.tokens_per_round for name, c in plain.contenders.items()}
            measurement["host"]["share"] = plain.host.share
        return values


Decoded = tuple[int, float, int]  # tokens, seconds, rounds


def bench_prompts(count: int) -> list[str]:
    """The first `count` of the prompts that ship with the engine."""
    prompts = json.loads((resources_folder() / "bench_prompts.json").read_text(encoding="utf-8"))
    return [str(prompt) for prompt in prompts[:count]]


def run(
    pair: ModelPair,
    *,
    prompts: int,
    max_tokens: int,
    lookahead: int,
    temperatures: Sequence[float] = (0.0, 1.0),
    tell: Callable[[str, float], None] = lambda stage, fraction: None,
) -> Report:
    """Measure a pair that has a draft. `tell` hears of progress. Raises ModelError for a pair without a draft."""
    for name, value, least in (
        ("prompts", prompts, 1),
        ("lookahead", lookahead, 1),
        ("max_tokens", max_tokens, lookahead + 2),
    ):
        if value < least:
            raise ConfigError(name, value, f"a whole number of at least {least}")
    if pair.draft is None:
        raise ModelError(f"{pair.name} has no draft model, so there is nothing to compare: name one with --draft.")
    encoded = [pair.encode_chat([{"role": "user", "content": text}]) for text in bench_prompts(prompts)]
    measurements = []
    for at, temperature in enumerate(temperatures):

        def tell_part(fraction: float, at: int = at) -> None:
            tell("measuring", (at + fraction) / len(temperatures))

        measurements.append(_measure(pair, encoded, max_tokens, lookahead, temperature, tell_part))
    context = max(len(ids) for ids in encoded) + max_tokens
    return Report(
        pair=f"{pair.target_name} with {pair.draft_name}",
        blas=serving_blas(),
        lookahead=lookahead,
        prompts=len(encoded),
        max_tokens=max_tokens,
        weights_bytes=weights_bytes(pair.target) + weights_bytes(pair.draft),
        cache_bytes=sum(_cache_bytes(model, context) for model in (pair.target, pair.draft)),
        measurements=measurements,
    )


def _measure(
    pair: ModelPair,
    encoded: list[list[int]],
    max_tokens: int,
    lookahead: int,
    temperature: float,
    tell: Callable[[float], None],
) -> Measurement:
    decoder = SpeculativeDecoder(pair)
    round_times: list[float] = []
    ways: dict[str, Callable[[list[int]], Decoded]] = {
        BASELINE: lambda ids: _mlx_lm(pair, ids, max_tokens, temperature, None),
        MLX_LM_SPECULATIVE: lambda ids: _mlx_lm(pair, ids, max_tokens, temperature, lookahead),
        OURS_PLAIN: lambda ids: _ours(decoder, ids, max_tokens, temperature, "none", None, []),
        OURS: lambda ids: _ours(decoder, ids, max_tokens, temperature, "model", lookahead, round_times),
        OURS_AUTO: lambda ids: _ours(decoder, ids, max_tokens, temperature, "model", "auto", []),
    }
    contenders = {name: Contender(name) for name in ways}
    passes: list[tuple[float, float]] = []
    for way in ways.values():  # first runs allocate and page in; they do not count
        way(encoded[0][:8])
    round_times.clear()
    for at, ids in enumerate(encoded):
        names = list(ways)
        for name in names[at % len(names) :] + names[: at % len(names)]:
            mx.clear_cache()
            mx.reset_peak_memory()
            tokens, seconds, rounds = ways[name](ids)
            contender = contenders[name]
            contender.tokens.append(tokens)
            contender.seconds.append(seconds)
            contender.rounds.append(rounds)
            contender.peak_bytes = max(contender.peak_bytes, mx.get_peak_memory())
        passes.append(_pass_times(pair, ids, lookahead))
        tell((at + 1) / len(encoded))
    draft_ms, verify_ms = (statistics.median(times) for times in zip(*passes, strict=True))
    return Measurement(
        temperature, contenders, HostShare(statistics.median(round_times), draft_ms, verify_ms, lookahead)
    )


def _mlx_lm(pair: ModelPair, ids: list[int], max_tokens: int, temperature: float, lookahead: int | None) -> Decoded:
    """mlx-lm's own generators on a cache that holds the prompt already."""
    mx.random.seed(_SEED)
    prompt, sampler = mx.array(ids[-1:]), make_sampler(temp=temperature)
    cache = _prefilled(pair.target, ids[:-1])
    if lookahead is None:
        stream: Iterator[Any] = generate_step(
            prompt, pair.target, max_tokens=max_tokens, sampler=sampler, prompt_cache=cache
        )
        return _timed(((token, False) for token, _ in stream), pair.eos_token_ids)
    cache += _prefilled(pair.draft, ids[:-1])
    drafted = speculative_generate_step(
        prompt,
        pair.target,
        pair.draft,
        num_draft_tokens=lookahead,
        max_tokens=max_tokens,
        sampler=sampler,
        prompt_cache=cache,
    )
    return _timed(((token, from_draft) for token, _, from_draft in drafted), pair.eos_token_ids)


def _timed(stream: Iterator[tuple[Any, bool]], eos_token_ids: frozenset[int]) -> Decoded:
    """Drain a generator of (token, from draft) to the end of the answer; a token not from the draft ends a round."""
    started = time.perf_counter()
    tokens = rounds = 0
    for token, from_draft in stream:
        rounds += not from_draft
        if int(token) in eos_token_ids:
            rounds += from_draft
            break
        tokens += 1
    return tokens, time.perf_counter() - started, rounds


def _ours(
    decoder: SpeculativeDecoder,
    ids: list[int],
    max_tokens: int,
    temperature: float,
    drafter: Any,
    lookahead: Any,
    round_times: list[float],
) -> Decoded:
    params = SamplingParams(temperature=temperature, seed=_SEED)
    for event in decoder.stream(ids, params, max_tokens, drafter=drafter, lookahead=lookahead):
        if isinstance(event, RoundFinished) and len(event.drafted) == lookahead:
            round_times.append(event.round_ms)
        elif isinstance(event, GenerationFinished):
            return event.stats.total_tokens_generated, event.stats.total_time_ms / 1e3, event.stats.rounds
    raise AssertionError("a stream ends with GenerationFinished")


def _prefilled(model: Any, ids: Sequence[int]) -> list[Any]:
    cache: list[Any] = make_prompt_cache(model)
    if ids:
        model(mx.array(list(ids))[None], cache=cache)
        mx.eval([layer.state for layer in cache])
    return cache


def _pass_times(pair: ModelPair, ids: list[int], lookahead: int) -> tuple[float, float]:
    """Milliseconds of one draft pass over one token, and of one target pass over `lookahead + 1`: the models alone."""
    times = []
    for model, width in ((pair.draft, 1), (pair.target, lookahead + 1)):
        cache = _prefilled(model, ids)
        tokens = mx.array([ids[-1:] * width])
        samples = []
        for _ in range(_PASS_REPEATS):
            started = time.perf_counter()
            mx.eval(model(tokens, cache=cache))  # type: ignore[misc]
            samples.append((time.perf_counter() - started) * 1e3)
            trim_prompt_cache(cache, width)
        times.append(statistics.median(samples))
    return times[0], times[1]


def _cache_bytes(model: Any, context: int) -> int:
    return sum(layer.nbytes for layer in _prefilled(model, [1] * context))


def tables(report: Report) -> Group:
    """The report for a terminal."""
    parts: list[Any] = [
        f"[bold]{report.pair}[/bold] · BLAS: {report.blas} · lookahead {report.lookahead} · "
        f"{report.prompts} prompts of {report.max_tokens} tokens"
    ]
    for measurement in report.measurements:
        table = Table(title=f"temperature {measurement.temperature:g}", title_justify="left")
        table.add_column("")
        headings = ("tokens/s", f"x {BASELINE}", f"x {MLX_LM_SPECULATIVE}", "tokens a round", "peak / weights + caches")
        for heading in headings:
            table.add_column(heading, justify="right")
        for contender in measurement.contenders.values():
            table.add_row(
                contender.name,
                f"{contender.tokens_per_second:.2f}",
                f"{contender.ratio_to(measurement.contenders[BASELINE]):.2f}",
                f"{contender.ratio_to(measurement.contenders[MLX_LM_SPECULATIVE]):.2f}",
                f"{contender.tokens_per_round:.2f}",
                f"{contender.peak_bytes / (report.weights_bytes + report.cache_bytes):.3f}",
            )
        host = measurement.host
        parts += [
            table,
            f"a round of ours takes {host.round_ms:.1f} ms; its {host.gamma} draft passes and one verify pass, by "
            f"themselves, {host.gamma * host.draft_pass_ms:.1f} + {host.verify_pass_ms:.1f} ms: host share "
            f"{host.share:.1%}\n",
        ]
    return Group(*parts)
