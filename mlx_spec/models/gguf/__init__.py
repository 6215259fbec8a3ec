"""GGUF files: what they hold, and how they become a folder that mlx-lm loads."""
