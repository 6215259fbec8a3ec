"""The drafters in words: what each is called and does, and why a round drafted as many tokens as it did."""

import re

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from app.engine.protocol import Round
from app.engine.request import Drafter

_CONTEXT = "Drafter"
_TIMES = re.compile(r"(?<=\d)x(?= |$)")
_ROWS: tuple[tuple[Drafter, str, str], ...] = (
    (
        "auto",
        QT_TRANSLATE_NOOP("Drafter", "Auto"),
        QT_TRANSLATE_NOOP("Drafter", "Each round asks whichever drafter promises most, or none"),
    ),
    (
        "model",
        QT_TRANSLATE_NOOP("Drafter", "Draft model"),
        QT_TRANSLATE_NOOP("Drafter", "Only the small model guesses"),
    ),
    (
        "ngram",
        QT_TRANSLATE_NOOP("Drafter", "N-gram"),
        QT_TRANSLATE_NOOP("Drafter", "Only what stood in the text before is guessed"),
    ),
    (
        "eagle",
        QT_TRANSLATE_NOOP("Drafter", "EAGLE head"),
        QT_TRANSLATE_NOOP("Drafter", "A small head guesses one token after the other from the target's own states"),
    ),
    (
        "medusa",
        QT_TRANSLATE_NOOP("Drafter", "Medusa heads"),
        QT_TRANSLATE_NOOP("Drafter", "A head for each place ahead guesses from the target's last state"),
    ),
    (
        "dflash",
        QT_TRANSLATE_NOOP("Drafter", "DFlash head"),
        QT_TRANSLATE_NOOP("Drafter", "A small head guesses a whole block at once from the target's own states"),
    ),
    (
        "grammar",
        QT_TRANSLATE_NOOP("Drafter", "Required form"),
        QT_TRANSLATE_NOOP("Drafter", "Only what the form that was asked for leaves no choice about is guessed"),
    ),
    (
        "self",
        QT_TRANSLATE_NOOP("Drafter", "Half the target"),
        QT_TRANSLATE_NOOP("Drafter", "The target guesses for itself with half of its layers left out"),
    ),
    (
        "none",
        QT_TRANSLATE_NOOP("Drafter", "None"),
        QT_TRANSLATE_NOOP("Drafter", "Nothing is guessed: plain decoding"),
    ),
)
EVERYWHERE: tuple[Drafter, ...] = ("auto", "model", "ngram", "none")
"""What is offered where an engine does not say what it can draft by."""


def in_order(names: set[str]) -> list[Drafter]:
    """The drafters of `names` as they are listed, those unknown here left out."""
    return [drafter for drafter, _, _ in _ROWS if drafter in names]


def drafter_name(drafter: Drafter) -> str:
    """What people call it."""
    return QCoreApplication.translate(_CONTEXT, next(name for one, name, _ in _ROWS if one == drafter))


def name_of(told: str) -> str:
    """What people call the drafter that an engine told of; that of a newer engine's as it is."""
    names = [name for one, name, _ in _ROWS if one == told]
    return QCoreApplication.translate(_CONTEXT, names[0]) if names else told


def line_of(told: str) -> str:
    """What the drafter that an engine told of does, in one line; nothing of one that is unknown here."""
    lines = [line for one, _, line in _ROWS if one == told]
    return QCoreApplication.translate(_CONTEXT, lines[0]) if lines else ""


def drafter_line(drafter: Drafter) -> str:
    """What it does, in one line."""
    return QCoreApplication.translate(_CONTEXT, next(line for one, _, line in _ROWS if one == drafter))


def choice_words(one: Round) -> str:
    """Who drafted a round and the reason for that many, or as much of that as the engine told."""
    parts = [name_of(one.drafter)] if one.drafter else []
    parts += [_TIMES.sub("×", one.reason)] if one.reason else []
    return " · ".join(parts)
