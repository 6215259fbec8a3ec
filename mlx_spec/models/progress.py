"""How work on models tells how far it is."""

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Told `(stage, fraction)`: a stage such as "importing", and how much of it is done, from 0 to 1."""


def silent(stage: str, fraction: float) -> None:
    """The progress that nobody asked for."""
