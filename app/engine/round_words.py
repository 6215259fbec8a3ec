"""Who drafted a round, and why it drafted that many, in words."""

import re

from app.engine.drafters import name_of
from app.engine.protocol import Round

_TIMES = re.compile(r"(?<=\d)x(?= |$)")


def choice_words(one: Round) -> str:
    """The drafter and the reason, or as much of that as the engine told."""
    parts = [name_of(one.drafter)] if one.drafter else []
    parts += [_TIMES.sub("×", one.reason)] if one.reason else []
    return " · ".join(parts)
