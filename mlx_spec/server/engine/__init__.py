"""The one thread that owns MLX: its jobs, its memory, and letting models go."""
