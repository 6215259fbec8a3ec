"""Several machines that answer as one: who they are, how they are started, and the words between them. No MLX."""
