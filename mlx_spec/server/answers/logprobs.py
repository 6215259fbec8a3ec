"""Log-probabilities as OpenAI has them, in chats and in completions, for the tokens whose text a client gets."""

from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mlx_spec.events import GenerationFinished, LikelyToken, RoundFinished, TokenLogprob
from mlx_spec.server.answers.errors import Json

# JSON has no infinity; OpenAI says this of what cannot be.
_LEAST: Final = -9999.0


@dataclass(frozen=True, slots=True)
class PlacedToken:
    """A token, and how many characters of the text stand before its own."""

    token: TokenLogprob
    begin: int


class HeldTokens:
    """The tokens of one answer, held back for as long as their text is; what a stop string cut off is never told."""

    def __init__(self) -> None:
        self._held: deque[tuple[PlacedToken, int]] = deque()  # with where its text ends
        self._begins: list[int] = []  # of every token, whether it tells its log-probability or not
        self._said = self._shown = 0
        self.end: TokenLogprob | None = None
        """The end-of-sequence token, once it came; it is no part of the answer."""

    def add(self, round_: RoundFinished) -> None:
        """The tokens of a round."""
        for token in round_.emitted:
            end = self._said + len(token.text)
            self._begins.append(self._said)
            if token.logprob is not None:
                self._held.append((PlacedToken(token.logprob, self._said), end))
            self._said = end
        self.end = round_.end or self.end

    def take(self, text: str) -> list[PlacedToken]:
        """Those whose text is out, now that `text` is."""
        self._shown += len(text)
        count = 0
        for at, (token, end) in enumerate(self._held):
            # A part of a character goes with the text that it becomes: the character, or the mark of one that was cut.
            if end > self._shown:
                break
            count = at + 1 if token.begin < end or end < self._shown else count
        return self._taken(count)

    def take_up_to(self, end: int, begin: int = 0) -> list[PlacedToken]:
        """Those that have any text in the characters from `begin` to `end`. What came before them is given up."""
        taken = []
        while self._held and self._held[0][0].begin < end:
            token, token_end = self._held.popleft()
            if token_end > begin or token.begin >= begin:
                taken.append(token)
        return taken

    def num_in(self, spans: Sequence[tuple[int, int]]) -> int:
        """How many tokens begin in any of these stretches of characters."""
        return sum(begin <= at < end for at in self._begins for begin, end in spans)

    def finish(self, finished: GenerationFinished) -> list[PlacedToken]:
        """The others. Where a stop string ended the answer, those that have any text in it."""
        stopped = finished.finish_reason == "stop" and self.end is None
        kept = [token.begin < len(finished.text) or not stopped for token, _ in self._held]
        return self._taken(kept.index(False) if False in kept else len(kept))

    def _taken(self, count: int) -> list[PlacedToken]:
        return [self._held.popleft()[0] for _ in range(count)]


def of_chat(tokens: Sequence[PlacedToken]) -> Json:
    """The `logprobs` of a chat's choice."""
    return {"content": each_of(tokens), "refusal": None}


def each_of(tokens: Sequence[PlacedToken]) -> list[Json]:
    """The tokens one by one, with the likeliest in their places."""
    return [_named(one.token) | {"top_logprobs": [_named(top) for top in one.token.top]} for one in tokens]


def of_completion(tokens: Sequence[PlacedToken]) -> Json:
    """The `logprobs` of a completion's choice."""
    return {
        "tokens": [_shown(one.token) for one in tokens],
        "token_logprobs": [_number(one.token) for one in tokens],
        "top_logprobs": [_tops(one.token) for one in tokens],
        "text_offset": [one.begin for one in tokens],
    }


def text_of(tokens: Iterable[TokenLogprob]) -> str:
    """What a prompt's tokens say, special ones by their names."""
    return b"".join(_bytes_of(token) for token in tokens).decode(errors="replace")


def placed_in(text: str, tokens: Iterable[TokenLogprob]) -> list[PlacedToken]:
    """Where a prompt's tokens stand in its `text`. Of special tokens it may have the names, or nothing; and a tokenizer
    may have put a space in front."""
    placed, begin = [], 0
    decoder = getincrementaldecoder("utf-8")(errors="replace")  # of half a character it says nothing yet
    for token in tokens:
        placed.append(PlacedToken(token, begin))
        spelled = _bytes_of(token)
        if token.spelled is None and not text.startswith(token.text, begin):
            continue
        if begin == 0 and spelled.startswith(b" ") and not text.startswith(" "):
            spelled = spelled[1:]
        begin += len(decoder.decode(spelled))
    return placed


def _tops(token: TokenLogprob) -> dict[str, float | None] | None:
    """By the tokens' texts: the likeliest of those that are written alike, and the one that was said."""
    if token.logprob is None:
        return None
    tops: dict[str, float | None] = {}
    for one in (*token.top, token):
        tops.setdefault(_shown(one), _number(one))
    return tops


def _named(token: LikelyToken) -> Json:
    spelled = None if token.spelled is None else list(token.spelled)
    return {"token": token.text, "logprob": _number(token), "bytes": spelled}


def _shown(token: LikelyToken) -> str:
    """Its text; what is no text by itself by its bytes, as OpenAI writes them."""
    if token.spelled is None or token.spelled.decode(errors="replace").encode() == token.spelled:
        return token.text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.spelled)


def _bytes_of(token: LikelyToken) -> bytes:
    return token.text.encode() if token.spelled is None else token.spelled


def _number(token: LikelyToken) -> float | None:
    return None if token.logprob is None else max(_LEAST, token.logprob)
