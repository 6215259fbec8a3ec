"""What a decoder tells while it works: one small frozen class an event, and the counters that add them up.

The order of one answer is: PrefillProgress (one or more), PromptScored where that was asked, then for every round one
RoundFinished and, when text became final, one TextDelta, and at last exactly one GenerationFinished. Among many answers
there may be Waiting before all of that, Preempted and later Resumed in between, and AnswerFailed in the place of all
that would follow.
"""

from dataclasses import dataclass
from typing import Literal

from mlx_spec.errors import LookaheadError

DraftState = Literal["accepted", "rejected", "untested"]
TokenKind = Literal["accepted", "correction", "bonus", "plain"]
FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class SpeculativeStats:
    """What speculation did and cost, since the counters were last reset.

    `draft_tokens` were proposed, `tested_tokens` reached the acceptance test (a token after a rejection never
    does), `accepted_tokens` passed. `lossless` is False once a lossy acceptance rule (`typical`) has judged a draft:
    from then on the words are not the target's own. `exactness` is strict where no pass of the target was wider than
    was measured to leave each row the bits that it has alone, None where there was none; where any was `fast`, a word
    may differ from plain decoding's, though only where two tokens are nearly tied: `nearest_tie` is the least by which
    a token beat the next best one, in logits with their noise (where the words follow `coupled` or temperature 0).
    `wire_time_ms` is the part of `target_time_ms` that a target over several machines spends between them, as it was
    measured for its collectives; 0 on one machine. `prompt_tokens` are those of the prompts that were read,
    `cached_tokens` how many of them earlier answers had read. Times are wall-clock milliseconds of the rounds, prompt
    processing excluded.

    A round may be shared with other answers: then `total_time_ms` is how long it took for all of them, as nobody gets
    his words sooner, while of `draft_time_ms` and `target_time_ms` each has a share, by forward passes of the draft and
    by rows of the target's pass. So these two add up to the machine's time, and the total, over all answers, to the
    time that each of them took. `shared_tokens` are those of such rounds, and `shared_plain_time_ms` is what the same
    answers would have waited for them without any drafts: `speedup` tells what drafting brings, not what sharing does.
    """

    draft_tokens: int = 0
    tested_tokens: int = 0
    accepted_tokens: int = 0
    rounds: int = 0
    target_forward_passes: int = 0
    draft_forward_passes: int = 0
    total_tokens_generated: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    draft_time_ms: float = 0.0
    target_time_ms: float = 0.0
    total_time_ms: float = 0.0
    wire_time_ms: float = 0.0
    plain_step_ms: float | None = None
    lossless: bool = True
    shared_tokens: int = 0
    shared_plain_time_ms: float = 0.0
    exactness: Literal["strict", "fast"] | None = None
    nearest_tie: float | None = None

    @property
    def acceptance_rate(self) -> float:
        """Accepted / tested, 0 when nothing was tested."""
        return self.accepted_tokens / self.tested_tokens if self.tested_tokens else 0.0

    @property
    def mean_tokens_per_pass(self) -> float:
        """Tokens generated per forward pass of the target."""
        return self.total_tokens_generated / self.target_forward_passes if self.target_forward_passes else 0.0

    @property
    def mean_accepted_length(self) -> float:
        """Tokens emitted per round, the correction or bonus token included."""
        return self.total_tokens_generated / self.rounds if self.rounds else 0.0

    @property
    def target_passes_saved(self) -> int:
        """Target passes that plain decoding would have needed on top."""
        return max(0, self.total_tokens_generated - self.target_forward_passes)

    @property
    def tokens_per_second(self) -> float:
        """Tokens generated per second of rounds: of several answers at once, what one of them gets."""
        return self.total_tokens_generated * 1000.0 / self.total_time_ms if self.total_time_ms else 0.0

    @property
    def speedup(self) -> float | None:
        """Against a *calibrated* plain step, of as many answers as shared the round; None where none was measured:
        never a guess."""
        if self.plain_step_ms is None or not self.total_time_ms:
            return None
        alone = self.total_tokens_generated - self.shared_tokens
        return (alone * self.plain_step_ms + self.shared_plain_time_ms) / self.total_time_ms

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Every counter and every derived rate, ready for JSON."""
        counters = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return counters | {
            "acceptance_rate": self.acceptance_rate,
            "mean_tokens_per_pass": self.mean_tokens_per_pass,
            "mean_accepted_length": self.mean_accepted_length,
            "target_passes_saved": self.target_passes_saved,
            "tokens_per_second": self.tokens_per_second,
            "speedup": self.speedup,
        }


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that a model might have said instead, or did say, and its probability."""

    token_id: int
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class LikelyToken:
    """A token by itself: its own text, the bytes that it `spelled` (None for one that is no text), and the logarithm of
    its probability in the target's own distribution, before biases, penalties, temperature and filters. None where
    nothing comes before it."""

    token_id: int
    text: str
    spelled: bytes | None
    logprob: float | None


