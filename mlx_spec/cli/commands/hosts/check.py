"""`mlx-spec hosts check`: a look at the machines of a group before a model is split over them."""

from pathlib import Path
from typing import Annotated

import typer

from mlx_spec.cli.terminal.json_output import AsJson, write_json

NOT_READY = 3
_Hosts = Annotated[str | None, typer.Option(help="The machines, as for `serve`: this one first. Else all joined ones.")]
_Hostfile = Annotated[Path | None, typer.Option(help="The machines, as a file of `mlx.launch`.")]
_Backend = Annotated[str | None, typer.Option(help="ring, jaccl or jaccl-ring; ring is what is measured.")]
_Model = Annotated[str | None, typer.Option(help="Tell how this model would fit, split over them.")]
_Python = Annotated[str | None, typer.Option(help="The interpreter on the others, where ssh finds no mlx-spec.")]


def check(
    hosts: _Hosts = None,
    hostfile: _Hostfile = None,
    backend: _Backend = None,
    model: _Model = None,
    python: _Python = None,
    as_json: AsJson = False,
) -> None:
    """Look at the machines of a group: who answers, with which chip, memory and versions, and how quick the ways are.

    Exit code 3 where something is in the way, which is told with what to do.
    """
    from mlx_spec.cli.commands.hosts.members import joined_members, members_of
    from mlx_spec.errors import ConfigError
    from mlx_spec.hosts.finding.checking import check as look
    from mlx_spec.hosts.hostfile import read_hostfile, read_hosts

    if hosts is not None and hostfile is not None:
        raise ConfigError("hostfile", str(hostfile), "left out beside --hosts")
    if hosts is None and hostfile is None:
        members, wire = joined_members(), backend or "ring"
    else:
        listed = (
            read_hosts(hosts, backend, python)
            if hosts is not None
            else read_hostfile(_given(hostfile), backend, python)
        )
        members, wire = members_of(listed.machines, listed.python), listed.backend
    folder = None
    if model is not None:
        from mlx_spec.models.named import installed_folder

        folder = installed_folder(model)  # before anything is measured: a name may be mistyped
    report = look(members, wire, lambda line: typer.echo(line, err=True))
    fits = []
    if folder is not None:
        from mlx_spec.cli.commands.hosts.fits import fits_of

        fits = fits_of(folder, report)
    if as_json:
        write_json(report.to_dict() | {"model": model, "fits": [one.to_dict() for one in fits]})
    else:
        from mlx_spec.cli.commands.hosts.tables import print_report

        print_report(report, [f"{model} by {one.words}" for one in fits])
    if report.problems:
        raise typer.Exit(NOT_READY)


def _given(path: Path | None) -> Path:
    assert path is not None
    return path
