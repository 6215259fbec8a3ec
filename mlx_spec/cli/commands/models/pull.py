"""`mlx-spec models pull`: fetches models of the Hub."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mlx_spec.cli.commands.models.options import Endpoint
from mlx_spec.cli.terminal.json_output import AsJson, write_json

if TYPE_CHECKING:
    from mlx_spec.models.library.access import HubAccess
    from mlx_spec.models.library.fetching.status import DownloadStatus
    from mlx_spec.models.library.judge import Judgement

Names = Annotated[
    list[str], typer.Argument(help="Hub ids such as org/model or org/model@branch, addresses of their pages, or pairs.")
]


def pull(
    names: Names,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also what does not fit on this machine.")] = False,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Fetch models into the Hub's standard cache. Ctrl-C pauses; the same command goes on where it was."""
    from mlx_spec.errors import DownloadError
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.judge import judge_named
    from mlx_spec.models.library.search import not_found_with_hint

    access = hub_access(endpoint=endpoint)
    repo_ids = _repo_ids(names)
    for repo_id in repo_ids:
        _check_worth(judge_named(repo_id, access), anyway=anyway)
    statuses = _fetched(repo_ids, access)
    if as_json:
        write_json([status.to_dict() for status in statuses])
    else:
        for status in statuses:
            if status.folder is not None:
                typer.echo(f"{status.repo_id} is ready in {status.folder}")
    for status in statuses:
        if status.state == "failed":
            error = DownloadError(status.message or "It failed.", status.kind or "server", page=status.page)
            raise not_found_with_hint(error, status.repo_id, access)


def _fetched(repo_ids: list[str], access: "HubAccess") -> "list[DownloadStatus]":
    """How each download ended. Raises InterruptedWork, with all of them paused."""
    from mlx_spec.cli.commands.models.tables import follow_downloads
    from mlx_spec.errors import InterruptedWork
    from mlx_spec.machine.resources import data_folder
    from mlx_spec.models.library.fetching.downloads import Downloads

    downloads = Downloads(data_folder() / "downloads", access=lambda: access)
    try:
        for repo_id in repo_ids:
            downloads.add(repo_id)
        follow_downloads(downloads, repo_ids)
    except KeyboardInterrupt:
        for repo_id in repo_ids:
            downloads.pause(repo_id)
        raise InterruptedWork("paused: the same command goes on where it was.") from None
    finally:
        downloads.close()
    return [downloads.status(repo_id) for repo_id in repo_ids]


def _repo_ids(names: list[str]) -> list[str]:
    """Every model that was named, once; a pair stands for its two."""
    from mlx_spec.models.hub_names import repo_id_of
    from mlx_spec.models.pairs import PAIRS

    found: list[str] = []
    for name in names:
        pair = PAIRS.get(name)
        found += [repo_id_of(one) for one in ((pair.target, pair.draft) if pair else (name,))]
    return list(dict.fromkeys(found))


def _check_worth(judgement: "Judgement", *, anyway: bool) -> None:
    """Tell what is about to be fetched. Raises UnsupportedModelError for what could not be used here."""
    from mlx_spec.errors import UnsupportedModelError
    from mlx_spec.models.staging import human_bytes

    licence = judgement.licence or "not told"
    sys.stderr.write(f"{judgement.reason}\n{human_bytes(judgement.fetch_bytes)} to fetch; licence: {licence}.\n")
    if judgement.room == "no" and not anyway:
        raise UnsupportedModelError(f"{judgement.reason.rstrip('.')}; --anyway fetches it all the same.")
