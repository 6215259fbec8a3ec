"""Kernels of our own: each a Python module with its Metal bodies in `metal/` and a fallback in MLX's own operations."""

from typing import Final

KERNELS: Final = (
    "row_softmax",
    "verify",
    "tree_verify",
    "compact",
    "few_rows_matmul",
    "paged_attention",
    "row_attention",
)
"""Their names; each module chooses its path by `dispatch`."""
