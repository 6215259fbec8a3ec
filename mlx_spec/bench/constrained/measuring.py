"""Three ways to answer by a schema, in turns: A B C, B C A, C A B. A time is that of decoding alone, of answers that
are whole or cut at the same length."""

import importlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlx_spec.bench.constrained.schemas import SCHEMAS, Asked
from mlx_spec.bench.contenders import Answer, MlxLm, Ours
from mlx_spec.bench.machine import machine_facts
from mlx_spec.bench.plan import SEED, Way
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.models.loading import ModelPair

DRAFTED: Final = "ours auto"
PLAIN: Final = "ours plain"
BASELINE: Final = "mlx-lm plain"
_WARM_UP_TOKENS: Final = 16

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstrainedScope:
    """How much of it: the first `schemas`, each with so many seeds, at each temperature, up to `answer_tokens` long."""

    schemas: int = len(SCHEMAS)
    seeds: int = 2
    temperatures: tuple[float, ...] = (0.0, 0.8)
    answer_tokens: int = 160


@dataclass(frozen=True, slots=True)
class ConstrainedRun:
    """One answer. `valid` is None where it was cut, or where nothing can judge it."""

    contender: str
    schema: str
    temperature: float
    seed: int
    tokens: int
    seconds: float
    token_ids: tuple[int, ...]
    drafted: int
    accepted: int
    rounds: int
    valid: bool | None


def measure_constrained(
    pair: ModelPair, scope: ConstrainedScope, tell: Tell = lambda stage, fraction: None
) -> tuple[dict[str, Any], list[ConstrainedRun]]:
    """The machine, and a run for each contender, schema, temperature and seed."""
    facts = machine_facts()
    ways: dict[str, Ours | MlxLm] = {
        DRAFTED: Ours(pair, Way("auto"), tell=tell),
        PLAIN: Ours(pair, Way("none")),
        BASELINE: MlxLm(pair),
    }
    asked = SCHEMAS[: scope.schemas]
    for name, way in ways.items():
        tell(f"warming up {name}", 0.0)
        way.constraint = _constraint(asked[0])
        way.warm_up(_prompt(pair, asked[0]), scope.temperatures, _WARM_UP_TOKENS)
    seeds, temperatures = range(SEED, SEED + scope.seeds), scope.temperatures
    blocks = [(one, temperature, seed) for seed in seeds for temperature in temperatures for one in asked]
    runs: list[ConstrainedRun] = []
    for number, (one, temperature, seed) in enumerate(blocks):
        names = [*ways][number % len(ways) :] + [*ways][: number % len(ways)]
        for name in names:
            ways[name].constraint = _constraint(one)
            answer = ways[name].answer(_prompt(pair, one), temperature, seed, scope.answer_tokens)
            runs.append(_run(pair, name, one, temperature, seed, answer, scope.answer_tokens))
        tell("measuring", (number + 1) / len(blocks))
    return facts, runs


def _constraint(asked: Asked) -> Constraint:
    return Constraint.json_schema(asked.schema)


def _prompt(pair: ModelPair, asked: Asked) -> list[int]:
    return pair.encode_chat([{"role": "user", "content": f"{asked.question} Answer in JSON."}])


def _run(
    pair: ModelPair, name: str, asked: Asked, temperature: float, seed: int, answer: Answer, most: int
) -> ConstrainedRun:
    # The token that ends an answer was waited for as well, unless it was cut.
    tokens = len(answer.token_ids)
    return ConstrainedRun(
        contender=name,
        schema=asked.name,
        temperature=temperature,
        seed=seed,
        tokens=min(tokens + 1, most),
        seconds=answer.seconds,
        token_ids=answer.token_ids,
        drafted=sum(drafted * count for drafted, count in answer.rounds_by_draft),
        accepted=answer.accepted,
        rounds=sum(count for _, count in answer.rounds_by_draft),
        valid=None if tokens >= most else _is_valid(pair.decode(answer.token_ids), asked.schema),
    )


def _is_valid(text: str, schema: dict[str, Any]) -> bool | None:
    """By `jsonschema`, which judges in tests and need not be here."""
    if importlib.util.find_spec("jsonschema") is None:
        return None
    jsonschema: Any = importlib.import_module("jsonschema")
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class ConstrainedRow:
    """One temperature. Ratios are of tokens a second, median, least and greatest over the schemas (seeds together), and
    of all tokens to all seconds. `same` are answers with drafts whose ids are those without, of `answers`; `invalid`
    counts whole answers that the schema refuses, `cut` those that came to no end."""

    temperature: float
    answers: int
    same: int
    whole: int
    invalid: int
    cut: int
    tokens_per_second: dict[str, float]
    over_plain: tuple[float, float, float, float]
    over_mlx_lm: tuple[float, float, float, float]
    tokens_per_round: float
    acceptance: float


def rows_of(runs: Sequence[ConstrainedRun]) -> list[ConstrainedRow]:
    """A row a temperature."""
    return [
        _row(temperature, [run for run in runs if run.temperature == temperature])
        for temperature in dict.fromkeys(run.temperature for run in runs)
    ]


def _row(temperature: float, runs: Sequence[ConstrainedRun]) -> ConstrainedRow:
    of = {name: [run for run in runs if run.contender == name] for name in (DRAFTED, PLAIN, BASELINE)}
    plain_ids = {(run.schema, run.seed): run.token_ids for run in of[PLAIN]}
    drafted = of[DRAFTED]
    return ConstrainedRow(
        temperature,
        len(drafted),
        sum(run.token_ids == plain_ids[run.schema, run.seed] for run in drafted),
        sum(run.valid is True for run in drafted),
        sum(run.valid is False for run in runs),
        sum(run.valid is None for run in drafted),
        {name: _rate(some) for name, some in of.items()},
        _ratios(drafted, of[PLAIN]),
        _ratios(drafted, of[BASELINE]),
        sum(run.tokens for run in drafted) / max(1, sum(run.rounds for run in drafted)),
        sum(run.accepted for run in drafted) / max(1, sum(run.drafted for run in drafted)),
    )


def _rate(runs: Sequence[ConstrainedRun]) -> float:
    return sum(run.tokens for run in runs) / max(1e-9, sum(run.seconds for run in runs))


def _ratios(ours: Sequence[ConstrainedRun], others: Sequence[ConstrainedRun]) -> tuple[float, float, float, float]:
    """Of schemas: median, least, greatest; and of all together."""
    found = []
    for name in dict.fromkeys(run.schema for run in ours):
        some, rest = ([run for run in runs if run.schema == name] for runs in (ours, others))
        found.append(_rate(some) / max(1e-9, _rate(rest)))
    found.sort()
    middle = (found[(len(found) - 1) // 2] + found[len(found) // 2]) / 2
    return middle, found[0], found[-1], _rate(ours) / max(1e-9, _rate(others))
