"""What theory expects of a lookahead: Leviathan et al. 2023."""


def expected_speedup(alpha: float, gamma: int, cost_ratio: float) -> float:
    """Leviathan et al. 2023, Theorem 3.8: (1 - alpha^(gamma+1)) / ((1 - alpha) (gamma c + 1)).

    `alpha` is the acceptance rate in [0, 1], `cost_ratio` c the time of a draft pass over that of a target pass; a
    verify pass is taken to cost as much as a plain step, whatever its length.
    """
    tokens = gamma + 1.0 if alpha == 1 else (1 - alpha ** (gamma + 1)) / (1 - alpha)
    return tokens / (gamma * cost_ratio + 1)


def should_use_speculative(alpha: float, cost_ratio: float, *, longest: int = 8) -> bool:
    """Whether any length from 1 to `longest` promises more than plain decoding, by the theorem of `expected_speedup`.

    With passes that cost the same whatever their length, that is alpha > cost_ratio (ibid., Corollary 3.9). The cost
    controller asks the same of measured times, round by round.
    """
    return any(expected_speedup(alpha, gamma, cost_ratio) > 1 for gamma in range(1, longest + 1))
