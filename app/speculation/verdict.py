"""Two answers to one prompt, one decoded plainly and one speculatively: are they the same, and which came sooner?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QCoreApplication

from app.engine.protocol import EmittedToken, Round
from app.speculation.tally import Tally

Rule = Literal["coupled", "token", "block", "typical"]
NEAR_TIE = 1.1  # low precision decides between candidates whose probabilities differ by less than this factor


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two answers differ. A side is None where its answer had ended."""

    place: int
    plain: EmittedToken | None
    speculative: EmittedToken | None

    @property
    def is_near_tie(self) -> bool:
        """Whether the target itself was undecided there: it found both about as likely, in either answer."""
        if self.plain is None or self.speculative is None or self.plain.p is None or self.speculative.p is None:
            return False
        high, low = max(self.plain.p, self.speculative.p), min(self.plain.p, self.speculative.p)
        return low > 0 and high / low < NEAR_TIE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a race showed. `ratio` is the speculative answer's tokens a second over the plain one's."""

    num_tokens: int
    difference: Difference | None
    ratio: float | None
    plain_rate: float | None
    speculative_rate: float | None
    rule: str = "coupled"
    is_strict: bool = False
    """Whether the engine made no pass so wide that rounding could have decided between near-ties."""

    @property
    def is_equal(self) -> bool:
        """Whether the words are the same, token for token."""
        return self.difference is None

    @property
    def words(self) -> str:
        """The verdict on the words, in a sentence."""
        if self.difference is None and self.is_strict:
            return QCoreApplication.translate("Verdict", "The same words, bit for bit: all {0:,} tokens.").format(
                self.num_tokens
            )
        if self.difference is None:
            return QCoreApplication.translate("Verdict", "The same words, token for token: all {0:,} of them.").format(
                self.num_tokens
            )
        where = QCoreApplication.translate("Verdict", "The words differ from token {0:,} on").format(
            self.difference.place + 1
        )
        if self.rule == "typical":
            return QCoreApplication.translate(
                "Verdict", "{0}: typical acceptance is lossy, and may change them."
            ).format(where)
        if self.rule != "coupled":
            return QCoreApplication.translate(
                "Verdict", "{0}, as the {1} rule allows: it keeps the distribution, not the words of a seed."
            ).format(where, self.rule)
        if self.difference.is_near_tie and not self.is_strict:
            return QCoreApplication.translate(
                "Verdict", "{0}, at a near-tie that rounding decided: the target found both about as likely."
            ).format(where)
        if self.is_strict:
            return QCoreApplication.translate(
                "Verdict", "{0}. That should not happen with strict passes: please export both and report it."
            ).format(where)
        return QCoreApplication.translate(
            "Verdict", "{0}. That should not happen with the coupled rule: please export both and report it."
        ).format(where)


def judge(plain: Sequence[Round], speculative: Sequence[Round], rule: str, *, is_strict: bool = False) -> Verdict:
    """Compare two answers to the same prompt with the same seed; `is_strict` where the engine says so of both."""
    speculative_tally, plain_tally = Tally.of(speculative), Tally.of(plain)
    speculative_rate, plain_rate = speculative_tally.tokens_per_second, plain_tally.tokens_per_second
    ratio = speculative_rate / plain_rate if speculative_rate and plain_rate else None
    difference = first_difference(tokens_of(plain), tokens_of(speculative))
    return Verdict(speculative_tally.num_emitted, difference, ratio, plain_rate, speculative_rate, rule, is_strict)


def tokens_of(rounds: Sequence[Round]) -> list[EmittedToken]:
    """The tokens of an answer."""
    return [token for one in rounds for token in one.emitted]


def first_difference(plain: Sequence[EmittedToken], speculative: Sequence[EmittedToken]) -> Difference | None:
    """The first place where they differ, None where both are the same to the end."""
    for place in range(max(len(plain), len(speculative))):
        left = plain[place] if place < len(plain) else None
        right = speculative[place] if place < len(speculative) else None
        if left is None or right is None or _identity(left) != _identity(right):
            return Difference(place, left, right)
    return None


def _identity(token: EmittedToken) -> object:
    """A token's id, or its text where an older engine tells no ids."""
    return token.text if token.token_id is None else token.token_id
