"""Settings of one decoder and of one request: frozen values that know their ranges.

Both classes validate on construction, so an instance in hand is a valid one.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from mlx_spec.errors import ConfigError

AcceptanceRule = Literal["coupled", "token", "block", "typical"]
ACCEPTANCE_RULES: Final = get_args(AcceptanceRule)
DrafterName = Literal["auto", "eagle", "medusa", "dflash", "model", "grammar", "ngram", "self", "none"]
DRAFTERS: Final[tuple[DrafterName, ...]] = get_args(DrafterName)
LOSSY_RULES: Final[frozenset[AcceptanceRule]] = frozenset({"typical"})
"""The rules that change the distribution of the words."""
Controller = Literal["cost", "threshold"]
Exactness = Literal["strict", "fast"]
ExactnessChoice = Literal["auto", "strict", "fast"]
EXACTNESS: Final[tuple[ExactnessChoice, ...]] = get_args(ExactnessChoice)
LogitBias = Mapping[int, float] | tuple[tuple[int, float], ...]
LOOKAHEAD_LIMIT: Final = 32
KV_BITS: Final = (4, 8)
"""Keys and values can be kept in so many bits each."""
BRANCHING_LIMIT: Final = 8
TREE_LIMIT: Final = 128
"""Tokens of one drafted tree."""
SEED_LIMIT: Final = 2**63
ALTERNATIVES_LIMIT: Final = 8
"""So many of the likeliest tokens may be asked for beside each one."""
LOGPROBS_LIMIT: Final = 20
"""So many of the likeliest tokens may be told with each one's log-probability."""
GREEDY_BELOW: Final = 1e-6
_TREE: Final = re.compile(r"(?P<depth>[0-9]+)x(?P<branching>[0-9]+)(:(?P<nodes>[0-9]+))?")


def _check_integer(field: str, value: object, low: int, high: int | None = None) -> None:
    allowed = f"a whole number from {low} to {high}" if high is not None else f"a whole number of at least {low}"
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        raise ConfigError(field, value, allowed)


def _check_number(field: str, value: object, low: float, high: float | None, *, open_low: bool = False) -> None:
    upper = f"{high:g}]" if high is not None else "∞)"
    allowed = f"a number in {'(' if open_low else '['}{low:g}, {upper}"
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ConfigError(field, value, allowed)
    if value < low or (open_low and value == low) or value > (high if high is not None else sys.float_info.max):
        raise ConfigError(field, value, allowed)


def tree_settings(text: str) -> dict[str, Any]:
    """The tree fields of SpeculativeConfig from "3x2" (up to 3 tokens deep, 2 for each place), "6x8:48" (of such a tree
    the likeliest 48 tokens) or "off".

    Raises ConfigError.
    """
    if text == "off":
        return {"tree_speculation": False}
    found = _TREE.fullmatch(text)
    if found is None:
        raise ConfigError("tree", text, "off, DEPTHxBRANCHING as in 3x2, or DEPTHxBRANCHING:TOKENS as in 6x8:48")
    return {
        "tree_speculation": True,
        "only_weighed": False,
        "max_tree_depth": int(found["depth"]),
        "tree_branching_factor": int(found["branching"]),
        "max_tree_nodes": int(found["nodes"]) if found["nodes"] else None,
    }


def fixed_rounds(shape: int | str, acceptance: AcceptanceRule = "coupled") -> "SpeculativeConfig":
    """Rounds that all draft the same: a chain of `shape` tokens, or a tree as `tree_settings` reads it.

    Without the threshold every chain has the full length, as mlx-lm's has. Raises ConfigError.
    """
    settings = {"lookahead": shape} if isinstance(shape, int) else tree_settings(shape)
    return SpeculativeConfig(adaptive_lookahead=False, acceptance_threshold=0.0, acceptance=acceptance, **settings)


def check_exactness(value: object) -> None:
    """Raise ConfigError for what is none."""
    if value not in EXACTNESS:
        raise ConfigError("exactness", value, f"one of {', '.join(EXACTNESS)}")


