"""Settings say which field is out of which range."""

from dataclasses import FrozenInstanceError, replace

import pytest

from mlx_spec.config import SamplingParams, SpeculativeConfig
from mlx_spec.errors import ConfigError, LookaheadError


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("temperature", -0.1, r"a number in \[0, 100\]"),
        ("temperature", float("nan"), r"a number in \[0, 100\]"),
        ("temperature", 10**400, r"a number in \[0, 100\]"),
        ("temperature", "hot", r"a number in \[0, 100\]"),
        ("top_p", 0.0, r"a number in \(0, 1\]"),
        ("top_p", 1.5, r"a number in \(0, 1\]"),
        ("top_k", -1, "a whole number of at least 0"),
        ("min_p", 2.0, r"a number in \[0, 1\]"),
        ("seed", -5, "a whole number from 0 to 9223372036854775807"),
        ("seed", True, "a whole number from 0 to 9223372036854775807"),
        ("stop", "end", "a tuple of strings that are not empty"),
        ("stop", ("",), "a tuple of strings that are not empty"),
        ("repetition_penalty", 0.0, r"a number in \[0.01, 100\]"),
        ("presence_penalty", -2.5, r"a number in \[-2, 2\]"),
        ("frequency_penalty", 2.5, r"a number in \[-2, 2\]"),
        ("frequency_penalty", None, r"a number in \[-2, 2\]"),
        ("logit_bias", {-1: 2.0}, "a whole number of at least 0"),
        ("logit_bias", {"5": 2.0}, "a whole number of at least 0"),
        ("logit_bias", "5=2", "a mapping from token ids to numbers"),
        ("banned_token_ids", [1], "a tuple of token ids"),
        ("banned_token_ids", (1, -2), "a whole number of at least 0"),
    ],
)
def test_sampling_params(field: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} is .*: it must be {allowed}") as caught:
        SamplingParams(**{field: value})
    assert caught.value.field == field
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, LookaheadError)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lookahead", 0),
        ("lookahead", 33),
        ("lookahead", 2.5),
        ("acceptance_threshold", 1.1),
        ("draft_temperature", -1),
        ("tree_speculation", "yes"),
        ("max_tree_depth", 0),
        ("tree_branching_factor", 0),
        ("draft_top_p", 0),
        ("min_acceptance_ratio", -0.1),
        ("min_lookahead", 0),
        ("max_lookahead", 1),
        ("max_seq_len", 1),
        ("kv_bits", 3),
        ("kv_bits", 16),
        ("kv_bits", 8.0),
        ("kv_bits", True),
        ("kv_bits", "8"),
        ("acceptance", "magic"),
    ],
)
def test_speculative_config(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{field} is {value!r}: it must be "):
        SpeculativeConfig(**{field: value})


def test_a_bias_out_of_range_is_named_by_its_token() -> None:
    with pytest.raises(ConfigError, match=r"^logit_bias\[7\] is 100.5: it must be a number in \[-100, 100\]\.$"):
        SamplingParams(logit_bias={3: 1, 7: 100.5})


def test_sampling_params_are_values() -> None:
    """Frozen, equal and hashable, with a bias too; and made anew with another field, as the decoder does."""
    one, other = SamplingParams(logit_bias={5: 1.0, 3: -2.0}), SamplingParams(logit_bias={3: -2.0, 5: 1.0})
    assert one == other
    assert hash(one) == hash(other)
    assert one.logit_bias == ((3, -2.0), (5, 1.0))
    assert replace(one, seed=1).logit_bias == one.logit_bias
    with pytest.raises(FrozenInstanceError):
        one.seed = 2


def test_defaults() -> None:
    config = SpeculativeConfig()
    assert (config.lookahead, config.min_lookahead, config.max_lookahead) == (4, 2, 8)
    assert (config.acceptance, config.adaptive_lookahead) == ("coupled", True)
    assert config.min_acceptance_ratio == 0.1
