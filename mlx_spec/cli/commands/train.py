"""`mlx-spec train …`: the command line of the recipe."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mlx_spec.cli.commands.train_experience import experience
from mlx_spec.cli.commands.train_heads import eagle, medusa, states
from mlx_spec.cli.commands.train_rounds import rounds
from mlx_spec.cli.terminal.consent import with_target
from mlx_spec.cli.terminal.training_bars import BarWatcher, bars, named_trainer
from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.distill import Result, distil, require_torch, sample_answers, with_options
from mlx_spec.training.evaluate import Agreement
from mlx_spec.training.narrow import narrow as narrow_draft
from mlx_spec.training.recipe import Recipe
from mlx_spec.training.target import load_target

app = typer.Typer(no_args_is_help=True, help="Make a draft for a target of your own.")
app.command("eagle")(eagle)
app.command("medusa")(medusa)
app.command("states")(states)
app.command("rounds")(rounds)
app.command("experience")(experience)


def numbers(agreement: Agreement) -> dict[str, object]:
    """An agreement as plain numbers for `--json`; an infinite KL is null."""
    kl = (agreement.divergence.mean, agreement.divergence.error)
    return {
        "answers": agreement.answers,
        "dialogues": agreement.dialogues,
        "top1": [agreement.top1.mean, agreement.top1.error],
        "sum_min": {str(heat): [value.mean, value.error] for heat, value in agreement.overlap.items()},
        "kl": [value if math.isfinite(value) else None for value in kl],
    }


def show(result: Result, out: Path, as_json: bool) -> None:
    """Print the result: for a machine, or in a few lines."""
    if as_json:
        report = {
            "draft": str(out),
            "size_bytes": result.size_bytes,
            "training_answers": result.training_answers,
            "before": numbers(result.before),
            "after": numbers(result.after),
        }
        typer.echo(json.dumps(report))
        return
    console = Console()
    console.print(f"Draft in {out}, {result.size_bytes / 1e6:.1f} MB, from {result.training_answers:,} answer tokens.")
    console.print(f"Held-out top-1 agreement {result.before.top1} before training, {result.after.top1} after.")
    for heat, value in result.after.overlap.items():
        console.print(f"Held-out Σ min(p, q) at temperature {heat}: {value}.")


@app.command()
@with_target
def draft(
    target: ModelFolder,
    out: Annotated[Path, typer.Option(help="Where the draft goes.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Where sampled answers are kept; default: `OUT-corpus` beside the draft.")
    ] = None,
    answers: Annotated[
        int, typer.Option(help="Answer tokens to sample; those already there count.")
    ] = Recipe().answer_tokens,
    minutes: Annotated[float, typer.Option(help="Training time.")] = Recipe().minutes,
    trainer: Annotated[str, typer.Option(help="`mlx`, or `torch` for CPUs with bfloat16 matrix units.")] = "mlx",
    seed: Annotated[int, typer.Option(help="Seed of prompts, answers and batches.")] = 0,
    start: Annotated[
        Path | None, typer.Option(help="Go on from this draft: its folder, or a .safetensors file of floats.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Distil a draft model: the target answers its own questions, and a small model learns to say the same.

    May be stopped while sampling and started again: finished shards are kept.
    """
    kind = named_trainer(trainer)
    recipe = with_options(Recipe(), answers, minutes, seed)
    folder = corpus if corpus is not None else out.with_name(out.name + "-corpus")
    with bars() as bar:
        result = distil(recipe, target, out, folder, kind, BarWatcher(bar, answers), start)
    show(result, out, as_json)


@app.command()
@with_target
def sample(
    target: ModelFolder,
    corpus: Annotated[Path, typer.Option(help="Where answers go: into the folder `seed-SEED` there.")],
    answers: Annotated[
        int, typer.Option(help="Answer tokens with this seed; those already there count.")
    ] = Recipe().answer_tokens,
    seed: Annotated[int, typer.Option(help="Seed of prompts and answers.")] = 0,
    weights: Annotated[
        str | None,
        typer.Option(
            "--temperature-weights",
            help="How often to answer at temperatures 0, 0.7 and 1, such as 0.7,0.15,0.15; default: about alike.",
        ),
    ] = None,
    trainer: Annotated[str, typer.Option(help="`mlx`, or `torch` for CPUs with bfloat16 matrix units.")] = "mlx",
) -> None:
    """Sample answers only, the first stage of `draft`: processes with different seeds can share the work.

    May be stopped and started again: finished shards are kept.
    """
    kind = named_trainer(trainer)
    if kind == "torch":
        require_torch()
    recipe = weighted(with_options(Recipe(), answers, Recipe().minutes, seed), weights)
    with bars() as bar:
        count = sample_answers(recipe, load_target(target), corpus, kind, BarWatcher(bar, answers))
    typer.echo(f"{count:,} answer tokens in {corpus / f'seed-{seed}'}.")


def weighted(recipe: Recipe, weights: str | None) -> Recipe:
    """The recipe with the temperatures' weights as they were typed. Raises typer.BadParameter."""
    try:
        given = tuple(float(weight) for weight in weights.split(",")) if weights else recipe.temperature_weights
        return replace(recipe, temperature_weights=given)
    except ValueError:
        heats = ", ".join(f"{heat:g}" for heat in recipe.temperatures)
        raise typer.BadParameter(
            f"{weights!r} is not a weight for each of the temperatures {heats}, such as 0.7,0.15,0.15.",
            param_hint="--temperature-weights",
        ) from None


@app.command()
@with_target
def narrow(
    target: ModelFolder,
    draft: Annotated[Path, typer.Option(help="The draft: its folder gets draft_vocabulary.json.")],
    corpus: Annotated[Path, typer.Option(help="The answers that say which tokens are frequent.")],
    tokens: Annotated[int, typer.Option(help="Tokens that the draft goes on scoring.")] = 8192,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
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
