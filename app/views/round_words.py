"""Who drafted a round, and why it drafted that many, in words."""

import re

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from app.protocol import Round

DRAFTER_NAMES = {
    "model": QT_TRANSLATE_NOOP("RoundWords", "draft model"),
    "ngram": QT_TRANSLATE_NOOP("RoundWords", "n-gram"),
}

_TIMES = re.compile(r"(?<=\d)x(?= |$)")


def drafter_name(drafter: str) -> str:
    """The drafter's name for people; that of a newer engine's as it is."""
    return QCoreApplication.translate("RoundWords", DRAFTER_NAMES[drafter]) if drafter in DRAFTER_NAMES else drafter


def choice_words(one: Round) -> str:
    """The drafter and the reason, or as much of that as the engine told."""
    parts = [drafter_name(one.drafter)] if one.drafter else []
    parts += [_TIMES.sub("×", one.reason)] if one.reason else []
    return " · ".join(parts)
