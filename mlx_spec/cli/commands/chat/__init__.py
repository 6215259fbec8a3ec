"""`mlx-spec chat`: the command, and the conversation that it opens."""
