"""`mlx-spec models show`: what a model of the Hub would take here."""

from typing import Annotated

import typer

from mlx_spec.cli.commands.models.options import Endpoint, Name
from mlx_spec.cli.terminal.json_output import AsJson, write_json

Context = Annotated[int | None, typer.Option(help="Tokens of context to reckon with.", min=1, show_default="8192")]


def show(name: Name, context: Context = None, endpoint: Endpoint = None, as_json: AsJson = False) -> None:
    """Say what a model of the Hub would take here: bytes to fetch, memory, licence, and whether it is known."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.judge import judge_named

    judgement = judge_named(name, hub_access(endpoint=endpoint), context_tokens=context)
    if as_json:
        write_json(judgement.to_dict())
        return
    from mlx_spec.cli.commands.models.tables import print_judgement

    print_judgement(judgement)
