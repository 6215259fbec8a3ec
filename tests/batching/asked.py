"""Requests for a batch, what each says alone, and a batch that is checked after every step."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlx_spec import SamplingParams, SpeculativeConfig, SpeculativeDecoder
from mlx_spec.batching import Batch, BatchSettings
from mlx_spec.config import DrafterName
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.events import AnswerFailed, Event, GenerationFinished
from mlx_spec.models.loading import ModelPair

BLOCK = 8
ROOMY = 1 << 30


@dataclass(frozen=True)
class Asked:
    """A request that arrives with a step."""

    prompt: tuple[int, ...]
    params: SamplingParams
    tokens: int = 20
    drafter: DrafterName = "auto"
    lookahead: int | None = None
    joins: int = 0
    how: dict[str, Any] = field(default_factory=dict)

    def alone(self, pair: ModelPair, config: SpeculativeConfig | None = None) -> GenerationFinished:
        """What it says when nobody else is there, decoded plainly."""
        shape = self.how.get("constraint")
        decoder = SpeculativeDecoder(pair, config)
        *_, end = decoder.stream(self.prompt, self.params, self.tokens, drafter="none", constraint=shape)
        assert isinstance(end, GenerationFinished)
        return end


def some(
    count: int,
    *,
    vocab: int,
    seed: int = 1,
    drafters: Sequence[DrafterName] = ("none", "model", "ngram", "auto"),
    longest: int = 60,
    tokens: tuple[int, int] = (1, 24),
    spread: int | None = None,
    shared: int = 3 * BLOCK + 2,
) -> list[Asked]:
    """Requests of all kinds, half of which begin alike; they come within the first `spread` steps, without it two a
    request."""
    chance = random.Random(seed)
    opening = chance.choices(range(vocab), k=shared)
    asked = []
    for number in range(count):
        own = chance.choices(range(vocab), k=chance.randint(1, longest - shared))
        prompt = (*opening, *own) if chance.random() < 0.5 else tuple(own)
        temperature = chance.choice((0.0, 0.7, 1.2))
        penalty = chance.choice((1.0, 1.0, 1.2))
        params = SamplingParams(temperature=temperature, seed=number, repetition_penalty=penalty)
        drafter, length = chance.choice(drafters), chance.choice((None, 1, 4))
        joins = chance.randint(0, 2 * count if spread is None else spread)
        asked.append(Asked(prompt, params, chance.randint(*tokens), drafter, length, joins))
    return asked


def batch_of(
    pair: ModelPair,
    blocks: int,
    settings: BatchSettings | None = None,
    *,
    config: SpeculativeConfig | None = None,
    keeps: bool = True,
    **how: Any,
) -> Batch:
    """A batch whose pool has so many blocks, with or without texts that are kept in it."""
    decoder = SpeculativeDecoder(pair, config, prefixes=Prefixes(ROOMY, block_tokens=BLOCK) if keeps else None)
    decoder.pool().block_tokens = BLOCK
    decoder.pool().resize(blocks)
    return Batch(decoder, settings, **how)


def check(batch: Batch) -> None:
    """What must hold between two steps: no block is lost or held twice, and the scheduler and the pool agree."""
    batch.scheduler.check()
    held = {entry.request_id: entry.blocks for entry in batch.scheduler.entries if entry.blocks}
    leases = batch.leases
    assert sorted(len(lease.blocks) for lease in leases if lease.blocks) == sorted(held.values())
    prefixes = batch._decoder.prefixes
    if prefixes is not None:
        prefixes.check(leases)
    else:
        batch._pool.check([lease.blocks for lease in leases])


@dataclass
class Run:
    """What came of a batch, by request."""

    told: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    steps: int = 0

    def end(self, name: str) -> GenerationFinished | AnswerFailed:
        """A request's last event."""
        end = self.told[name][-1]
        assert isinstance(end, GenerationFinished | AnswerFailed), end
        return end

    def ids(self, name: str) -> tuple[int, ...]:
        """What an answer said."""
        end = self.end(name)
        assert isinstance(end, GenerationFinished), end
        return end.token_ids

    def count(self, kind: type) -> int:
        """How many events there were of a kind."""
        return sum(isinstance(event, kind) for told in self.told.values() for event in told)


def run(batch: Batch, asked: Sequence[Asked], meanwhile: Callable[[int, Run], None] = lambda step, run: None) -> Run:
    """Have each request join when it does, named by its number, until all are answered."""
    done = Run()
    while done.steps <= max((one.joins for one in asked), default=0) or not batch.is_idle:
        for number, one in enumerate(asked):
            if one.joins == done.steps:
                given = {"drafter": one.drafter, "lookahead": one.lookahead} | one.how
                batch.add(str(number), one.prompt, one.params, one.tokens, **given)
        meanwhile(done.steps, done)
        for name, event in batch.step():
            done.told[name].append(event)
        check(batch)
        done.steps += 1
        assert done.steps < 20_000
    return done
