"""How a model's makers say that its tokens are drawn: `generation_config.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mlx_spec.config import SamplingParams
from mlx_spec.errors import ConfigError

FIELDS: Final = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def sampling_defaults(folder: Path) -> dict[str, float]:
    """The fields of SamplingParams that the model in `folder` has values of its own for.

    `do_sample` false is a temperature of 0, whatever temperature stands beside it. A value that no request could have
    is left out, as is a file that cannot be read: what it says is a recommendation.
    """
    try:
        said = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    own = {name: said[name] for name in FIELDS if said.get(name) is not None and _is_valid({name: said[name]})}
    return own | ({"temperature": 0.0} if said.get("do_sample") is False else {})


def _is_valid(field: Mapping[str, float]) -> bool:
    try:
        SamplingParams(**field)  # type: ignore[arg-type]
    except ConfigError:
        return False
    return True
