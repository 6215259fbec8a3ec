"""Rows that nobody asked for, in passes that take less time with them: where weights are read for 16 rows as for 12."""

from collections.abc import Sequence

from mlx_spec.decoding.answer import Answer
from mlx_spec.decoding.round import Round
from mlx_spec.lookahead.together import shared_costs


def paddings(rounds: Sequence[tuple[Answer, Round]]) -> list[int]:
    """How many rows each round's part of the pass shall have beside those that it needs; of several answers at most one
    has any. Notes in each round what it is a part of."""
    needed = [round_.draft_ids.shape[0] + 1 if round_.draft_ids is not None else 1 for _, round_ in rounds]
    padding = [0] * len(rounds)
    if len(rounds) == 1:
        answer, round_ = rounds[0]
        if round_.draft is not None:
            padding[0] = _allowed(answer, needed[0], answer.controller.rows(needed[0]) - needed[0])
    elif (shared := shared_costs([answer.controller for answer, _ in rounds])) is not None:
        wanted = shared.passes.rows(len(rounds), sum(needed)) - sum(needed)
        for at, (answer, _) in enumerate(rounds):
            if not answer.target.has_room_for(sum(needed) + wanted):
                continue
            if _allowed(answer, needed[at], wanted) == wanted and answer.target.pads_alike(needed[at], wanted):
                padding[at] = wanted
                break
    for (_, round_), rows in zip(rounds, needed, strict=True):
        round_.answers, round_.pass_rows = len(rounds), sum(needed) + sum(padding)
        round_.pass_share = rows / sum(needed)
    return padding


def _allowed(answer: Answer, count: int, padding: int) -> int:
    """As many of these rows as may stand behind `count` others: none beyond the end of the context."""
    if answer.context_length is None or not answer.target.takes_padding:
        return 0
    if not answer.target.has_room_for(count + padding):  # fewer of them would pay for nothing
        return 0
    return max(0, min(count + padding, answer.context_length - answer.position + 1) - count)
