"""`mlx-spec run`: the command, what answers one prompt, and the files that come and go."""