def _check_biases(biases: object) -> None:
    if isinstance(biases, Mapping):
        biases = tuple(biases.items())
    if not isinstance(biases, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in biases):
        raise ConfigError("logit_bias", biases, "a mapping from token ids to numbers")
    for token_id, bias in biases:
        _check_integer("logit_bias", token_id, 0)
        _check_number(f"logit_bias[{token_id}]", bias, -100.0, 100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How one request turns logits into tokens.

    Applied in this order: logit bias and bans, repetition penalty, presence and frequency penalty (as vLLM and mlx-lm
    have it), temperature, top-k, top-p, min-p. All but the last four hold at temperature 0 too.

    `repetition_penalty` 1 is off: the logits of tokens that stand in prompt or answer are divided by it where they
    are positive, multiplied where negative (Keskar et al. 2019, CTRL). `presence_penalty` and `frequency_penalty` 0
    are off: once, and for every time that it stands in the answer, they are subtracted from a token's logit.
    `logit_bias` maps token ids to what is added to their logits, and is kept as a sorted tuple of pairs.
    `banned_token_ids` are never emitted.

    `temperature` 0 is greedy, and so is anything under 1e-6, where float32 scores would overflow. `top_k` 0 and
    `min_p` 0 are off, as is `top_p` 1. `seed` None draws one, which `GenerationFinished.seed` then gives back.
    `stop` holds strings that end the answer and are not part of it.

    Raises ConfigError, which names the field, the value and the range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: LogitBias = ()
    banned_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.validate()
        if isinstance(self.logit_bias, Mapping):  # hashable, and equal whatever the order it was written in
            object.__setattr__(self, "logit_bias", tuple(sorted(self.logit_bias.items())))

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken, without noise."""
        return self.temperature < GREEDY_BELOW

    def validate(self) -> None:
        """Raise ConfigError for the first field out of its range."""
        _check_number("temperature", self.temperature, 0.0, 100.0)
        _check_number("top_p", self.top_p, 0.0, 1.0, open_low=True)
        _check_integer("top_k", self.top_k, 0)
        _check_number("min_p", self.min_p, 0.0, 1.0)
        if self.seed is not None:
            _check_integer("seed", self.seed, 0, SEED_LIMIT - 1)
        stop: object = self.stop
        if not isinstance(stop, tuple) or not all(isinstance(s, str) and s for s in stop):
            raise ConfigError("stop", self.stop, "a tuple of strings that are not empty")
        _check_number("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
        _check_number("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _check_number("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        _check_biases(self.logit_bias)
        banned: object = self.banned_token_ids
        if not isinstance(banned, tuple):
            raise ConfigError("banned_token_ids", banned, "a tuple of token ids")
        for token_id in banned:
            _check_integer("banned_token_ids", token_id, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeculativeConfig:
    """How one decoder speculates. Of these settings only `kv_bits` changes the words of the default rule, `coupled`.

    `acceptance`: `coupled` keeps the words, `token` and `block` their distribution; `typical` is lossy, and the
    statistics say so.

    Without `adaptive_lookahead` every round drafts `lookahead` tokens. With it a `controller` chooses: `cost` the
    length from 0 to `max_lookahead` that promises most tokens a second, from measured times; `threshold` one more or
    one fewer by acceptance, from `lookahead` on, between `min_lookahead` and `max_lookahead`. A running p/q below
    `min_acceptance_ratio` parks speculation.

    A draft model ends its chain behind a token before which its best guess had less than `acceptance_threshold`
    probability; 0 never does. `draft_temperature` None is the target's, `max_seq_len` None the model's own.

    With `tree_speculation` a drafter that can proposes several tokens for one place: trees of up to `max_tree_depth`
    tokens one behind the other and `tree_branching_factor` beside each other; of a tree with more than `max_tree_nodes`
    tokens the likeliest so many are kept. The cost controller weighs them against chains; without `adaptive_lookahead`
    every round drafts the largest tree, unless trees are `only_weighed`: then a fixed lookahead is a chain. `block` and
    `threshold` know chains only.

    `exactness` says how wide the target's passes may be. `strict`: no wider than was measured to leave each row the
    bits that it has alone, so that the words of `coupled` are plain decoding's bit for bit, whoever else is answered;
    `fast`: as wide as brings most, where rounding may decide between tokens that are nearly tied; `auto`: strict
    where that allows passes of four rows.

    `kv_bits` 4 or 8 keeps each of the target's keys and values in so many bits, from the first token on; None as the
    model computes them. The words are then those of plain decoding over the same keys and values.

    Raises ConfigError, which names the field, the value and the range.
    """

    lookahead: int = 4
    acceptance_threshold: float = 0.5
    draft_temperature: float | None = None
    tree_speculation: bool = False
    max_tree_depth: int = 3
    tree_branching_factor: int = 2
    max_tree_nodes: int | None = None
    only_weighed: bool = False
    draft_top_p: float = 1.0
    min_acceptance_ratio: float = 0.1
    adaptive_lookahead: bool = True
    controller: Controller = "cost"
    min_lookahead: int = 2
    max_lookahead: int = 8
    max_seq_len: int | None = None
    acceptance: AcceptanceRule = "coupled"
    kv_bits: int | None = None
    exactness: ExactnessChoice = "auto"

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Raise ConfigError for the first field out of its range."""
        _check_integer("lookahead", self.lookahead, 1, LOOKAHEAD_LIMIT)
        _check_number("acceptance_threshold", self.acceptance_threshold, 0.0, 1.0)
        if self.draft_temperature is not None:
            _check_number("draft_temperature", self.draft_temperature, 0.0, 100.0)
        _check_number("draft_top_p", self.draft_top_p, 0.0, 1.0, open_low=True)
        _check_number("min_acceptance_ratio", self.min_acceptance_ratio, 0.0, 1.0)
        _check_integer("min_lookahead", self.min_lookahead, 1, LOOKAHEAD_LIMIT)
        _check_integer("max_lookahead", self.max_lookahead, self.min_lookahead, LOOKAHEAD_LIMIT)
        if self.max_seq_len is not None:
            _check_integer("max_seq_len", self.max_seq_len, 2)
        if self.controller not in get_args(Controller):
            raise ConfigError("controller", self.controller, f"one of {', '.join(get_args(Controller))}")
        if self.acceptance not in ACCEPTANCE_RULES:
            raise ConfigError("acceptance", self.acceptance, f"one of {', '.join(ACCEPTANCE_RULES)}")
        check_exactness(self.exactness)
        if self.kv_bits is not None and (type(self.kv_bits) is not int or self.kv_bits not in KV_BITS):
            raise ConfigError("kv_bits", self.kv_bits, "4, 8 or left out")
        self._validate_trees()

    def _validate_trees(self) -> None:
        depth, branching = self.max_tree_depth, self.tree_branching_factor
        _check_integer("max_tree_depth", depth, 1, LOOKAHEAD_LIMIT)
        _check_integer("tree_branching_factor", branching, 1, BRANCHING_LIMIT)
        trees: object = self.tree_speculation
        if not isinstance(trees, bool):
            raise ConfigError("tree_speculation", trees, "True or False")
        if not trees:
            return
        if self.max_tree_nodes is not None:
            _check_integer("max_tree_nodes", self.max_tree_nodes, depth, TREE_LIMIT)
        elif sum(branching**level for level in range(1, depth + 1)) > TREE_LIMIT:
            allowed = (
                f"so low that a tree with {branching} children a node has {TREE_LIMIT} tokens or fewer, or "
                "max_tree_nodes must say how many are kept"
            )
            raise ConfigError("max_tree_depth", depth, allowed)
        if self.acceptance == "block":
            raise ConfigError("acceptance", "block", "coupled, token or typical where tree_speculation is on")
        if self.adaptive_lookahead and self.controller == "threshold":
            raise ConfigError("controller", "threshold", "cost where tree_speculation is on")


@dataclass(frozen=True, slots=True)
class Keeping:
    """Bytes of memory for texts that were read (None: a quarter of what the models leave, at most 4 GB; 0: nothing is
    kept), of memory for those and the answers under way (None: all that the models leave), and of the disk (0: none;
    None: a tenth of what is free, at most 10 GB)."""

    memory_bytes: int | None = None
    pool_bytes: int | None = None
    disk_bytes: int | None = 0
