"""Options that the training commands share."""

from pathlib import Path
from typing import Annotated

import typer

from mlx_spec.errors import ConfigError
from mlx_spec.training.distill import Trainer

HeadFolder = Annotated[Path, typer.Option(help="Where the head goes.")]
HeadCorpus = Annotated[
    Path | None, typer.Option(help="Where sampled answers are kept; default: `OUT-corpus` beside the head.")
]


def named_trainer(name: str) -> Trainer:
    """Raises ConfigError unless the name is a trainer's."""
    if name == "torch":
        return "torch"
    if name == "mlx":
        return "mlx"
    raise ConfigError("trainer", name, "mlx or torch")


TrainerOption = Annotated[
    str, typer.Option(help="`mlx`, or `torch` for CPUs with bfloat16 matrix units.", callback=named_trainer)
]
Minutes = Annotated[float, typer.Option(help="Training time.")]
AnswerTokens = Annotated[int, typer.Option(help="Answer tokens to sample; those already there count.")]
LongestAnswer = Annotated[int, typer.Option(min=2, help="Longest answer, in tokens.")]
ResultAsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Seed = Annotated[int, typer.Option(help="Seed of prompts, answers and batches.")]
AnyTarget = Annotated[str, typer.Option(help="The target: a folder, a Hub id, or a known pair's name.")]
AnyDraft = Annotated[
    str | None, typer.Option(help="The draft or head: a folder or a Hub id; left out: the known pair's own.")
]


def corpus_folder(corpus: Path | None, out: Path) -> Path:
    """Where sampled answers are kept: beside what is trained, where nothing else was said."""
    return corpus if corpus is not None else out.with_name(out.name + "-corpus")
