"""`mlx-spec run`: answers many prompt files into a folder, and goes on where one of them fails."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlx_spec.cli.terminal.json_output import AsJson
from mlx_spec.cli.terminal.options import (
    Anyway,
    DrafterOption,
    DraftOption,
    FilePair,
    KvBits,
    KvMemory,
    LookaheadOption,
    MaxTokens,
    PrefixDisk,
    PrefixMemory,
    Rule,
    Target,
    Values,
    given_values,
    keeping,
    speculative_config,
)
from mlx_spec.cli.terminal.sampling import SamplingOptions, with_sampling
from mlx_spec.errors import InterruptedWork, LookaheadError, PromptError

if TYPE_CHECKING:
    import prompt_files
    from mlx_spec.cli.commands.run.options import AnswerOptions
    from prompt_files.results import Result

# MLX, the models and the reading of files are imported inside: `--help` and a mistyped option answer at once.


@with_sampling
def run(
    files: Annotated[list[Path], typer.Argument(help="Prompt files, texts, or folders with *.prompt.md in them.")],
    out: Annotated[Path, typer.Option(help="Folder for the answers and the table of results.")],
    values: Values = None,
    target: Target = None,
    draft: DraftOption = None,
    pair: FilePair = None,
    drafter: DrafterOption = "auto",
    lookahead: LookaheadOption = None,
    acceptance: Rule = "coupled",
    kv_bits: KvBits = None,
    max_tokens: MaxTokens = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace answers of an earlier run.")] = False,
    prefix_memory: PrefixMemory = None,
    kv_memory: KvMemory = None,
    prefix_disk: PrefixDisk = "0",
    anyway: Anyway = False,
    as_json: AsJson = False,
    *,
    sampling: SamplingOptions,
) -> None:
    """Answer many prompt files: an answer each, and a table of them all as CSV, JSON and Markdown."""
    speculative_config(lookahead or "auto", acceptance, kv_bits=kv_bits)  # a mistyped option fails before any work
    kept = keeping(prefix_memory, kv_memory, prefix_disk)
    from mlx_spec.cli.commands.run.inputs import expanded, opened
    from mlx_spec.cli.commands.run.options import AnswerOptions
    from mlx_spec.cli.commands.run.outputs import answer_paths, make_folder
    from mlx_spec.cli.terminal.prompt_file import check_values
    from prompt_files.results import export

    options = AnswerOptions(
        target=target,
        draft=draft,
        pair=pair,
        drafter=drafter,
        lookahead=lookahead,
        acceptance=acceptance,
        kv_bits=kv_bits,
        max_tokens=max_tokens,
        sampling=sampling,
        anyway=anyway,
        keeping=kept,
    )
    paths = expanded(files)
    answers = answer_paths(paths, out)
    given = given_values(values)
    prompts = [opened(path) for path in paths]
    check_values(given, [prompt for prompt in prompts if not isinstance(prompt, LookaheadError)])
    make_folder(out, answers, overwrite=overwrite)
    results = _answer_all(options, dict(zip(paths, prompts, strict=True)), answers, given, out)
    if as_json:
        sys.stdout.write(export(results, "json"))
    failed = [result for result in results if result.state == "failed"]
    if failed:
        raise PromptError(f"{len(failed)} of {len(results)} prompts failed: {failed[0].error}")


def _answer_all(
    options: "AnswerOptions",
    prompts: "Mapping[Path, prompt_files.PromptFile | LookaheadError]",
    answers: list[Path],
    values: dict[str, str],
    out: Path,
) -> "list[Result]":
    """Answer each prompt into its file of `answers`, and write a table. Raises InterruptedWork, StorageError."""
    from mlx_spec.cli.commands.run.outputs import write, write_table
    from mlx_spec.cli.terminal.answer import reading
    from prompt_files.results import Result

    results: list[Result] = []
    try:
        from mlx_spec.cli.commands.run.answerer import Answerer  # with MLX: here, as Ctrl-C may come meanwhile

        answerer = Answerer(options)
        following = [*list(prompts.values())[1:], None]
        for number, ((path, prompt), answer_path) in enumerate(zip(prompts.items(), answers, strict=True), 1):
            result = answerer.answered(path, prompt, values, following[number - 1])
            if result.state == "done":
                write(answer_path, result.answer.strip() + "\n")
            results.append(result)
            if not isinstance(prompt, LookaheadError) and prompt.remark:
                sys.stderr.write(f"{path}: {prompt.remark}\n")
            what = result.error or f"{result.completion_tokens} tokens, {result.finish_reason}"
            if result.prompt_tokens and answerer.cached_tokens:
                what += f", {reading(result.prompt_tokens, answerer.cached_tokens)}"
            sys.stderr.write(f"{number} of {len(prompts)}  {path}: {what}\n")
    except KeyboardInterrupt:
        kept = f"{len(results)} of {len(prompts)} prompts were answered; a table of all is in {out}."
        raise InterruptedWork(f"interrupted: {kept}") from None
    finally:  # Ctrl-C too: what was answered is kept
        left = (Result(file=str(path), title=path.name, state="stopped") for path in list(prompts)[len(results) :])
        write_table([*results, *left], out)
    return results
