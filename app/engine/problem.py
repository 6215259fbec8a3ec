"""A problem as the window tells it."""

from dataclasses import dataclass
from typing import Literal

Remedy = Literal["none", "retry", "restart", "report"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What happened, what to do about it, and the details for those who want them.

    `remedy` names the one action that the banner offers: asking again, starting the engine again, showing
    the reports of what went wrong, or none.
    """

    title: str
    advice: str = ""
    details: str = ""
    remedy: Remedy = "none"
