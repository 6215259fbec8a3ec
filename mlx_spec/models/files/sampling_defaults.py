"""How a model's makers say that its tokens are drawn: `generation_config.json`."""

from collections.abc import Mapping
from typing import Any, Final

from mlx_spec.config import SamplingParams
from mlx_spec.errors import ConfigError

FIELDS: Final = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def sampling_defaults(said: Mapping[str, Any]) -> dict[str, float]:
    """The fields of SamplingParams that a model has values of its own for; `said` is its `generation_config.json`.

    `do_sample` false is a temperature of 0, whatever temperature stands beside it. A value that no request could have
    is left out: what the file says is a recommendation.
    """
    own = {name: said[name] for name in FIELDS if said.get(name) is not None and _is_valid({name: said[name]})}
    return own | ({"temperature": 0.0} if said.get("do_sample") is False else {})


def _is_valid(field: Mapping[str, float]) -> bool:
    try:
        SamplingParams(**field)  # type: ignore[arg-type]
    except ConfigError:
        return False
    return True
