"""What the first page says of pairs and of a measured minute. Knows no Qt but its translator."""

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from app.engine.model_records import Suggestion
from app.first_run.minute import Minute
from app.models import format_bytes

translate = QCoreApplication.translate

WORTH = 1.03
"""A smaller gain is nothing that anybody would notice, or that could be told from chance."""
ROLES = {
    "largest": QT_TRANSLATE_NOOP("FirstRun", "The largest that fits"),
    "code": QT_TRANSLATE_NOOP("FirstRun", "For code"),
    "quick": QT_TRANSLATE_NOOP("FirstRun", "Quick to answer"),
}
KIND_NAMES = {
    "chat": QT_TRANSLATE_NOOP("FirstRun", "explaining"),
    "code": QT_TRANSLATE_NOOP("FirstRun", "writing code"),
    "copy-edit": QT_TRANSLATE_NOOP("FirstRun", "changing a given text"),
}


def role_words(role: str) -> str:
    """Why a pair is offered; an engine newer than this window may have reasons of its own."""
    return translate("FirstRun", ROLES[role]) if role in ROLES else ""


def speed_words(suggestion: Suggestion) -> tuple[str, str]:
    """The speed to expect, and what is to be said of it; both empty where the engine cannot tell."""
    plain, drafted = suggestion.plain_rate, suggestion.drafted_rate
    if plain is None:
        return "", ""
    figure = translate("FirstRun", "up to {0} tokens/s").format(_rate(drafted or plain))
    if suggestion.raced is not None:
        return figure, translate("FirstRun", "draft: {0:.2f}×, measured here").format(suggestion.raced)
    if drafted is None:
        return figure, translate("FirstRun", "without a draft")
    return figure, translate("FirstRun", "{0} without its draft").format(_rate(plain))


def memory_words(suggestion: Suggestion, available_bytes: int) -> str:
    """What it takes of what there is."""
    takes, there = format_bytes(suggestion.needed_bytes), format_bytes(available_bytes)
    return translate("FirstRun", "takes about {0} of {1}").format(takes, there)


def minute_words(minute: Minute) -> tuple[str, str]:
    """What the minute showed: a headline, and the sentences below it."""
    ratio, plain, rate = minute.ratio, minute.plain_rate, minute.rate
    if ratio is None or plain is None or rate is None:
        return translate("FirstRun", "Too slow to say"), translate("FirstRun", "No answer came within the time.")
    told = [translate("FirstRun", "{0} tokens a second instead of {1}.").format(_rate(rate), _rate(plain))]
    if not minute.is_steady:
        headline = translate("FirstRun", "No clear answer")
        told += [
            translate("FirstRun", "That is {0:.2f}×, but the machine was busy meanwhile, or is slow.").format(ratio)
        ]
        told += [translate("FirstRun", "Measure again when it has nothing else to do.")]
    elif ratio >= WORTH:
        headline = translate("FirstRun", "{0:.2f}× as fast").format(ratio)
        told += [translate("FirstRun", "By kind: {0}.").format(_by_kind(minute))]
    elif ratio > 1 / WORTH:
        headline = translate("FirstRun", "About as fast as without")
        told += [translate("FirstRun", "Drafts do not pay here for these texts with this model.")]
        told += [translate("FirstRun", "The engine notices, and mostly answers plainly.")]
    else:
        headline = translate("FirstRun", "{0:.2f}×: slower than without").format(ratio)
        told += [translate("FirstRun", "Other work on this machine may have come between: measure again.")]
        told += [translate("FirstRun", "The panel's page “Control” can switch drafts off.")]
    if (difference := minute.difference) is not None:
        told += [difference.words]
    else:
        told += [translate("FirstRun", "Every word was the same, as it has to be.")]
    return headline, " ".join(told)


def _by_kind(minute: Minute) -> str:
    return ", ".join(
        f"{translate('FirstRun', KIND_NAMES.get(kind, kind))} {verdict.ratio:.2f}×"
        for kind, verdict in minute.verdicts
        if verdict.ratio is not None
    )


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