@dataclass(frozen=True, slots=True)
class TokenLogprob(LikelyToken):
    """A token that was said, with the likeliest in its place, as many as were asked for and the likeliest first."""

    top: tuple[LikelyToken, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftedToken:
    """One proposed token. `p` and `q` are the target's and the draft's probability of it; `p` is None when untested.

    It was proposed to follow the `parent`-th token of its round's draft; -1 is the text itself.
    """

    token_id: int
    text: str
    p: float | None
    q: float | None
    state: DraftState
    parent: int


@dataclass(frozen=True, slots=True)
class EmittedToken:
    """One token of the answer. `text` is what it made final: empty while a character is incomplete.

    Joined, these texts are the answer, but for a stop string
    and for the replacement character of a character that the end of the answer cut in two.
    `position` counts from the first token of the prompt. `q` is None where nothing was drafted. `target_top` and
    `draft_top` are what the target and the draft found likeliest in its place, where the request asked for that;
    likewise its `logprob`. `margin` is by how much it beat the next best token, in logits with their noise: told in
    fast answers.
    """

    token_id: int
    text: str
    kind: TokenKind
    p: float
    q: float | None
    position: int
    target_top: tuple[Alternative, ...] = ()
    draft_top: tuple[Alternative, ...] = ()
    logprob: TokenLogprob | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """Sent when a chunk of the prompt has been processed. `cached_tokens` of the processed ones an earlier answer had
    read."""

    processed_tokens: int
    total_tokens: int
    elapsed_ms: float
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class PromptScored:
    """Sent when a prompt was read whose tokens' log-probabilities were asked for: all of them, in order."""

    tokens: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """Sent when a round (one draft, one verify) is over. `emitted` are the tokens it added to the answer.

    `lookahead` is how many tokens were asked of `drafter` (None: plain decoding), and `reason` why, in words. The draft
    may have proposed fewer, where it grew unsure. `parked`: it could have drafted, and expected no gain of that.
    `plain_step_ms` is what a plain step is estimated to cost now, None where none was ever measured. Where the round
    was shared with other answers, `round_ms` and `plain_step_ms` are times of all of them, `draft_ms` and `verify_ms`
    this one's share: see `SpeculativeStats`. `wire_ms` is the part of `verify_ms` that went over the wire to other
    machines, 0 on one. `end` is the end-of-sequence token that the round ended the answer with,
    where log-probabilities were asked for; it is no part of the answer. `end_margin` is the `margin` of that token.
    """

    index: int
    drafter: str | None
    lookahead: int
    reason: str
    next_lookahead: int
    drafted: tuple[DraftedToken, ...]
    emitted: tuple[EmittedToken, ...]
    draft_ms: float
    verify_ms: float
    round_ms: float
    parked: bool = False
    plain_step_ms: float | None = None
    wire_ms: float = 0.0
    end: TokenLogprob | None = None
    end_margin: float | None = None

    @property
    def branched(self) -> bool:
        """Whether the draft was a tree, not a chain."""
        return any(token.parent != i - 1 for i, token in enumerate(self.drafted))

    @property
    def accepted_count(self) -> int:
        """How many drafted tokens were accepted."""
        return sum(token.state == "accepted" for token in self.drafted)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Sent when text became final: never half a character, never the beginning of a stop string."""

    text: str


@dataclass(frozen=True, slots=True)
class PredictionUse:
    """How many tokens of what was predicted are `accepted`, which stand in the answer, and how many are `rejected`,
    which do not."""

    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True)
class GenerationFinished:
    """Sent once, last. `token_ids` leaves out the end-of-sequence token, `text` what a stop string cut off.

    The tokens that spelled a stop string are in `token_ids`: a string can begin inside a token, the ids cannot.
    `cached_tokens` of the prompt an earlier answer had read. `prediction` is what came of what was predicted, None
    where nothing was. `stop_string` is the one that ended it, None where none did.
    """

    finish_reason: FinishReason
    token_ids: tuple[int, ...]
    text: str
    seed: int
    prompt_tokens: int
    prefill_ms: float
    stats: SpeculativeStats
    cached_tokens: int = 0
    prediction: PredictionUse | None = None
    stop_string: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Sent while a request waits for its turn, whenever the number `ahead` of those that come before it has changed."""

    ahead: int


@dataclass(frozen=True, slots=True)
class Preempted:
    """Sent when an answer steps aside because memory ran out: it goes on later, with the same words. `how`: what it had
    read was copied away (swap), or will be read again (recompute)."""

    how: Literal["swap", "recompute"]


@dataclass(frozen=True, slots=True)
class Resumed:
    """Sent when an answer that stepped aside goes on."""


@dataclass(frozen=True, slots=True)
class AnswerFailed:
    """Sent last, in the place of GenerationFinished, when one of many answers cannot go on; the others do."""

    error: LookaheadError


Event = (
    PrefillProgress
    | PromptScored
    | RoundFinished
    | TextDelta
    | GenerationFinished
    | Waiting
    | Preempted
    | Resumed
    | AnswerFailed
)
