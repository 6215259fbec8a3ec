"""`mlx-spec models pairs`: which pairs are known."""

from typing import TYPE_CHECKING, Annotated

import typer

from mlx_spec.cli.terminal.json_output import AsJson, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from mlx_spec.models.pairs import Pair

_CAPTION = """bridged: two tokenizers; the draft proposes the tokens they share.
verified: both ids stand in public code that loads them. `mlx-spec models try PAIR` measures one here."""


def pairs(
    target: Annotated[str | None, typer.Argument(help="Only the drafts known for this target, the best first.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the known pairs, or those of one target."""
    from mlx_spec.errors import ModelNotFoundError
    from mlx_spec.models.pairs import PAIRS, recommend
    from mlx_spec.models.races import facts_of

    chosen = list(PAIRS.values()) if target is None else recommend(target)
    if not chosen:
        raise ModelNotFoundError(
            f"No draft is known for {target}: ask `mlx-spec models fit {target} DRAFT` of one you have, or use"
            " `--drafter ngram`, which needs none."
        )
    if as_json:
        told = [facts_of(pair) for pair in chosen]
        write_json({facts.pop("name"): facts for facts in told})
        return
    from rich.console import Console

    Console(highlight=False).print(_table(chosen))


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
