"""`mlx-spec hosts answer`: what `hosts check` runs on another machine, over SSH."""

import json
import sys

import typer


def answer_questions() -> None:
    """Answer questions, a JSON object a line, until there are no more."""
    from mlx_spec.hosts.finding.questions import answer

    for line in sys.stdin:
        try:
            question = json.loads(line)
        except ValueError:
            question = None
        told = answer(question) if isinstance(question, dict) else {"problem": "a question is one JSON object a line"}
        typer.echo(json.dumps(told))
        sys.stdout.flush()
