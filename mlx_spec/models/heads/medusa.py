"""Medusa heads (Cai et al. 2024, arXiv 2401.10774): for each token ahead a small residual block, all from one state."""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from mlx_spec.models.taps import LAST


class ResidualBlock(nn.Module):  # type: ignore[misc]  # mypy sees MLX's classes as Any
    """x + SiLU(W x + b)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, hidden, bias=True)

    def __call__(self, x: mx.array) -> mx.array:
        """`[n, hidden]` to the same."""
        changed: mx.array = nn.silu(self.linear(x))
        return x + changed


class MedusaHeads(nn.Module):  # type: ignore[misc]
    """`count` heads, each of `depth` residual blocks and a vocabulary matrix: parameters `heads.{head}.{block}.…`.

    Head k reads the target's last state at a position and guesses the token k + 2 places on; the one next to it is the
    target's own to say.
    """

    def __init__(self, count: int, depth: int, hidden: int, vocab_size: int) -> None:
        super().__init__()
        self.heads = [
            [*(ResidualBlock(hidden) for _ in range(depth)), nn.Linear(hidden, vocab_size, bias=False)]
            for _ in range(count)
        ]

    @property
    def taps(self) -> tuple[int, ...]:
        """The target's state behind its final norm."""
        return (LAST,)

    @property
    def count(self) -> int:
        """How many tokens ahead there are heads for."""
        return len(self.heads)

    def logits(self, asked: Sequence[tuple[mx.array, int]]) -> list[mx.array]:
        """Logits `[count, vocab]` of the first `count` heads for a state `[hidden]`, of each `(state, count)`: a head
        scores all states at once."""
        states = mx.stack([state for state, _ in asked])
        counts = [count for _, count in asked]
        rows: list[list[mx.array]] = [[] for _ in asked]
        for place, blocks in enumerate(self.heads[: max(counts)]):
            those = [at for at, count in enumerate(counts) if count > place]
            x = states if len(those) == len(asked) else states[mx.array(those)]
            for block in blocks:
                x = block(x)
            for at, row in zip(those, mx.split(x, len(those)), strict=True):
                rows[at].append(row)
        return [mx.concatenate(one) for one in rows]
