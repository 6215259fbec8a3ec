"""`mlx-spec hosts follow`: what `mlx-spec serve --hosts` starts on each machine but the first. Nobody types it."""


def follow() -> None:
    """Be a rank of a group, as a line of the input says, until its leader ends."""
    from mlx_spec.server.group.following import follow_leader

    follow_leader()
