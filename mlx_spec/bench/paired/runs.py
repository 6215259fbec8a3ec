"""The raw material: one `PairedRun` for each answer of each side."""

from dataclasses import dataclass

from mlx_spec.bench.paired.crowd import Crowd
from mlx_spec.bench.runs import Block, Run


@dataclass(frozen=True, slots=True)
class PairedRun:
    """One side's answer to one prompt. What a mode does not measure is None.

    `seconds` are those of decoding, in which `timed_tokens` of all `tokens` came: all of them where the decoder tells
    its rounds, those after the first where only a stream of text is seen. `wall_seconds` is the whole process with
    loading, `first_text_seconds` the wait for the first text. What was said is `token_ids`, or `text` where ids are not
    told. `others` and `stolen` are shares of all cores' time, see `Crowd`. In a chat, `turn` counts from 1, and
    `cached_tokens` of the turn's `prompt_tokens` were known from an earlier one.
    """

    side: str
    temperature: float
    kind: str
    prompt: int
    repeat: int
    tokens: int
    timed_tokens: int
    seconds: float
    rounds: int | None = None
    wall_seconds: float | None = None
    first_text_seconds: float | None = None
    token_ids: tuple[int, ...] | None = None
    text: str | None = None
    others: float | None = None
    stolen: float | None = None
    turn: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None

    @property
    def block(self) -> Block:
        """What it is compared within."""
        return self.temperature, self.kind, self.prompt, self.repeat

    @property
    def said(self) -> tuple[int, ...] | str | None:
        """What must be the same where words are compared."""
        return self.token_ids if self.token_ids is not None else self.text

    @property
    def speed(self) -> float | None:
        """Tokens a second of decoding; None of an answer that came all at once."""
        return self.timed_tokens / self.seconds if self.timed_tokens > 0 and self.seconds > 0 else None

    @property
    def tokens_per_round(self) -> float | None:
        """None where nobody tells rounds."""
        return self.tokens / self.rounds if self.rounds and self.tokens else None

    @property
    def process_rate(self) -> float | None:
        """Whole processes a second."""
        return 1 / self.wall_seconds if self.wall_seconds else None

    @property
    def first_text_rate(self) -> float | None:
        """First texts a second."""
        return 1 / self.first_text_seconds if self.first_text_seconds else None


def in_process(run: Run, crowd: Crowd, side: str | None = None) -> PairedRun:
    """A contender's answer in this process, as that of a `side`: by its own name unless another is given."""
    return PairedRun(
        side or run.contender,
        *run.block,
        tokens=run.tokens,
        timed_tokens=run.tokens,
        seconds=run.seconds,
        rounds=run.rounds,
        token_ids=run.token_ids,
        others=crowd.others,
        stolen=crowd.stolen,
    )
