"""`mlx-spec models search`: which models there are."""

from typing import Annotated

import typer

from mlx_spec.cli.commands.models.options import Endpoint
from mlx_spec.cli.terminal.json_output import AsJson, write_json


def search(
    words: Annotated[list[str], typer.Argument(help="Words, owner/name, or the address of a model's page.")],
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Look for models: known pairs first, then what is installed, then what the Hub has."""
    from mlx_spec.models.library.access import hub_access
    from mlx_spec.models.library.search import search as look

    found = look(" ".join(words), hub_access(endpoint=endpoint))
    if as_json:
        write_json(found.to_dict())
        return
    from mlx_spec.cli.commands.models.tables import print_findings

    print_findings(found)
