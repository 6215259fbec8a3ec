"""Fields that clients write in several ways, each as the one way that the engine knows. All raise ValueError, which
says what a field must be."""

import re
from typing import Final

from pydantic import BeforeValidator

from mlx_spec.server.requests.foreign_fields import is_same
from mlx_spec.server.requests.messages import checked_text
from mlx_spec.server.requests.validation import RequestError, shown

KEY_LIMIT: Final = 256
"""Characters of a `prompt_cache_key`."""
_LONGEST_MS: Final = 1e12  # some thirty years, and no infinity
_TOKEN_ID: Final = re.compile("[0-9]{1,9}")


def prompts_of(value: object) -> object:
    """One prompt or several: a text, token ids, or a list of these."""
    several = isinstance(value, list) and value and type(value[0]) is not int
    found = value if several and isinstance(value, list) else [value]
    return tuple(_prompt(one) for one in found)


def _prompt(value: object) -> str | tuple[int, ...]:
    if isinstance(value, list) and value and all(type(one) is int and one >= 0 for one in value):
        return tuple(value)
    if not isinstance(value, str) or not value:
        raise ValueError("a string that is not empty, a list of token ids, or a list of these")
    return checked_text(value)


def unless(unset: float) -> BeforeValidator:
    """Many clients send a number in the place of null."""
    return BeforeValidator(lambda value: None if is_same(value, unset) else value)


def stop_strings(value: object) -> object:
    """An empty one, which would end every answer before it began, is what clients send for none."""
    strings = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(strings, list) or not all(isinstance(one, str) for one in strings):
        raise ValueError("a string, or a list of strings")
    return tuple(checked_text(one) for one in strings if one)


def deadline(value: object) -> object:
    """Milliseconds from the request's arrival. None of those that are over is wrong: it has just passed."""
    if value is None or (not isinstance(value, bool) and isinstance(value, int | float) and abs(value) <= _LONGEST_MS):
        return None if value is None else float(value)
    raise ValueError("a number of milliseconds, counted from the request's arrival")


def cache_key(value: object) -> str | None:
    """The name that a client gives to a chat; an empty one is none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > KEY_LIMIT:
        raise ValueError(f"a string of at most {KEY_LIMIT} characters")
    return checked_text(value)


def parse_key(key: str | None) -> str | None:
    """The key that a path names, None where it names none. Raises RequestError."""
    try:
        return cache_key(key)
    except ValueError as error:
        raise RequestError(f"prompt_cache_key is {shown(key)}: it must be {error}.", "prompt_cache_key") from None


def biases(value: object) -> object:
    """OpenAI's keys are token ids as strings."""
    if value is None:
        return None
    if not isinstance(value, dict) or not all(_TOKEN_ID.fullmatch(key) for key in value):
        raise ValueError("a JSON object from token ids to numbers from -100 to 100")
    return {int(key): bias for key, bias in value.items()}
