"""The command line: `mlx-spec generate | run | chat | serve | bench | train | models | doctor`.

Answers go to stdout, progress and errors to stderr. A LookaheadError is one line and exit code 2, Ctrl-C is one line
and exit code 130. A reader of the output who goes away (`| head -1`) ends it without a word, with exit code 1.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mlx_spec.cli.commands.bench import bench
from mlx_spec.cli.commands.models import models_app
from mlx_spec.cli.commands.run import run
from mlx_spec.cli.commands.try_pair import try_pair
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.json_output import AsJson, write_json
from mlx_spec.cli.terminal.options import (
    Anyway,
    DrafterOption,
    DraftOption,
    FilePair,
    LookaheadOption,
    MaxTokens,
    Pair,
    Rule,
    SamplingOptions,
    Target,
    TreeOption,
    Values,
    given_values,
    speculative_config,
    with_sampling,
)
from mlx_spec.errors import InterruptedWork, LookaheadError, PromptError
from mlx_spec.machine import blas
from mlx_spec.machine.interruption import Interruption
from mlx_spec.machine.parent import PARENT_VARIABLE, watch_parent

# MLX and the models are imported inside the commands: `--help` and a mistyped option answer at once.

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
train_app = typer.Typer(no_args_is_help=True, help="Make a draft for a target.")
models_app.command("try")(try_pair)  # here, as what races stands above what loads
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")


@app.command()
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
    max_tokens: MaxTokens = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be given again.")] = None,
    raw: Annotated[bool, typer.Option(help="Continue the text as it is, without the chat template.")] = False,
    anyway: Anyway = False,
    as_json: AsJson = False,
    *,
    sampling: SamplingOptions,
) -> None:
    """Answer one prompt."""
    from mlx_spec.cli.terminal import console
    from mlx_spec.decoder import SpeculativeDecoder

    text, settings = _prompt(prompt, file, values)
    params = sampling.params(settings, tuple(stop or ()))
    config = speculative_config(lookahead or str(settings.get("lookahead", "auto")), acceptance, tree)
    with console.StageProgress() as progress:
        loaded = load_with_consent(target or pair or settings.get("pair", "starter"), draft, progress, anyway=anyway)
        system = [{"role": "system", "content": settings["system"]}] if "system" in settings else []
        chat = [*system, {"role": "user", "content": text}]
        prompt_ids = loaded.encode(text) if raw else loaded.encode_chat(chat)
        if not raw and (note := loaded.chat_note(chat)):
            typer.echo(note, err=True)
        decoder = SpeculativeDecoder(loaded, config, drafter=drafter)
        decoder.calibrate(progress.tell)
        limit = max_tokens if max_tokens is not None else settings.get("max_tokens", 256)
        events = progress.follow_prefill(decoder.stream(prompt_ids, params, limit, goes_on=raw))
        if as_json:
            _print_json(events)
        else:
            _print_answer(events, title=f"{loaded.target_name} · draft {loaded.draft_name or 'none'}")


def _print_json(events: Any) -> None:
    from mlx_spec.events import GenerationFinished, RoundFinished

    rounds = []
    for event in events:
        if isinstance(event, RoundFinished):
            times = {"draft_ms": event.draft_ms, "verify_ms": event.verify_ms}
            counts = {"drafted": len(event.drafted), "accepted": event.accepted_count, "lookahead": event.lookahead}
            rounds.append(counts | times | {"drafter": event.drafter, "reason": event.reason})
        elif isinstance(event, GenerationFinished):
            answer = {
                "token_ids": event.token_ids,
                "text": event.text,
                "finish_reason": event.finish_reason,
                "seed": event.seed,
                "prompt_tokens": event.prompt_tokens,
                "rounds": rounds,
                "stats": event.stats.to_dict(),
            }
            write_json(answer)


def _print_answer(events: Any, title: str) -> None:
    from mlx_spec.cli.terminal import console
    from mlx_spec.events import GenerationFinished

    out, notes = Console(highlight=False), Console(stderr=True, highlight=False)
    printer = console.AnswerPrinter(out)
    notes.print(console.legend())
    for event in events:
        printer.show(event)
        if isinstance(event, GenerationFinished):
            notes.print()
            notes.print(title, style="bold", markup=False)
            notes.print(console.stats_table(event))


@app.command()
@with_sampling
def chat(
    target: Target = None,
    draft: DraftOption = None,
    pair: Pair = "starter",
    drafter: DrafterOption = "auto",
    lookahead: LookaheadOption = None,
    acceptance: Rule = "coupled",
    tree: TreeOption = "off",
    max_tokens: MaxTokens = None,
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    anyway: Anyway = False,
    *,
    sampling: SamplingOptions,
) -> None:
    """Talk in the terminal. /new starts again, /quit leaves, Ctrl-C stops an answer."""
    from mlx_spec.cli.commands.chat import talk
    from mlx_spec.cli.terminal import console
    from mlx_spec.decoder import SpeculativeDecoder

    params = sampling.params({})
    config = speculative_config(lookahead or "auto", acceptance, tree)
    with console.StageProgress() as progress:
        loaded = load_with_consent(target or pair, draft, progress, anyway=anyway)
        decoder = SpeculativeDecoder(loaded, config, drafter=drafter)
        decoder.calibrate(progress.tell)
    talk(loaded, decoder, params, max_tokens if max_tokens is not None else 512, system)


@app.command()
def serve(
    target: Target = None,
    draft: DraftOption = None,
    pair: Pair = "starter",
    drafter: DrafterOption = "auto",
    lookahead: LookaheadOption = None,
    tree: TreeOption = "off",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8765,
    api_key: Annotated[str | None, typer.Option(help="Ask clients for this key.", envvar="LOOKAHEAD_API_KEY")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name that clients know this machine by; may be given again.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Web pages that may ask, as in http://localhost:3000; may be given again."),
    ] = None,
    anyway: Anyway = False,
    unload_after: Annotated[
        float, typer.Option(help="Let go of the models after so many minutes without a request; 0 is never.", min=0)
    ] = 0,
    parent_pid: Annotated[int | None, typer.Option(help="End when this process does.")] = None,
) -> None:
    """Serve the OpenAI-compatible API on this machine, until Ctrl-C."""
    config = speculative_config(lookahead or "auto", "coupled", tree)
    name = target or pair
    try:
        from mlx_spec.server.serve import serve as run

        run(
            name,
            draft,
            host=host,
            port=port,
            api_key=api_key,
            allow_hosts=allow_host or (),
            allow_origins=allow_origin or (),
            config=config,
            drafter=drafter,
            anyway=anyway,
            unload_after_s=60 * unload_after or None,
            parent_pid=parent_pid,
        )
    except KeyboardInterrupt:  # before it served anybody; that it ends when asked to is no failure, then and later
        return


app.command()(bench)
app.command()(run)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Tell what this machine has and which paths the engine takes on it."""
    from mlx_spec.cli.commands import doctor as checks

    report = checks.report()
    if as_json:
        write_json(report)
    else:
        checks.show(report, Console(highlight=False))


