"""The options that split a target over several machines."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from mlx_spec.config import SpeculativeConfig, tree_settings
from mlx_spec.errors import ConfigError, ServerError
from mlx_spec.hosts.hostfile import HostList, read_hostfile, read_hosts

_GROUPS_TREE: Final = "6x8:32"

SplitChoice = Literal["auto", "tensor", "pipeline"]

Hosts = Annotated[
    str | None,
    typer.Option(
        "--hosts",
        metavar="A,B",
        help="Split the target over these machines; the first is this one. ssh goes to the others.",
    ),
]
HostfileOption = Annotated[
    Path | None, typer.Option("--hostfile", help="The same, from a file of mlx.launch or mlx.distributed_config.")
]
BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="How the machines talk: ring, over TCP; jaccl or jaccl-ring, over Thunderbolt with RDMA.",
        show_default="ring",
    ),
]
SplitOption = Annotated[
    SplitChoice,
    typer.Option(
        "--split",
        help="tensor: a part of every layer on each machine; pipeline: whole layers on each; auto: what the model has.",
    ),
]
CollectiveTimeout = Annotated[
    float,
    typer.Option(
        "--collective-timeout",
        metavar="S",
        help="Seconds that a pass may wait for other machines, beyond 20 times what the longest has taken; then the "
        "group forms again.",
    ),
]
Python = Annotated[
    str | None, typer.Option("--python", help="The interpreter on the other machines.", show_default="as here")
]


def check_beside_hosts(unload_after: float, models_loaded: int, prefix_disk: str | None) -> None:
    """Raise ServerError for an option that a group has no use for, rather than take it and do nothing."""
    for option, is_given, why in (
        ("--unload-after", unload_after > 0, "a model that is split stays loaded"),
        ("--models-loaded", models_loaded > 1, "one model is split, and no other is loaded beside it"),
        ("--prefix-disk", prefix_disk not in (None, "0"), "each machine has a part of what was read, and writes none"),
    ):
        if is_given:
            raise ServerError(f"{option} is for one machine ({why}): leave it out beside --hosts and --hostfile.")


def group_hosts(
    hosts: str | None, hostfile: Path | None, backend: str | None, python: str | None, timeout_s: float
) -> HostList | None:
    """The machines that the options name; None where they name none. Raises ServerError, ConfigError."""
    if not timeout_s > 0:
        raise ConfigError("collective_timeout", timeout_s, "a number of seconds above 0")
    if hosts is not None and hostfile is not None:
        raise ServerError("--hosts and --hostfile both name machines: give one of them.")
    if hosts is not None:
        return read_hosts(hosts, backend, python)
    if hostfile is not None:
        return read_hostfile(hostfile, backend, python)
    if backend is not None or python is not None:
        option = "--backend" if backend is not None else "--python"
        raise ServerError(f"{option} is for a group of machines: name them with --hosts or --hostfile.")
    return None


def weighing_trees(config: SpeculativeConfig) -> SpeculativeConfig:
    """The configuration of a group to which nobody has said `--tree`. Where passes wait for other machines rows cost
    little beside that, and trees are rows: so they are weighed. A lookahead that somebody fixes is a chain still."""
    return replace(config, **(tree_settings(_GROUPS_TREE) | {"only_weighed": True}))
