"""`mlx-spec service`: the server at every log-in. `agent` is what both systems are asked; `launchd` and `systemd` know
their files and their commands."""
