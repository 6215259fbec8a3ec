"""Answers of servers with given times."""

from collections.abc import Sequence
from typing import Any

from mlx_spec.bench.paired.serving.answers import Served, ServedAnswer


def an_answer(*times: float, asked: float = 0.0, tokens: int = 10, **values: Any) -> ServedAnswer:
    return ServedAnswer(1, asked, times, times[-1] if times else asked, tokens, "words", **values)


def served(side: str, *waves: Sequence[ServedAnswer], at_once: int = 2, turn: int = 0) -> Served:
    return Served(side, at_once, turn, tuple(tuple(wave) for wave in waves))
