"""`mlx-spec generate`: one prompt, one answer."""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.json_output import AsJson, write_json
from mlx_spec.cli.terminal.options import (
    Anyway,
    DrafterOption,
    DraftOption,
    ExactnessOption,
    FilePair,
    KvBits,
    LookaheadOption,
    MaxTokens,
    Rule,
    Target,
    TreeOption,
    Values,
    given_values,
    speculative_config,
)
from mlx_spec.cli.terminal.sampling import SamplingOptions, with_sampling
from mlx_spec.errors import PromptError

if TYPE_CHECKING:
    from mlx_spec.cli.terminal.prompt_file import PromptFile
    from mlx_spec.events import Event

# MLX and the models are imported inside: `--help` and a mistyped option answer at once.


@with_sampling
def generate(
    prompt: Annotated[str | None, typer.Argument(help="What to answer.")] = None,
    file: Annotated[Path | None, typer.Option(help="Answer this text file; YAML front matter may set options.")] = None,
    values: Values = None,
    target: Target = None,
    draft: DraftOption = None,
    pair: FilePair = None,
    drafter: DrafterOption = "auto",
    lookahead: LookaheadOption = None,
    acceptance: Rule = "coupled",
    tree: TreeOption = "off",
    kv_bits: KvBits = None,
    exactness: ExactnessOption = "auto",
    max_tokens: MaxTokens = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be given again.")] = None,
    predict: Annotated[
        Path | None,
        typer.Option(help="A file that the answer will mostly be: drafted as far as it is right.", metavar="FILE"),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="The answer is JSON by the schema in this file, on one line.")
    ] = None,
    regex: Annotated[str | None, typer.Option(help="The whole answer matches this expression.")] = None,
    raw: Annotated[bool, typer.Option(help="Continue the text as it is, without the chat template.")] = False,
    anyway: Anyway = False,
    as_json: AsJson = False,
    *,
    sampling: SamplingOptions,
) -> None:
    """Answer one prompt."""
    from mlx_spec.cli.terminal.constraint import constraint_of
    from mlx_spec.cli.terminal.progress import StageProgress
    from mlx_spec.decoder import SpeculativeDecoder

    asked = _asked(prompt, file, values)
    predicted = _predicted(predict)
    params = sampling.params(asked.settings, tuple(stop or ()))
    config = speculative_config(asked.lookahead(lookahead), acceptance, tree, kv_bits, exactness)
    constraint = constraint_of(schema, regex)
    with StageProgress() as progress:
        loaded = load_with_consent(asked.pair(target or pair), draft, progress, anyway=anyway, kv_bits=kv_bits)
        prompt_ids = loaded.encode(asked.text) if raw else asked.encoded(loaded)
        decoder = SpeculativeDecoder(loaded, config, drafter=drafter)
        decoder.calibrate(progress.tell)
        answer = decoder.stream(
            prompt_ids,
            params,
            asked.max_tokens(max_tokens),
            goes_on=raw,
            predicted_ids=loaded.encode_part(predicted),
            constraint=constraint,
        )
        events = progress.follow_prefill(answer)
        if as_json:
            _print_json(events, kv_bits)
        else:
            title = f"{loaded.target_name} · draft {loaded.draft_name or 'none'}"
            _print_answer(events, f"{title} · keys and values in {kv_bits} bits" if kv_bits else title)


def _asked(prompt: str | None, file: Path | None, values: list[str] | None) -> "PromptFile":
    """What to answer, from the command line or a file; what of a file could not be read is told. Raises PromptError."""
    from mlx_spec.cli.terminal.prompt_file import PromptFile, read_prompt_file

    if prompt is not None and file is not None:
        raise PromptError("A prompt and --file were both given: give one of them.")
    if file is not None:
        opened = read_prompt_file(file, given_values(values))
        if opened.remark:
            sys.stderr.write(f"{file}: {opened.remark}\n")
        return opened
    if prompt is None or not prompt.strip():
        raise PromptError("The prompt is empty: write something to answer, or name a text file with --file.")
    return PromptFile(prompt, {})


def _predicted(path: Path | None) -> str:
    """What the answer is said to be: the text of a file, as it is. Raises PromptError."""
    if path is None:
        return ""
    try:
        return path.read_bytes().decode()  # with the ends of its lines as they are
    except OSError as error:
        raise PromptError(f"{path} cannot be read ({error.strerror}): name a text file with --predict.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is no UTF-8 text: name a text file with --predict.") from error


def _print_json(events: Iterable["Event"], kv_bits: int | None) -> None:
    from mlx_spec.events import GenerationFinished, RoundFinished

    rounds = []
    for event in events:
        if isinstance(event, RoundFinished):
            times = {"draft_ms": event.draft_ms, "verify_ms": event.verify_ms, "wire_ms": event.wire_ms}
            counts = {"drafted": len(event.drafted), "accepted": event.accepted_count, "lookahead": event.lookahead}
            rounds.append(counts | times | {"drafter": event.drafter, "reason": event.reason})
        elif isinstance(event, GenerationFinished):
            answer = {
                "token_ids": event.token_ids,
                "text": event.text,
                "finish_reason": event.finish_reason,
                "seed": event.seed,
                "prompt_tokens": event.prompt_tokens,
                "kv_bits": kv_bits,
                "rounds": rounds,
                "stats": event.stats.to_dict(),
            }
            if event.prediction is not None:
                answer["prediction"] = asdict(event.prediction)
            write_json(answer)


def _print_answer(events: Iterable["Event"], title: str) -> None:
    from rich.console import Console

    from mlx_spec.cli.terminal.answer import AnswerPrinter, legend, stats_table
    from mlx_spec.events import GenerationFinished

    out, notes = Console(highlight=False), Console(stderr=True, highlight=False)
    printer = AnswerPrinter(out)
    notes.print(legend())
    for event in events:
        printer.show(event)
        if isinstance(event, GenerationFinished):
            notes.print()
            notes.print(title, style="bold", markup=False)
            notes.print(stats_table(event))
