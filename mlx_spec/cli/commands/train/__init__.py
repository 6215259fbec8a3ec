"""`mlx-spec train …`: a file for each command; `app` mounts them."""
