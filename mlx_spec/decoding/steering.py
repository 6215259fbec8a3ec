"""What may be changed while an answer is under way, and the letterbox through which it comes from another thread."""

import threading
from dataclasses import dataclass, replace
from typing import Any, Literal

from mlx_spec.config import AcceptanceRule, SpeculativeConfig, tree_settings
from mlx_spec.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """New settings for the rounds to come; None leaves one as it is. Only `coupled` keeps the words, seed by seed."""

    drafter: str | None = None
    lookahead: int | Literal["auto"] | None = None
    acceptance: AcceptanceRule | None = None
    acceptance_threshold: float | None = None
    min_acceptance_ratio: float | None = None
    tree: str | None = None
    """As `tree_settings` reads it."""

    def applied_to(self, config: SpeculativeConfig) -> SpeculativeConfig:
        """The configuration with this change. Raises ConfigError for a value out of its range."""
        if self.lookahead == "auto":
            config = replace(config, adaptive_lookahead=True)
        elif self.lookahead is not None:
            config = replace(config, lookahead=self.lookahead, adaptive_lookahead=False)
        names = ("acceptance", "acceptance_threshold", "min_acceptance_ratio")
        given: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.acceptance == "block" and config.only_weighed:  # it knows chains only, and nobody asked for trees
            given["tree_speculation"] = False
        if self.tree is not None:
            given |= tree_settings(self.tree)
        return replace(config, **given) if given else config

    def then(self, later: "Change") -> "Change":
        """Both changes as one: what `later` says counts."""
        said = {name: value for name in self.__dataclass_fields__ if (value := getattr(later, name)) is not None}
        return replace(self, **said)


class Steering:
    """Holds the newest changes until the decoder plans its next round. `steer` may be called from any thread.

    `drafters` are what the answer can be steered to, `config` what it is decoded by; the decoder sets both.
    """

    def __init__(self) -> None:
        self.drafters: tuple[str, ...] | None = None
        self.config = SpeculativeConfig()
        self._lock = threading.Lock()
        self._waiting: Change | None = None

    def steer(self, change: Change) -> None:
        """Ask for `change` from the next round on. Raises ConfigError where this answer cannot be decoded like that."""
        self._check(change.drafter)
        with self._lock:
            wanted = change if self._waiting is None else self._waiting.then(change)
            wanted.applied_to(self.config)
            self._waiting = wanted

    def take(self) -> Change | None:
        """What was asked for since the last call."""
        if self._waiting is None:  # a glance without the lock: a change that comes now comes a round later
            return None
        with self._lock:
            change, self._waiting = self._waiting, None
            return change

    def _check(self, drafter: str | None) -> None:
        if drafter is None or self.drafters is None:
            return
        allowed = ("auto", *self.drafters, "none") if self.drafters else ("none",)
        if drafter not in allowed:
            why = "" if self.drafters else ": this answer is decoded plainly from its beginning, and the next can draft"
            raise ConfigError("drafter", drafter, " or ".join(allowed) + why)
