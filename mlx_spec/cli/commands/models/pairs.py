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
    only_fitting: Annotated[
        bool, typer.Option("--suggest", help="Up to three that fit this machine, with the speed to be expected.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the known pairs, or those of one target."""
    if only_fitting:
        _suggest(as_json)
        return
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


def _suggest(as_json: bool) -> None:
    """What fits, a few lines each; a sentence where nothing does."""
    from mlx_spec.decoding.measuring.ceiling import known_bandwidth
    from mlx_spec.lookahead.theory import expected_speedup
    from mlx_spec.models.memory import device_info
    from mlx_spec.models.pairs import PAIRS
    from mlx_spec.models.room import available_bytes
    from mlx_spec.models.staging import human_bytes
    from mlx_spec.models.suggestions import suggest

    available, pays = available_bytes(), device_info().kind == "gpu"
    found = suggest(list(PAIRS.values()), available, known_bandwidth(), expected_speedup, drafts_pay=pays)
    if as_json:
        write_json({one.pair.name: one.to_dict() for one in found})
        return
    if not found:
        typer.echo(f"No known pair fits into {human_bytes(available)} with room to spare: the starter does.")
    for one in found:
        speed = "" if one.plain_rate is None else f", plain decoding at most {one.plain_rate:.3g} tokens/s"
        drafted = "" if one.drafted_rate is None else f", with its draft about {one.drafted_rate:.3g}"
        needs = f"needs about {human_bytes(one.needed_bytes)} of {human_bytes(available)}"
        typer.echo(f"{one.pair.name} ({one.role}): {needs}{speed}{drafted}. {one.pair.note}")


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
