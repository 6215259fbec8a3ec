"""What an answer must look like, as a command line says it."""

import json
from pathlib import Path

from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.errors import GrammarError


def constraint_of(schema: Path | None, regex: str | None) -> Constraint | None:
    """From `--schema FILE` or `--regex`; None where neither was given. Raises GrammarError."""
    if schema is not None and regex is not None:
        raise GrammarError("--schema and --regex were both given: an answer has one shape, so give one of them.")
    if regex is not None:
        return Constraint.regex(regex)
    if schema is None:
        return None
    try:
        read = json.loads(schema.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GrammarError(f"The schema in {schema} cannot be read ({reason}): name a JSON file.") from error
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"The schema in {schema} is no JSON ({error}): correct it.") from error
    return Constraint.json_schema(read)
