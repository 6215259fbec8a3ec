"""Each kind of mlx-lm's caches: how the newest tokens leave it without a trace."""
