"""`mlx-spec models …`: which pairs are known, whether two models fit as target and draft, and imports.

Finding, fetching and keeping models is in `mlx_spec.models.library`.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlx_spec.json_output import AsJson, write_json
from mlx_spec.models.library import command as library

if TYPE_CHECKING:
    from rich.table import Table

    from mlx_spec.models.pairs import Pair

# MLX and the tokenizers are imported inside the commands: `--help` answers at once.

models_app = typer.Typer(no_args_is_help=True, help="The models on this machine, and which of them fit together.")

_CAPTION = """bridged: two tokenizers; the draft proposes the tokens they share.
verified: both ids stand in public code that loads them. Only the starter pair was measured."""
_MODEL = "A pair's name, a folder, a .gguf file or a Hub id."


@models_app.command("pairs")
def pairs(
    target: Annotated[str | None, typer.Argument(help="Only the drafts known for this target, the best first.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the known pairs, or those of one target."""
    from mlx_spec.errors import ModelNotFoundError
    from mlx_spec.models.pairs import PAIRS, recommend

    chosen = list(PAIRS.values()) if target is None else recommend(target)
    if not chosen:
        raise ModelNotFoundError(
            f"No draft is known for {target}: ask `mlx-spec models fit {target} DRAFT` of one you have, or use"
            " `--drafter ngram`, which needs none."
        )
    if as_json:
        write_json({pair.name: _facts(pair) for pair in chosen})
        return
    from rich.console import Console

    Console(highlight=False).print(_table(chosen))


@models_app.command("fit")
def fit(
    target: Annotated[str, typer.Argument(help=_MODEL)],
    draft: Annotated[str, typer.Argument(help=_MODEL)],
    as_json: AsJson = False,
) -> None:
    """Say whether a draft fits a target, and why not; exit code 1 where it does not.

    Compares tokenizers and sizes, and loads no weights. A .gguf file and a model of the Hub are fetched or imported
    first.
    """
    from mlx_spec.console import StageProgress
    from mlx_spec.models.loading import fit_of

    with StageProgress() as progress:
        found = fit_of(target, draft, progress=progress.tell)
    if as_json:
        write_json({"fits": found.kind != "no"} | asdict(found))
    else:
        typer.echo(found.reason)
    if found.kind == "no":
        raise typer.Exit(1)


@models_app.command("import")
def import_file(file: Annotated[str, typer.Argument(help="A .gguf file, or `starter`.")] = "starter") -> None:
    """Import a model into the data folder."""
    from mlx_spec.console import StageProgress
    from mlx_spec.models.loading import load_pair

    with StageProgress() as progress:
        loaded = load_pair(file, progress=progress.tell)
    typer.echo(f"{loaded.target_name} is ready.")


for _name, _command in (
    ("search", library.search),
    ("show", library.show),
    ("pull", library.pull),
    ("list", library.list_models),
    ("verify", library.verify),
    ("rm", library.rm),
    ("move", library.move),
    ("login", library.login),
    ("mirror", library.mirror),
):
    models_app.command(_name)(_command)


def _facts(pair: "Pair") -> dict[str, Any]:
    return {key: value for key, value in asdict(pair).items() if key != "name"}


def _table(chosen: "list[Pair]") -> "Table":
    """Two columns, so that the ids, which are copied from here, stay whole on eighty characters."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("pair", no_wrap=True)
    table.add_column("target, draft", overflow="fold")
    for pair in chosen:
        vocabulary = {"same": "same vocabulary", "bridged": "bridged", "head": "reads the target"}[pair.kind]
        name = Text.assemble((pair.name, "bold"), "\n", (vocabulary, "yellow" if pair.kind == "bridged" else "green"))
        name.append("\nverified" if pair.verified else "\nnot verified", "dim")
        table.add_row(name, Text.assemble(f"{pair.target}\n{pair.draft}\n", (pair.note, "dim")))
    table.caption = _CAPTION
    table.caption_justify = "left"
    return table
