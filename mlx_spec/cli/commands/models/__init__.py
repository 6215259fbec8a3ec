"""`mlx-spec models …`: a file for each command; `app` mounts them."""
