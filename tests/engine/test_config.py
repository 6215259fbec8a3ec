"""Settings say which field is out of which range."""

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
        ("tree_speculation", True),
        ("max_tree_depth", 0),
        ("tree_branching_factor", 0),
        ("draft_top_p", 0),
        ("min_acceptance_ratio", -0.1),
        ("min_lookahead", 0),
        ("max_lookahead", 1),
        ("max_seq_len", 1),
        ("acceptance", "typical"),
    ],
)
def test_speculative_config(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{field} is {value!r}: it must be "):
        SpeculativeConfig(**{field: value})


def test_defaults() -> None:
    config = SpeculativeConfig()
    assert (config.lookahead, config.min_lookahead, config.max_lookahead) == (4, 2, 8)
    assert (config.acceptance, config.adaptive_lookahead) == ("coupled", True)
    assert config.min_acceptance_ratio == 0.1
