"""The options that name machines, and what is told while they come together."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlx_spec.cli.main import app
from mlx_spec.cli.terminal.forming import FormingLines
from mlx_spec.cli.terminal.group import check_beside_hosts, group_hosts, weighing_trees
from mlx_spec.config import SpeculativeConfig
from mlx_spec.decoding.admission import with_lookahead
from mlx_spec.decoding.steering import Change
from mlx_spec.errors import ConfigError, LookaheadError, ServerError
from mlx_spec.hosts.group import GroupState, RankState, Share
from mlx_spec.lookahead.controllers import controller
from mlx_spec.lookahead.cost_controller import CostLookahead
from mlx_spec.lookahead.plan import Option
from mlx_spec.lookahead.shapes import largest_tree


def test_none_of_them_is_one_machine() -> None:
    assert group_hosts(None, None, None, None, 8.0) is None


def test_names_and_files(tmp_path: Path) -> None:
    file = tmp_path / "hosts.json"
    file.write_text(json.dumps([{"ssh": "localhost"}, {"ssh": "b"}]))
    for made in (group_hosts("localhost,b", None, "ring", "/p", 8.0), group_hosts(None, file, None, "/p", 8.0)):
        assert made is not None
        assert [one.name for one in made.machines] == ["localhost", "b"]
        assert made.python == "/p"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("a,b", Path("x"), None, None, 8.0), ServerError, "give one of them"),
        ((None, None, "ring", None, 8.0), ServerError, "--backend is for a group"),
        ((None, None, None, "/p", 8.0), ServerError, "--python is for a group"),
        (("a", None, None, None, 8.0), ServerError, "names 1 host"),
        (("a,b", None, None, None, 0.0), ConfigError, "collective_timeout"),
        (("a,b", None, None, None, float("nan")), ConfigError, "collective_timeout"),
    ],
)
def test_what_is_refused(
    options: tuple[str | None, Path | None, str | None, str | None, float], error: type[LookaheadError], message: str
) -> None:
    with pytest.raises(error, match=message):
        group_hosts(*options)


@pytest.mark.parametrize(
    ("options", "name"),
    [((5.0, 1, None), "--unload-after"), ((0.0, 2, "0"), "--models-loaded"), ((0.0, 1, "50"), "--prefix-disk")],
)
def test_what_a_group_has_no_use_for_is_refused(options: tuple[float, int, str | None], name: str) -> None:
    check_beside_hosts(0.0, 1, None)
    check_beside_hosts(0.0, 1, "0")  # as the window says it
    with pytest.raises(ServerError, match=rf"{name} is for one machine \(.*: leave it out"):
        check_beside_hosts(*options)


def test_the_command_refuses_it_before_anything_is_started() -> None:
    done = CliRunner().invoke(app, ["serve", "--hosts", "127.0.0.1,127.0.0.1", "--unload-after", "5"])
    assert isinstance(done.exception, ServerError)
    assert "--unload-after" in str(done.exception)


def test_each_thing_is_told_once() -> None:
    lines: list[str] = []
    tell = FormingLines(lines.append).tell
    ranks = (RankState(rank=0, host="a"), RankState(rank=1, host="b"))
    state = GroupState(stage="forming", message="The group is forming.", backend="ring", ranks=ranks)
    tell(state)
    tell(state)
    loading = replace(state, ranks=(ranks[0], ranks[1].at("loading", share=Share(0.5))))
    tell(loading)
    tell(loading)
    tell(replace(loading, stage="ready", message="The group is whole: a, b."))
    assert lines == [
        "mlx-spec: The group is forming.\n",
        "mlx-spec: b (rank 1, 50% of the weights) loads its part.\n",
        "mlx-spec: The group is whole: a, b.\n",
    ]


def test_a_reason_is_told_once() -> None:
    lines: list[str] = []
    tell = FormingLines(lines.append).tell
    state = GroupState(stage="waiting", message="Waiting for b.", backend="ring", ranks=())
    tell(state)  # the command ends with it
    lost = replace(state, stage="lost", message="b is gone.", error="b is gone.", times_formed=1)
    tell(lost)
    tell(replace(lost, stage="forming", message="The group is forming again: b is gone."))
    other = replace(lost, stage="forming", message="The group is forming again: c is gone.", error="c is gone.")
    tell(other)  # which was never told by itself
    assert lines == [
        "mlx-spec: b is gone.\n",
        "mlx-spec: The group is forming again.\n",
        "mlx-spec: c is gone.\n",
        "mlx-spec: The group is forming again.\n",
    ]


def test_trees_are_weighed_where_passes_wait_for_other_machines_and_a_fixed_lookahead_is_a_chain() -> None:
    config = weighing_trees(SpeculativeConfig())
    assert largest_tree(config).size == 32
    assert isinstance(controller(config), CostLookahead)
    fixed = with_lookahead(config, 4)
    options = [Option("eagle", 32, trees=True)]
    assert controller(fixed).plan(options, 40).shape is None
    # Who names a tree beside it means it.
    named = Change(lookahead=4, tree="3x2").applied_to(config)
    assert controller(named).plan(options, 40).shape == largest_tree(named)
    assert not Change(acceptance="block").applied_to(config).tree_speculation
