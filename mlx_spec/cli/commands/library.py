"""`mlx-spec models …` for the models of the Hub: search, show, pull, list, verify, rm, move, login, mirror."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlx_spec.cli.terminal.json_output import AsJson, write_json

if TYPE_CHECKING:
    from mlx_spec.models.library.access import HubAccess
    from mlx_spec.models.library.judge import Judgement

# The Hub's library and MLX are imported inside the commands: `--help` answers at once.

Names = Annotated[
    list[str], typer.Argument(help="Hub ids such as org/model or org/model@branch, addresses of their pages, or pairs.")
]
Name = Annotated[str, typer.Argument(help="A model as `mlx-spec models list` names it.")]
Endpoint = Annotated[str | None, typer.Option(help="Another Hub to ask, for this time.", envvar="HF_ENDPOINT")]
Context = Annotated[int | None, typer.Option(help="Tokens of context to reckon with.  [default: 8192]", min=1)]


def search(
    words: Annotated[list[str], typer.Argument(help="Words, owner/name, or the address of a model's page.")],
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Look for models: known pairs first, then what is installed, then what the Hub has."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.search import search as look

    found = look(" ".join(words), hub_access(endpoint=endpoint))
    if as_json:
        write_json(found.to_dict())
        return
    from mlx_spec.cli.terminal.tables import print_findings

    print_findings(found)


def show(name: Name, context: Context = None, endpoint: Endpoint = None, as_json: AsJson = False) -> None:
    """Say what a model of the Hub would take here: bytes to fetch, memory, licence, and whether it is known."""
    access, repo_id = _access(endpoint), _repo_id(name)
    judgement = _judged(repo_id, access, context)
    if as_json:
        write_json(judgement.to_dict())
        return
    from mlx_spec.cli.terminal.tables import print_judgement

    print_judgement(judgement)


def pull(
    names: Names,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also what does not fit on this machine.")] = False,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Fetch models into the Hub's standard cache. Ctrl-C pauses; the same command goes on where it was."""
    from mlx_spec.cli.terminal.tables import follow_downloads
    from mlx_spec.errors import DownloadError, InterruptedWork
    from mlx_spec.machine.resources import data_folder
    from mlx_spec.models.library.fetching.downloads import Downloads
    from mlx_spec.models.library.search import not_found_with_hint

    access = _access(endpoint)
    repo_ids = _repo_ids(names)
    for repo_id in repo_ids:
        _check_worth(_judged(repo_id, access, None), anyway=anyway)
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
    statuses = [downloads.status(repo_id) for repo_id in repo_ids]
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


def list_models(as_json: AsJson = False) -> None:
    """List the models on this machine, whichever tool fetched them, with what they take and when they were used."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import installed_models, total_bytes

    access = hub_access()
    models = installed_models(access)
    if as_json:
        write_json([model.to_dict() for model in models])
        return
    if not models:
        typer.echo(
            "No model is here yet: `mlx-spec models pull` fetches one, `mlx-spec generate` the starter.", err=True
        )
        return
    from mlx_spec.cli.terminal.tables import print_installed

    print_installed(models, total_bytes(access))


def verify(name: Name, as_json: AsJson = False) -> None:
    """Compare every byte of a model with its checksums; exit code 1 where one differs."""
    from dataclasses import asdict

    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import verify as check

    found = check(name, hub_access())
    if as_json:
        write_json(asdict(found))
    elif found.wrong:
        typer.echo(
            f"{name}: {', '.join(found.wrong)} differ from their checksums; `mlx-spec models rm` and pull again."
        )
    else:
        typer.echo(f"{name}: all {found.checked} files are right.")
    if found.wrong:
        raise typer.Exit(1)


def rm(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a model; what other models share stays."""
    from dataclasses import asdict

    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import remove
    from mlx_spec.models.staging import human_bytes

    access = hub_access()
    planned = remove(name, access, dry_run=True)
    if not yes:
        typer.confirm(f"Delete {name} and free {human_bytes(planned.freed_bytes)}?", abort=True, err=True)
    removed = remove(name, access)
    if as_json:
        write_json(asdict(removed))
    else:
        typer.echo(f"{name} is deleted; {human_bytes(removed.freed_bytes)} are free again.")


def move(folder: Annotated[Path, typer.Argument(help="A new or empty folder, perhaps on another disk.")]) -> None:
    """Move the Hub's cache to another folder; a link stays, so that every tool still finds it."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import move_cache
    from mlx_spec.models.staging import human_bytes

    moved = move_cache(hub_access(), folder)
    typer.echo(f"The cache lies in {folder} now: {human_bytes(moved)}.")


def login(
    forget: Annotated[bool, typer.Option("--forget", help="Remove the token from the keychain.")] = False,
) -> None:
    """Keep an access token of huggingface.co in the keychain; it is asked for, or read from a pipe."""
    from mlx_spec.models.library.access import forget_token, keep_token

    if forget:
        forget_token()
        typer.echo("The keychain holds no token any more.")
        return
    token = typer.prompt("Access token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    keep_token(token.strip())
    typer.echo("The token is in the keychain.")


def mirror(
    address: Annotated[str, typer.Argument(help="Address of a mirror of the Hub, or `none` for huggingface.co.")],
) -> None:
    """Ask another Hub than huggingface.co from now on."""
    from mlx_spec.models.library.access import set_mirror

    set_mirror(None if address == "none" else address)
    typer.echo("huggingface.co is asked again." if address == "none" else f"{address} is asked from now on.")


def _access(endpoint: str | None) -> "HubAccess":
    from mlx_spec.models.library.access import hub_access

    return hub_access(endpoint=endpoint)


def _repo_id(name: str) -> str:
    from mlx_spec.models.hub_names import repo_id_of

    return repo_id_of(name)


def _repo_ids(names: list[str]) -> list[str]:
    """Every model that was named, once; a pair stands for its two."""
    from mlx_spec.models.pairs import PAIRS

    found: list[str] = []
    for name in names:
        pair = PAIRS.get(name)
        found += [_repo_id(one) for one in ((pair.target, pair.draft) if pair else (name,))]
    return list(dict.fromkeys(found))


def _judged(repo_id: str, access: "HubAccess", context: int | None) -> "Judgement":
    from mlx_spec.errors import DownloadError
    from mlx_spec.models.library.judge import judge
    from mlx_spec.models.library.search import not_found_with_hint

    try:
        return judge(repo_id, access, context_tokens=context)
    except DownloadError as error:
        raise not_found_with_hint(error, repo_id, access) from error


def _check_worth(judgement: "Judgement", *, anyway: bool) -> None:
    """Tell what is about to be fetched. Raises UnsupportedModelError for what could not be used here."""
    from mlx_spec.errors import UnsupportedModelError
    from mlx_spec.models.staging import human_bytes

    licence = judgement.licence or "not told"
    sys.stderr.write(f"{judgement.reason}\n{human_bytes(judgement.fetch_bytes)} to fetch; licence: {licence}.\n")
    if judgement.room == "no" and not anyway:
        raise UnsupportedModelError(f"{judgement.reason.rstrip('.')}; --anyway fetches it all the same.")
