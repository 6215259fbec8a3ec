"""What a machine may read of a command: one JSON value on stdout."""

import json
import sys
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for each event.")]


def write_json(value: Any) -> None:
    """Print `value` on a line of its own."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
