"""`mlx-spec train narrow`: a draft that scores only frequent tokens."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mlx_spec.cli.commands.train.agreement import numbers
from mlx_spec.cli.commands.train.options import ResultAsJson
from mlx_spec.cli.terminal.consent import with_target
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.narrow import narrow as narrow_draft


@with_target
def narrow(
    target: ModelFolder,
    draft: Annotated[Path, typer.Option(help="The draft: its folder gets draft_vocabulary.json.")],
    corpus: Annotated[Path, typer.Option(help="The answers that say which tokens are frequent.")],
    tokens: Annotated[int, typer.Option(help="Tokens that the draft goes on scoring.")] = 8192,
    as_json: ResultAsJson = False,
) -> None:
    """Let a draft score only frequent tokens: a step gets cheaper, the words stay the target's."""
    done = narrow_draft(target, draft, corpus, tokens)
    if as_json:
        report = {"tokens": done.tokens, "coverage": done.coverage}
        typer.echo(json.dumps(report | {"before": numbers(done.before), "after": numbers(done.after)}))
        return
    typer.echo(f"{done.tokens:,} tokens, {done.coverage:.1%} of those in held-out answers.")
    typer.echo(f"Held-out top-1 agreement {done.before.top1} with all tokens, {done.after.top1} with these.")
    for heat, value in done.after.overlap.items():
        typer.echo(f"Held-out Σ min(p, q) at temperature {heat}: {done.before.overlap[heat]}, then {value}.")
