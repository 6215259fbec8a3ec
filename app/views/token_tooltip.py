"""What is known of a token, in a few lines: what it is, both models' probabilities, and what else they had in mind."""

from collections.abc import Sequence

from app.protocol import Alternative, DraftedToken, EmittedToken, Round
from app.views.round_words import choice_words
from app.views.token_style import GHOST_NAME, TOKEN_STYLES


def emitted_tooltip(token: EmittedToken, one: Round) -> str:
    """For a token of the answer."""
    where = f"{TOKEN_STYLES[token.kind].name} · round {one.index} · position {token.position}"
    return _lines(token, where, one, token)


def ghost_tooltip(token: DraftedToken, one: Round, replaced_by: EmittedToken | None) -> str:
    """For a rejected draft; the target's token in its place knows what both had in mind there."""
    return _lines(token, f"{GHOST_NAME} draft · round {one.index}", one, replaced_by)


def visible_text(text: str) -> str:
    """A token's text with what cannot be seen made visible: a line break, a lone space, a character not yet whole."""
    if not text:
        return "·"
    if not text.strip(" "):
        return "␣" * len(text)
    return text.replace("\r", "").replace("\t", "⇥").replace("\n", "↵")


def _lines(token: EmittedToken | DraftedToken, where: str, one: Round, place: EmittedToken | None) -> str:
    lines = [f"“{visible_text(token.text)}”  {where}"]
    lines.append(f"target p {_probability(token.p)} · draft q {_probability(token.q)}")
    if place is not None and place.target_top:
        lines.append(f"target: {_alternatives(place.target_top)}")
    if place is not None and place.draft_top:
        lines.append(f"draft: {_alternatives(place.draft_top)}")
    if choice := choice_words(one):
        lines.append(choice)
    return "\n".join(lines)


def _alternatives(top: Sequence[Alternative]) -> str:
    return " · ".join(f"“{visible_text(one.text)}” {one.probability:.3f}" for one in top)


def _probability(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
