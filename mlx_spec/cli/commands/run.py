"""`mlx-spec run`: answers many prompt files into a folder, and goes on where one of them fails."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from unicodedata import normalize

import typer

import prompt_files
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.json_output import AsJson
from mlx_spec.cli.terminal.options import (
    Anyway,
    DrafterOption,
    DraftOption,
    FilePair,
    LookaheadOption,
    MaxTokens,
    Rule,
    SamplingOptions,
    Target,
    Values,
    given_values,
    speculative_config,
    with_sampling,
)
from mlx_spec.cli.terminal.prompt_file import PromptFile, check_values, fill_prompt, open_prompt
from mlx_spec.errors import InterruptedWork, LookaheadError, PromptError, StorageError
from prompt_files import is_prompt_file
from prompt_files.folder import list_folder
from prompt_files.prompt import SUFFIX as PROMPT_SUFFIX
from prompt_files.results import SUFFIXES, Format, Result, export

_DEFAULT_MAX_TOKENS: Final = 256
_DEFAULT_PAIR: Final = "starter"
_TABLE: Final = "results"
_LONGEST_STEM_BYTES: Final = 200

# MLX and the models are imported inside: `--help` and a mistyped option answer at once.


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
    max_tokens: MaxTokens = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace answers of an earlier run.")] = False,
    anyway: Anyway = False,
    as_json: AsJson = False,
    *,
    sampling: SamplingOptions,
) -> None:
    """Answer many prompt files: an answer each, and a table of them all as CSV, JSON and Markdown."""
    answerer = _Answerer(target, draft, pair, drafter, lookahead, acceptance, max_tokens, sampling, anyway)
    paths = _expanded(files)
    answers = _answer_paths(paths, out)
    given = given_values(values)
    prompts = [_opened(path) for path in paths]
    check_values(given, [prompt for prompt in prompts if not isinstance(prompt, LookaheadError)])
    _make_folder(out, [*answers, *_table_paths(out)], overwrite)
    results: list[Result] = []
    try:
        for number, (path, prompt, answer_path) in enumerate(zip(paths, prompts, answers, strict=True), 1):
            result = _answered(answerer, path, prompt, given)
            if result.state == "done":
                _write(answer_path, result.answer.strip() + "\n")
            results.append(result)
            if isinstance(prompt, prompt_files.PromptFile) and prompt.remark:
                sys.stderr.write(f"{path}: {prompt.remark}\n")
            what = f"{result.completion_tokens} tokens, {result.finish_reason}" if not result.error else result.error
            sys.stderr.write(f"{number} of {len(paths)}  {path}: {what}\n")
    except KeyboardInterrupt:
        kept = f"{len(results)} of {len(paths)} prompts were answered; a table of all is in {out}."
        raise InterruptedWork(f"interrupted: {kept}") from None
    finally:  # Ctrl-C too: what was answered is kept
        left = (Result(file=str(path), title=path.name, state="stopped") for path in paths[len(results) :])
        _write_table([*results, *left], out)
    if as_json:
        sys.stdout.write(export(results, "json"))
    failed = [result for result in results if result.state == "failed"]
    if failed:
        raise PromptError(f"{len(failed)} of {len(results)} prompts failed: {failed[0].error}")


class _Answerer:
    """Holds one pair at a time: a prompt file may ask for another than the one before it."""

    def __init__(
        self,
        target: str | None,
        draft: str | None,
        pair: str | None,
        drafter: Any,
        lookahead: str | None,
        acceptance: Any,
        max_tokens: int | None,
        sampling: SamplingOptions,
        anyway: bool,
    ) -> None:
        self._anyway = anyway
        self._target, self._draft, self._pair_option = target, draft, pair
        self._drafter, self._lookahead, self._acceptance = drafter, lookahead, acceptance
        self._max_tokens, self._sampling = max_tokens, sampling
        speculative_config(lookahead or "auto", acceptance)  # a mistyped option fails before any work
        self._name: str | None = None
        self._pair: Any = None
        self._decoder: Any = None

    def answer(self, prompt: PromptFile, path: Path) -> Result:
        """Raises LookaheadError."""
        from mlx_spec.decoding.admission import Lookahead
        from mlx_spec.events import GenerationFinished

        settings = prompt.settings
        params = self._sampling.params(settings)
        config = speculative_config(self._lookahead or str(settings.get("lookahead", "auto")), self._acceptance)
        self._load(self._target or self._pair_option or settings.get("pair", _DEFAULT_PAIR))
        system = [{"role": "system", "content": settings["system"]}] if "system" in settings else []
        chat = [*system, {"role": "user", "content": prompt.text}]
        prompt_ids = self._pair.encode_chat(chat)
        if note := self._pair.chat_note(chat):
            typer.echo(note, err=True)
        limit = self._max_tokens if self._max_tokens is not None else settings.get("max_tokens", _DEFAULT_MAX_TOKENS)
        lookahead: Lookahead = "auto" if config.adaptive_lookahead else config.lookahead
        started = time.monotonic()
        events = self._decoder.stream(prompt_ids, params, limit, lookahead=lookahead)
        finished = next(event for event in events if isinstance(event, GenerationFinished))
        return Result(
            file=str(path),
            title=settings.get("title", path.name),
            state="done",
            answer=finished.text,
            finish_reason=finished.finish_reason,
            seed=finished.seed,
            prompt_tokens=finished.prompt_tokens,
            completion_tokens=len(finished.token_ids),
            seconds=round(time.monotonic() - started, 3),
            tokens_per_second=round(finished.stats.tokens_per_second, 2),
            acceptance_rate=round(finished.stats.acceptance_rate, 4) if finished.stats.tested_tokens else None,
        )

    def _load(self, name: str) -> None:
        from mlx_spec.cli.terminal.console import StageProgress
        from mlx_spec.decoder import SpeculativeDecoder

        if name == self._name:
            return
        # The memory of the one before is free before the next one comes.
        self._pair = self._decoder = self._name = None
        with StageProgress() as progress:
            self._pair = load_with_consent(name, self._draft, progress, anyway=self._anyway)
            # One for all prompts: what it has learnt of costs and drafts serves the next.
            self._decoder = SpeculativeDecoder(
                self._pair, speculative_config("auto", self._acceptance), drafter=self._drafter
            )
            self._decoder.calibrate(progress.tell)
        self._name = name


def _opened(path: Path) -> prompt_files.PromptFile | LookaheadError:
    """The prompt, or why it cannot be had: the others are answered all the same."""
    try:
        return open_prompt(path)
    except LookaheadError as error:
        return error


def _answered(
    answerer: _Answerer, path: Path, prompt: prompt_files.PromptFile | LookaheadError, given: dict[str, str]
) -> Result:
    try:
        if isinstance(prompt, LookaheadError):
            raise prompt
        return answerer.answer(fill_prompt(prompt, given), path)
    except LookaheadError as error:
        return Result(file=str(path), title=path.name, state="failed", error=str(error))


def _expanded(files: Sequence[Path]) -> list[Path]:
    """Folders as the prompt files in them; each file once. Raises PromptError for a folder without any."""
    paths: dict[Path, None] = {}
    for file in files:
        if not file.is_dir():
            paths[file] = None
            continue
        found = [path for path in list_folder(file).files if is_prompt_file(path)]
        if not found:
            raise PromptError(f"{file} holds no *.prompt.md: name the files, or another folder.")
        paths.update(dict.fromkeys(found))
    return list(paths)


def _answer_paths(paths: Sequence[Path], out: Path) -> list[Path]:
    """Where each answer goes; two files of one name in two folders are told apart by a number.

    So are names that differ by case or by how their accents are composed: to most disks of Macs they are one.
    """
    answers: list[Path] = []
    taken = set[str]()
    for path in paths:
        stem = path.name[: -len(PROMPT_SUFFIX)] if is_prompt_file(path) else path.stem
        answer = next(one for one in _numbered(out, _shortened(stem)) if _on_disk(one) not in taken)
        taken.add(_on_disk(answer))
        answers.append(answer)
    return answers


def _on_disk(path: Path) -> str:
    return normalize("NFC", normalize("NFKD", path.name).casefold())


def _shortened(stem: str) -> str:
    """What of a name leaves room for an answer's ending: a disk takes 255 bytes."""
    return stem.encode("utf-8", "surrogateescape")[:_LONGEST_STEM_BYTES].decode("utf-8", "ignore") or "prompt"


def _numbered(out: Path, stem: str) -> Iterator[Path]:
    yield out / f"{stem}.answer.md"
    number = 2
    while True:
        yield out / f"{stem}-{number}.answer.md"
        number += 1


def _table_paths(out: Path) -> list[Path]:
    return [out / f"{_TABLE}{suffix}" for suffix in SUFFIXES.values()]


def _make_folder(out: Path, written: Sequence[Path], overwrite: bool) -> None:
    there = next((path for path in written if path.exists()), None)
    if there is not None and not overwrite:
        raise StorageError(f"{there} is there already: choose another folder with --out, or give --overwrite.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {out} cannot be made ({error.strerror}): choose another with --out.") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror}): free space or choose another --out."
        ) from error


def _write_table(results: Sequence[Result], out: Path) -> None:
    kinds: tuple[Format, ...] = ("csv", "json", "markdown")
    for kind in kinds:
        _write(out / f"{_TABLE}{SUFFIXES[kind]}", export(results, kind))
