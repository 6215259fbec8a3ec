"""Runs the Metal text that MLX generates on a CPU, as the checks of docs/kernels.md need it. Test support only."""
