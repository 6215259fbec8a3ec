"""Writes `data/head.bin` with PyTorch itself, which no test needs.

Run it as `python -m tests.decoding.drafters.record_torch_file`.
"""

from pathlib import Path


def record(path: Path) -> None:
    """Tensors of the kinds that heads are published in."""
    import torch

    numbers = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    torch.save(
        {
            "0.0.linear.weight": numbers.half(),
            "transposed": numbers.T,
            "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
            "d2t": torch.tensor([0, 5, 9]),
            "t2d": torch.tensor([True, False, True]),
        },
        path,
    )


if __name__ == "__main__":
    record(Path(__file__).with_name("data") / "head.bin")
