"""A conversation in the terminal."""

import select
import sys
from collections.abc import Iterator

from rich.console import Console

from mlx_spec.cli.terminal.answer import AnswerPrinter, legend, reading, stats_lines
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.errors import LookaheadError
from mlx_spec.events import GenerationFinished, TextDelta
from mlx_spec.machine.interruption import StopRequest
from mlx_spec.models.loading import ModelPair


def talk(
    pair: ModelPair, decoder: SpeculativeDecoder, params: SamplingParams, max_tokens: int, system: str | None
) -> None:
    """Read a line, answer it, again. Returns on /quit or the end of input."""
    console = Console(highlight=False)
    console.print(f"{pair.target_name} · draft {pair.draft_name or 'none'}", style="bold", markup=False)
    console.print("/new starts again, /quit leaves, Ctrl-C stops an answer", style="dim")
    console.print(legend())
    opening = [{"role": "system", "content": system}] if system else []
    if note := pair.chat_note(opening):
        console.print(note, style="dim", markup=False)
    messages = list(opening)
    for line in _lines(console, decoder):
        if line == "/new":
            messages = list(opening)
            console.print("A new conversation.", style="dim")
            continue
        messages.append({"role": "user", "content": line})
        try:
            answer = _answer(pair, decoder, params, max_tokens, messages, console)
        except LookaheadError as error:
            console.print(str(error), style="red", markup=False)
            messages.pop()
            continue
        if answer:
            decoder.expect(pair.encode_next(messages, answer))
        messages.append({"role": "assistant", "content": answer})
    decoder.expect()  # nobody asks any more: what was read goes to the disk, where it is to be kept there
    for _ in decoder.settle():
        pass


def _lines(console: Console, decoder: SpeculativeDecoder) -> Iterator[str]:
    """What a person types, one stripped line at a time, up to /quit or the end of input. While they do, what comes next
    is read as far as it is known. Raises KeyboardInterrupt."""
    while True:
        try:
            console.print("\n[bold cyan]>[/bold cyan] ", end="")
            for _ in decoder.settle():
                if _has_typed():
                    break
            line = console.input().strip()
        except EOFError:
            console.print()
            return
        except KeyboardInterrupt:
            console.print()  # the terminal's ^C stands in the line of the prompt
            raise
        if line == "/quit":
            return
        if line:
            yield line


def _has_typed() -> bool:
    """Whether a line, or the end of input, is there to be taken; so too where that cannot be asked."""
    try:
        return bool(select.select([sys.stdin], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _answer(
    pair: ModelPair,
    decoder: SpeculativeDecoder,
    params: SamplingParams,
    max_tokens: int,
    messages: list[dict[str, str]],
    console: Console,
) -> str:
    """Stream one answer; Ctrl-C ends it between two rounds and keeps what was said so far."""
    printer = AnswerPrinter(console)
    text = ""
    with StopRequest() as stop, StageProgress() as progress:
        prompt_ids = pair.encode_chat(messages)
        events = decoder.stream(prompt_ids, params, max_tokens, should_cancel=stop.asked)
        for event in progress.follow_prefill(events):
            printer.show(event)
            if isinstance(event, GenerationFinished):
                told = ["Stopped."] if event.finish_reason == "cancelled" else []
                told += [f"{name} {value}" for name, value in stats_lines(event.stats)]
                told += [reading(event.prompt_tokens, event.cached_tokens)] if event.cached_tokens else []
                console.print(" · ".join(told), style="dim")
            elif isinstance(event, TextDelta):
                text += event.text
    return text
