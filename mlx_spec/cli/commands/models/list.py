"""`mlx-spec models list`: the models on this machine."""

import typer

from mlx_spec.cli.terminal.json_output import AsJson, write_json


def list_models(as_json: AsJson = False) -> None:
    """List the models on this machine, whichever tool fetched them, with what they take and when they were used."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.cache import installed_models, total_bytes

    access = hub_access()
    models = installed_models(access)
    if as_json:
        write_json([model.to_dict() for model in models])
        return
    if not models:
        typer.echo(
            "No model is here yet: `mlx-spec models pull` fetches one, `mlx-spec generate` the starter.", err=True
        )
        return
    from mlx_spec.cli.commands.models.tables import print_installed

    print_installed(models, total_bytes(access))
