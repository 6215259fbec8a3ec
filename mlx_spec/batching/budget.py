"""The tokens of one step: who has how many of them, and how far a prompt is read with what is left.

A prompt is read in whole passes, which begin and end at places of its own (`PromptPasses`), whatever the budget: so the
bits that are read do not depend on the load. What an answer had written before it lost its cache is read in passes of
its own, behind the prompt.
"""

from collections.abc import Callable

from mlx_spec.prompt_passes import PromptPasses, Turns


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


def chunk_end(start: int, prompt_end: int, end: int, passes: PromptPasses, turns: Turns = ()) -> int:
    """Where the pass that begins at `start` ends: where passes over the prompt do, at the prompt's end, or at `end`."""
    return passes.end(start, min(end, prompt_end) if start < prompt_end else end, turns)


def reading_end(start: int, prompt_end: int, end: int, allowance: int, passes: PromptPasses, turns: Turns = ()) -> int:
    """How far whole passes come from `start` with an allowance of tokens; `start` where not even one fits."""
    stop = start
    while stop < end and (following := chunk_end(stop, prompt_end, end, passes, turns)) - start <= allowance:
        stop = following
    return stop


def reading_within(
    start: int,
    prompt_end: int,
    end: int,
    budget_ms: float,
    reading_ms: Callable[[int], float],
    passes: PromptPasses,
    turns: Turns = (),
) -> int:
    """How many tokens from `start` on can be read in `budget_ms`, pass by pass, each of which takes what it takes
    alone: one pass at least."""
    stop, left_ms = start, budget_ms
    while stop < end:
        following = chunk_end(stop, prompt_end, end, passes, turns)
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


def usable_prefix(found_tokens: int, prompt_tokens: int, passes: PromptPasses, turns: Turns = ()) -> int:
    """How much of what was found of a prompt counts as read: whole passes, as a cold run would make them, and not the
    last token, which the first round scores."""
    return passes.last_begin(min(found_tokens, prompt_tokens - 1), turns)
