"""The tokens of one step: who has how many of them, and how far a prompt is read with what is left.

**Chunks.** A prompt is read in passes that begin at multiples of the chunk from position 0, whatever was found of it
elsewhere and whatever the budget: a chunk is whole, or it ends where the prompt ends. So the bits that are read do not
depend on the load. What an answer had written before it lost its cache is read in passes of its own, behind the prompt.
Far behind in a text, where each token attends to many, a chunk may be read in several passes, at fixed places too.
"""

from collections.abc import Callable

Shorter = tuple[tuple[int, int], ...]
"""From which position on a pass reads how many tokens at most, a whole part of a chunk; ascending by position."""


class TokenBudget:
    """The tokens of one step, shared by reading and writing. A request has one share, all of it or none."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self._shares: dict[str, int] = {}

    @property
    def left(self) -> int:
        """Tokens that nobody has."""
        return self.limit - self.used

    @property
    def utilisation(self) -> float:
        """The share that is used, from 0 to 1; 0 of a budget of nothing."""
        return self.used / self.limit if self.limit else 0.0

    def share(self, request_id: str) -> int:
        """What a request has."""
        return self._shares.get(request_id, 0)

    def allocate(self, request_id: str, tokens: int) -> bool:
        """Give a request its tokens. False, and nothing changes, where they do not fit or it has its share already."""
        if tokens < 0:
            raise ValueError(f"tokens is {tokens}: a share cannot be negative.")
        if tokens > self.left or request_id in self._shares:
            return False
        self._shares[request_id] = tokens
        self.used += tokens
        return True

    def release(self, request_id: str) -> int:
        """Take a request's tokens back. Gives how many: 0 the second time."""
        tokens = self._shares.pop(request_id, 0)
        self.used -= tokens
        return tokens


def pass_tokens(start: int, chunk: int, shorter: Shorter = ()) -> int:
    """How many tokens the passes at `start` read, if nothing ends them."""
    return min([chunk, *(tokens for begin, tokens in shorter if begin <= start)])


def chunk_end(start: int, prompt_end: int, end: int, chunk: int, shorter: Shorter = (), opening: int = 0) -> int:
    """Where the pass that begins at `start` ends: at the next multiple of what passes read there, the end of the
    `opening` that all chats begin with, the prompt's end, or `end`."""
    tokens = pass_tokens(start, chunk, shorter)
    ends = [end, prompt_end if start < prompt_end else end, opening if start < opening else end]
    return min((start // tokens + 1) * tokens, *ends)


def reading_end(
    start: int, prompt_end: int, end: int, chunk: int, allowance: int, shorter: Shorter = (), opening: int = 0
) -> int:
    """How far whole passes come from `start` with an allowance of tokens; `start` where not even one fits."""
    stop = start
    while stop < end and (following := chunk_end(stop, prompt_end, end, chunk, shorter, opening)) - start <= allowance:
        stop = following
    return stop


def reading_within(
    start: int,
    prompt_end: int,
    end: int,
    chunk: int,
    budget_ms: float,
    reading_ms: Callable[[int], float],
    shorter: Shorter = (),
    opening: int = 0,
) -> int:
    """How many tokens from `start` on can be read in `budget_ms`, pass by pass, each of which takes what it takes
    alone: one pass at least."""
    stop, left_ms = start, budget_ms
    while stop < end:
        following = chunk_end(stop, prompt_end, end, chunk, shorter, opening)
        left_ms -= reading_ms(following - stop)
        if stop > start and left_ms < 0:
            break
        stop = following
    return stop - start


def reading_tokens(budget_ms: float, reading_ms: Callable[[int], float], chunk: int, most: int) -> int:
    """How many tokens can be read in `budget_ms`, by what reading so many takes: whole chunks, no more than `most`
    tokens, and one chunk where even that takes longer, as else nothing would ever be read."""
    tokens = chunk
    while tokens + chunk <= most and reading_ms(tokens + chunk) <= budget_ms:
        tokens += chunk
    return tokens


def usable_prefix(found_tokens: int, prompt_tokens: int, chunk: int, shorter: Shorter = (), opening: int = 0) -> int:
    """How much of what was found of a prompt counts as read: whole passes, as a cold run would make them, and not the
    last token, which the first round scores."""
    most = min(found_tokens, prompt_tokens - 1)
    tokens = pass_tokens(most, chunk, shorter)
    return max(most // tokens * tokens, opening if opening <= most else 0)
