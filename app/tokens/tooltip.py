"""What is known of a token, in a few lines: what it is, both models' probabilities, and what else they had in mind."""

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication

from app.engine.drafters import choice_words
from app.engine.protocol import Alternative, DraftedToken, EmittedToken, Round
from app.tokens.style import GHOST_NAME, TOKEN_STYLES, told


def emitted_tooltip(token: EmittedToken, one: Round) -> str:
    """For a token of the answer."""
    kind = told(TOKEN_STYLES[token.kind].name)
    where = QCoreApplication.translate("TokenTooltip", "{0} · round {1} · position {2}").format(
        kind, one.index, token.position
    )
    return _lines(token, where, one, token)


def ghost_tooltip(token: DraftedToken, one: Round, replaced_by: EmittedToken | None) -> str:
    """For a rejected draft; the target's token in its place knows what both had in mind there."""
    return _lines(
        token,
        QCoreApplication.translate("TokenTooltip", "{0} draft · round {1}").format(told(GHOST_NAME), one.index),
        one,
        replaced_by,
    )


def visible_text(text: str) -> str:
    """A token's text with what cannot be seen made visible: a line break, a lone space, a character not yet whole."""
    if not text:
        return "·"
    if not text.strip(" "):
        return "␣" * len(text)
    return text.replace("\r", "").replace("\t", "⇥").replace("\n", "↵")


def _lines(token: EmittedToken | DraftedToken, where: str, one: Round, place: EmittedToken | None) -> str:
    lines = [f"“{visible_text(token.text)}”  {where}"]
    both = _probability(token.p), _probability(token.q)
    lines.append(QCoreApplication.translate("TokenTooltip", "target p {0} · draft q {1}").format(*both))
    if place is not None and place.target_top:
        lines.append(QCoreApplication.translate("TokenTooltip", "target: {0}").format(_alternatives(place.target_top)))
    if place is not None and place.draft_top:
        lines.append(QCoreApplication.translate("TokenTooltip", "draft: {0}").format(_alternatives(place.draft_top)))
    if choice := choice_words(one):
        lines.append(choice)
    return "\n".join(lines)


def _alternatives(top: Sequence[Alternative]) -> str:
    return " · ".join(f"“{visible_text(one.text)}” {one.probability:.3f}" for one in top)


def _probability(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
