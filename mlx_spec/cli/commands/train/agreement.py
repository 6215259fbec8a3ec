"""How well a draft agrees with its target, as JSON has it."""

import math

from mlx_spec.training.evaluate import Agreement


def numbers(agreement: Agreement) -> dict[str, object]:
    """An agreement as plain numbers for `--json`; an infinite KL is null."""
    kl = (agreement.divergence.mean, agreement.divergence.error)
    return {
        "answers": agreement.answers,
        "dialogues": agreement.dialogues,
        "top1": [agreement.top1.mean, agreement.top1.error],
        "sum_min": {str(heat): [value.mean, value.error] for heat, value in agreement.overlap.items()},
        "kl": [value if math.isfinite(value) else None for value in kl],
    }
