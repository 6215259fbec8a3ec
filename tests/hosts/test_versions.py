"""What two machines have to have in common, and what nobody knows of."""

from mlx_spec.hosts.finding.facts import own_facts
from mlx_spec.hosts.versions import UNKNOWN, Versions, versions_here


def test_the_same_is_no_difference_and_what_nobody_knows_is_one() -> None:
    one = Versions("1", "2", "3")
    assert one.differences(Versions("1", "2", "3"), "b") is None
    assert one.differences(Versions("1", "5", "3"), "b") == "mlx-lm 5 on b and 2 here"
    unknown = Versions("1", "2", UNKNOWN)
    assert unknown.differences(unknown, "b") == "Lookahead unknown on b and unknown here"


def test_a_look_and_a_group_compare_the_same() -> None:
    assert own_facts().versions == versions_here()
    assert UNKNOWN not in versions_here().to_dict().values()
