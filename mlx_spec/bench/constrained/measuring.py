"""Three ways to answer by a schema, in turns: A B C, B C A, C A B. A time is that of decoding alone, of answers that
are whole or cut at the same length."""

import importlib
import importlib.util
import json
from collections.abc import Callable
from typing import Any, Final

from mlx_spec.bench.constrained.report import BASELINE, DRAFTED, PLAIN, ConstrainedReport, ConstrainedRun
from mlx_spec.bench.constrained.schemas import SCHEMAS, Asked
from mlx_spec.bench.contenders import Answer, MlxLm, Ours
from mlx_spec.bench.plan import SEED, Way
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.models.loading import ModelPair

_WARM_UP_TOKENS: Final = 16

Tell = Callable[[str, float], None]


def measure_constrained(
    report: ConstrainedReport,
    pair: ModelPair,
    *,
    tell: Tell = lambda stage, fraction: None,
    save: Callable[[ConstrainedReport], None] = lambda report: None,
) -> None:
    """Fill a report: a run for each contender, schema, temperature and seed. `save` gets it after each turn of all
    three. Seeds are outermost: what is cut short has covered every schema about equally."""
    scope = report.scope
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
    report.judged = importlib.util.find_spec("jsonschema") is not None
    seeds = range(SEED, SEED + scope.seeds)
    blocks = [(one, temperature, seed) for seed in seeds for temperature in scope.temperatures for one in asked]
    for number, (one, temperature, seed) in enumerate(blocks):
        names = [*ways][number % len(ways) :] + [*ways][: number % len(ways)]
        for place, name in enumerate(names):
            tell("measuring", (number + place / len(names)) / len(blocks))
            ways[name].constraint = _constraint(one)
            answer = ways[name].answer(_prompt(pair, one), temperature, seed, scope.answer_tokens)
            report.runs.append(_run(pair, name, one, temperature, seed, answer, scope.answer_tokens))
        report.complete = number + 1 == len(blocks)
        tell("measuring", (number + 1) / len(blocks))
        save(report)


def _constraint(asked: Asked) -> Constraint:
    return Constraint.json_schema(asked.schema)


def _prompt(pair: ModelPair, asked: Asked) -> list[int]:
    return pair.encode_chat([{"role": "user", "content": f"{asked.question} Answer in JSON."}])


def _run(
    pair: ModelPair, name: str, asked: Asked, temperature: float, seed: int, answer: Answer, most: int
) -> ConstrainedRun:
    tokens = len(answer.token_ids)  # an end that a grammar leaves no choice about takes us no pass, mlx-lm one
    return ConstrainedRun(
        contender=name,
        schema=asked.name,
        temperature=temperature,
        seed=seed,
        tokens=tokens,
        seconds=answer.seconds,
        host_seconds=answer.host_seconds,
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
