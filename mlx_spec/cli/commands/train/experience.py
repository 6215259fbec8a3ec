"""`mlx-spec train experience`: what a pair's drafts usually bring, as a file to ship with the pair."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mlx_spec.cli.commands.train.options import AnyDraft, AnyTarget, LongestAnswer
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.options import Anyway
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.config import SamplingParams
from mlx_spec.lookahead.experience import written
from mlx_spec.training.experience import held_out_questions, measure_experience


def experience(
    target: AnyTarget,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    draft: AnyDraft = None,
    questions: Annotated[int, typer.Option(min=1, help="How many questions, at either temperature.")] = 24,
    answer_tokens: LongestAnswer = 96,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the sampled answers; the others have 0.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Which questions are asked, and the seed of the sampled answers.")] = 101,
    anyway: Anyway = False,
) -> None:
    """Answer the recipe's held-out questions with each draft; write how often each place of a chain was accepted."""
    values: dict[str, object] = {}
    with StageProgress() as progress:
        pair = load_with_consent(target, draft, progress, anyway=anyway)
        prompts = held_out_questions(pair.tokenizer, seed, questions)
        for heat in (0.0, temperature):
            params = SamplingParams(temperature=heat, seed=seed)
            found = measure_experience(pair, prompts, params, answer_tokens, progress.tell)
            values |= written(found, greedy=params.greedy)
    out.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    typer.echo(f"Wrote {out}: {len(prompts)} questions at temperatures 0 and {temperature:g}.")
