"""What is measured: the modes of `mlx-spec bench`, each a preset, with what was chosen by hand in its place."""

import shlex
from dataclasses import fields
from typing import Any, Final

from mlx_spec.bench import plan as plans
from mlx_spec.bench.paired.modes import MODES, ModeName
from mlx_spec.bench.paired.serving.plan import ServePlan
from mlx_spec.bench.plan import BenchPlan, Scope
from mlx_spec.errors import ConfigError

_QUICK: dict[str, Any] = {
    "contenders": plans.CORE,
    "kinds": ("chat", "code", "copy-edit"),
    "temperatures": (0.0, 1.0),
    "prompts": 1,
    "answer_tokens": 40,
}
_SWEEP: dict[str, Any] = {
    "contenders": plans.sweep_contenders(),
    "kinds": plans.SWEEP_KINDS,
    "temperatures": (0.0, 1.0),
    "prompts": 1,
    "repeats": 3,
}
_HOST: dict[str, Any] = {"temperatures": (0.0, 1.0), "lookahead": 4}
_PRESETS: Final[dict[str, dict[str, Any]]] = {"--quick": _QUICK, "--full": {}, "--fixed-sweep": _SWEEP, "--host": _HOST}
PAIRED: Final[dict[str, ModeName]] = {
    "--cold": "cold",
    "--disturbed": "disturbed",
    "--beside": "beside",
    "--turns": "turns",
    "--predicted": "predicted",
}
"""The modes of two sides, by their options."""
SERVING: Final = ("--serve", "--load")
"""Those of servers that are asked several things at once."""
_LOAD_REQUESTS: Final = 32


def asked_mode(given: dict[str, bool]) -> str:
    """The mode that was asked for; --quick where none was. Raises ConfigError where several were."""
    asked = [name for name, on in given.items() if on]
    if len(asked) > 1:
        raise ConfigError("mode", " ".join(asked), f"one of {', '.join(given)}")
    return asked[0] if asked else "--quick"


def plan_of(mode: str, chosen: dict[str, Any]) -> BenchPlan:
    """The plan of a mode, with what was chosen by hand in its place. Raises ConfigError."""
    given = _given(chosen)
    if mode == "--host" and "kv_bits" in given:
        raise ConfigError("kv_bits", given["kv_bits"], "left out with --host, whose models are its own")
    return BenchPlan(**_PRESETS[mode] | given)


def scope_of(mode: str, chosen: dict[str, Any]) -> Scope:
    """The scope of a paired mode, as above. Raises ConfigError for an option that it has no use for."""
    preset, settled = MODES[PAIRED[mode]].preset, MODES[PAIRED[mode]].settled
    told = _given(chosen)
    for name in told:
        if name not in preset:
            raise ConfigError(name, told[name], f"left out with {mode}, which does not use it")
    return Scope(**preset | settled | told)


def serve_plan_of(chosen: dict[str, Any]) -> ServePlan:
    """The plan of `--serve`, as above. Raises ConfigError as `scope_of` does."""
    told = _given(chosen)
    known = {field.name for field in fields(ServePlan)}
    for name in told:
        if name not in known:
            raise ConfigError(name, told[name], "left out with --serve, which does not use it")
    return ServePlan(**told)


def load_plan_of(chosen: dict[str, Any]) -> ServePlan:
    """The plan of `--load`, whose `rates` are chosen, as above."""
    return serve_plan_of({"at_once": (), "prompts": _LOAD_REQUESTS, "repeats": 1} | _given(chosen))


def options_in(text: str | None) -> tuple[str, ...]:
    """The options in one string, as a shell takes them apart. Raises ConfigError."""
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        raise ConfigError("serve_options", text, "options as a shell takes them, with quotes closed") from error


def _given(chosen: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in chosen.items() if value is not None}