def _prompt(prompt: str | None, file: Path | None, values: list[str] | None) -> tuple[str, dict[str, Any]]:
    from mlx_spec.cli.terminal.prompt_file import read_prompt_file

    if prompt is not None and file is not None:
        raise PromptError("A prompt and --file were both given: give one of them.")
    if file is not None:
        opened = read_prompt_file(file, given_values(values))
        if opened.remark:
            sys.stderr.write(f"{file}: {opened.remark}\n")
        return opened.text, opened.settings
    if prompt is None or not prompt.strip():
        raise PromptError("The prompt is empty: write something to answer, or name a text file with --file.")
    return prompt, {}


def _mount_training() -> None:
    from mlx_spec.cli.commands.train import app as commands

    train_app.registered_commands += commands.registered_commands


def main() -> None:
    """Entry point of `mlx-spec`."""
    with Interruption() as interruption:
        code = _called()
        if interruption.number is not None and code:
            code = 128 + interruption.number
    sys.exit(code if _is_read() else 1)


def _called() -> int:
    """Do what the command line says; the exit code."""
    try:
        blas.ensure_preloaded()
        _follow_parent()
        if sys.argv[1:2] == ["train"]:
            _mount_training()
        app()
    except InterruptedWork as stopped:
        return _failed(str(stopped), 128 + signal.SIGINT)
    except LookaheadError as error:
        return _failed(str(error), 2)
    except KeyboardInterrupt:
        return _failed("interrupted.", 128 + signal.SIGINT)
    except SystemExit as ended:
        if ended.code == 128 + signal.SIGINT:  # typer's own word for KeyboardInterrupt
            return _failed("interrupted.", ended.code)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _failed(sentence: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody reads it
        sys.stderr.write(f"mlx-spec: {sentence}\n")
    return code


def _is_read() -> bool:
    """Whether all that was said has gone out. Where its reader is gone, the rest is dropped: the interpreter's own end
    would complain of it."""
    read = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            read = False
    return read


def _follow_parent() -> None:
    """Where the window started this command, its end ends it, too: as Ctrl-C does."""
    if (parent := os.environ.get(PARENT_VARIABLE, "")).isdecimal():
        watch_parent(int(parent), lambda: os.kill(os.getpid(), signal.SIGTERM))


if __name__ == "__main__":
    main()
