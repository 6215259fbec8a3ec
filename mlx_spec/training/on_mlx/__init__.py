"""Training with MLX."""
