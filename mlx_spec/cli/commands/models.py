"""`mlx-spec models …`: which pairs are known, whether two models fit as target and draft, and imports.

Finding, fetching and keeping models is in `mlx_spec.models.library`.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlx_spec.cli.commands import library
from mlx_spec.cli.terminal.json_output import AsJson, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from mlx_spec.models.pairs import Pair

# MLX and the tokenizers are imported inside the commands: `--help` answers at once.

models_app = typer.Typer(no_args_is_help=True, help="The models on this machine, and which of them fit together.")

_CAPTION = """bridged: two tokenizers; the draft proposes the tokens they share.
verified: both ids stand in public code that loads them. `mlx-spec models try PAIR` measures one here."""
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
    from mlx_spec.cli.terminal.console import StageProgress
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
def import_file(
    file: Annotated[str, typer.Argument(help="A .gguf file, or `starter`.")] = "starter",
    bits: Annotated[
        int | None, typer.Option(help="Quantise to 4 or 8 bits, matrix by matrix: for files larger than memory.")
    ] = None,
) -> None:
    """Import a model into the data folder."""
    from mlx_spec.cli.terminal.console import StageProgress
    from mlx_spec.errors import ConfigError
    from mlx_spec.models.gguf.importing import weight_error_of
    from mlx_spec.models.gguf.parts import is_gguf, model_name
    from mlx_spec.models.loading import load_pair
    from mlx_spec.models.named import imported_folder

    if bits is not None and (bits not in (4, 8) or not is_gguf(Path(file))):
        raise ConfigError("bits", bits, "4 or 8, and the model a .gguf file")
    with StageProgress() as progress:
        if bits is None:
            typer.echo(f"{load_pair(file, progress=progress.tell).target_name} is ready.")
            return
        folder = imported_folder(Path(file).expanduser(), bits=bits, progress=progress.tell)
    error = weight_error_of(folder)
    lost = "" if error is None else f" Its weights differ from the file's by {error:.1%} (root mean square)."
    typer.echo(f"{model_name(Path(file))} is ready with {bits} bits a weight in {folder}.{lost}")


@models_app.command("quantize")
def quantize_model(
    model: Annotated[str, typer.Argument(help=_MODEL)],
    bits: Annotated[int, typer.Option(help="Bits a weight, 4 or 8.")] = 4,
    group_size: Annotated[int, typer.Option(help="Weights that share a scale: 32, 64 or 128.")] = 64,
    out: Annotated[Path | None, typer.Option(help="Folder to write.  [default: one in the data folder]")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model with 4 or 8 bits a weight, and say what that loses: measured on a few texts."""
    from mlx_spec.cli.terminal.console import StageProgress
    from mlx_spec.models.quantising import quantize
    from mlx_spec.models.staging import human_bytes

    with StageProgress(quiet=as_json) as progress:
        done = quantize(model, bits, group_size=group_size, out=out, progress=progress.tell)
    if as_json:
        write_json(done.to_dict())
        return
    typer.echo(f"{done.name} is ready in {done.folder}.")
    typer.echo(f"Weights: {human_bytes(done.weights_bytes)} instead of {human_bytes(done.original_bytes)}.")
    typer.echo(
        f"Loss over {done.loss.tokens} tokens of prose and code: next-token distributions differ by"
        f" {done.loss.mean_kl:.3f} nats (mean KL), perplexity is {done.loss.perplexity_ratio:.3f} times the original's."
    )


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
    from mlx_spec.models.races import measured

    race = measured(pair)
    facts = {key: value for key, value in asdict(pair).items() if key != "name"}
    return facts | {"measured": race.to_dict() if race else None}


def _table(chosen: "list[Pair]") -> "Table":
    """Two columns, so that the ids, which are copied from here, stay whole on eighty characters."""
    from rich.table import Table
    from rich.text import Text

    from mlx_spec.models.races import measured

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("pair", no_wrap=True)
    table.add_column("target, draft", overflow="fold")
    for pair in chosen:
        vocabulary = {"same": "same vocabulary", "bridged": "bridged", "head": "reads the target"}[pair.kind]
        name = Text.assemble((pair.name, "bold"), "\n", (vocabulary, "yellow" if pair.kind == "bridged" else "green"))
        name.append("\nverified" if pair.verified else "\nnot verified", "dim")
        what = Text.assemble(f"{pair.target}\n{pair.draft}\n", (pair.note, "dim"))
        if pair.published:
            what.append(f"\n{pair.published}", "dim")
        if race := measured(pair):
            what.append(f"\n{race.ratio:.2f} times plain decoding here, raced on {race.day}", "green")
        table.add_row(name, what)
    table.caption = _CAPTION
    table.caption_justify = "left"
    return table
