"""Rounds made up for tests."""

from app.engine.protocol import DraftedToken, EmittedToken, Round


def make_round(index: int, num_accepted: int, num_drafted: int, round_ms: float = 100.0) -> Round:
    """A round of a chain: so many accepted, then one rejected, then untested ones."""
    drafted = [DraftedToken("x", 0.5, 0.5, "accepted") for _ in range(num_accepted)]
    drafted += [DraftedToken("y", 0.1, 0.5, "rejected")][: num_drafted - num_accepted]
    drafted += [DraftedToken("z", None, 0.5, "untested") for _ in range(num_drafted - len(drafted))]
    emitted = [EmittedToken("x", "accepted", 0.5, 0.5, i) for i in range(num_accepted)]
    emitted += [EmittedToken("w", "bonus" if num_accepted == num_drafted else "correction", 0.5, None, 9)]
    return Round(index, num_drafted, 4, tuple(drafted), tuple(emitted), 10, 80, round_ms)
