"""The terminal's view of an answer: tokens coloured as they are accepted or corrected, then the statistics."""

from collections import deque
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlx_spec.events import Event, GenerationFinished, RoundFinished, SpeculativeStats, TextDelta

# Each kind differs in colour and in decoration, so that it can be told apart without colours.
KIND_STYLES: Final = {"accepted": "green", "correction": "yellow underline", "bonus": "blue bold", "plain": "default"}


class AnswerPrinter:
    """Prints an answer as it comes. Text waits in styled pieces until the decoder says that it is final."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pieces: deque[tuple[str, str]] = deque()

    def show(self, event: Event) -> None:
        """Print what an event adds."""
        if isinstance(event, RoundFinished):
            self._pieces.extend((token.text, KIND_STYLES[token.kind]) for token in event.emitted)
        elif isinstance(event, TextDelta):
            self._write(event.text)
        elif isinstance(event, GenerationFinished):
            self._write("\n")

    def _write(self, text: str) -> None:
        """To a terminal in colours; to a file or a pipe as it is, tabs and all."""
        if self._console.is_terminal:
            self._console.print(self._styled(text), end="", soft_wrap=True, highlight=False)
        else:
            self._console.file.write(text)
        self._console.file.flush()

    def _styled(self, text: str) -> Text:
        """The next `len(text)` characters of the waiting pieces; what no token announced stays plain."""
        styled = Text()
        while text:
            piece, style = self._pieces.popleft() if self._pieces else (text, "default")
            styled.append(text[: len(piece)], style)
            if len(piece) > len(text):
                self._pieces.appendleft((piece[len(text) :], style))
            text = text[len(piece) :]
        return styled


def legend() -> Text:
    """One line that explains the colours."""
    names = {"accepted": "accepted draft", "correction": "correction", "bonus": "bonus", "plain": "plain"}
    return Text("  ").join(Text(name, KIND_STYLES[kind]) for kind, name in names.items())


def stats_table(finished: GenerationFinished) -> Table:
    """What speculation did in one answer."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in stats_lines(finished.stats):
        table.add_row(Text(name, "dim"), value)
    read = reading(finished.prompt_tokens, finished.cached_tokens)
    table.add_row(Text("prompt", "dim"), f"{read} in {finished.prefill_ms / 1e3:.2f} s")
    if (use := finished.prediction) is not None:
        stands = f"{use.accepted:,} of {use.accepted + use.rejected:,} tokens stand in the answer"
        table.add_row(Text("prediction", "dim"), stands)
    table.add_row(Text("seed", "dim"), f"{finished.seed}  (repeats this answer)")
    return table


def reading(prompt_tokens: int, cached_tokens: int) -> str:
    """How much of a prompt was read, and of how much, where earlier answers had read some of it."""
    if not cached_tokens:
        return f"{prompt_tokens} tokens"
    return f"read {prompt_tokens - cached_tokens:,} of {prompt_tokens:,} tokens"


def stats_lines(stats: SpeculativeStats) -> list[tuple[str, str]]:
    """The counters in words."""
    lines = [
        ("speed", f"{stats.tokens_per_second:.1f} tokens/s ({stats.total_tokens_generated} tokens)"),
        ("tokens a round", f"{stats.mean_accepted_length:.2f} over {stats.rounds} rounds"),
    ]
    if stats.draft_tokens:
        lines += [
            ("acceptance", f"{stats.acceptance_rate:.0%} ({stats.accepted_tokens} of {stats.tested_tokens} tested)"),
            ("target passes saved", f"{stats.target_passes_saved} of {stats.total_tokens_generated}"),
            ("time", f"draft {stats.draft_time_ms / 1e3:.2f} s, target {stats.target_time_ms / 1e3:.2f} s"),
        ]
    if stats.wire_time_ms:
        lines.append(("wire", f"{stats.wire_time_ms / 1e3:.2f} s between the machines"))
    if not stats.lossless:
        lines.append(("exactness", "lossy: the acceptance rule changes what the target would say"))
    elif stats.exactness == "strict":
        lines.append(("exactness", "strict: no pass was wider than what keeps rows apart"))
    elif stats.nearest_tie is not None:
        lines.append(("exactness", f"fast: the nearest tie was {stats.nearest_tie:.2g}"))
    elif stats.exactness == "fast":
        lines.append(("exactness", "fast: rounding may decide where two tokens are nearly tied"))
    if stats.speedup is not None:
        lines.append(("against plain", f"{stats.speedup:.2f}x (measured step {stats.plain_step_ms:.0f} ms)"))
    return lines
