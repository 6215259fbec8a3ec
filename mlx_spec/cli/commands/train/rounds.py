"""`mlx-spec train rounds`: what a draft or a head brings a round on held-out questions."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mlx_spec.cli.commands.train.options import AnyDraft, AnyTarget, LongestAnswer
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.options import Anyway
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.config import DrafterName, SamplingParams
from mlx_spec.training.answers.corpus import read_corpus
from mlx_spec.training.rounds import measure_rounds, numbers


def rounds(
    target: AnyTarget,
    corpus: Annotated[Path, typer.Option(help="Sampled answers: the questions of held-out ones are asked again.")],
    draft: AnyDraft = None,
    drafter: Annotated[DrafterName, typer.Option(help="Which of what is loaded drafts.")] = "eagle",
    shapes: Annotated[str, typer.Option(help="Chains and trees, with commas.")] = "4,3x2,6x8:60",
    questions: Annotated[int, typer.Option(min=1, help="How many questions.")] = 20,
    answer_tokens: LongestAnswer = 96,
    temperature: Annotated[float, typer.Option(help="The answers' temperature.")] = 0.0,
    seed: Annotated[int, typer.Option(help="The answers' seed, and which questions are asked.")] = 0,
    anyway: Anyway = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")] = False,
) -> None:
    """Answer held-out questions with fixed chains and trees, and tell the tokens a round that they bring."""
    names = tuple(name.strip() for name in shapes.split(",") if name.strip())
    params = SamplingParams(temperature=temperature, seed=seed)
    _, held_out = read_corpus(corpus)
    with StageProgress() as progress:
        pair = load_with_consent(target, draft, progress, anyway=anyway)
        found = measure_rounds(pair, drafter, names, held_out, questions, params, answer_tokens, progress.tell)
    if as_json:
        typer.echo(json.dumps({"temperature": temperature, "rounds": [numbers(one) for one in found]}))
        return
    for one in found:
        typer.echo(str(one))
