"""`mlx-spec models try`: is a pair worth having on this machine?"""

from typing import Annotated

import typer

from mlx_spec.bench.plan import RACE_S
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.json_output import AsJson, write_json
from mlx_spec.cli.terminal.options import Anyway

# MLX and the models are imported inside the command: `--help` answers at once.


def try_pair(
    pair: Annotated[str, typer.Argument(help="A pair, or a target: a folder, a .gguf file or a Hub id.")] = "starter",
    draft: Annotated[str | None, typer.Option(help="Draft for a target: a folder, a Hub id, or none.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to race.", min=0.1)] = RACE_S,
    anyway: Anyway = False,
    as_json: AsJson = False,
) -> None:
    """Race a pair for 20 seconds: plain decoding and speculation in turn. The result is remembered for this machine."""
    from mlx_spec.bench.race import race
    from mlx_spec.cli.terminal.progress import StageProgress
    from mlx_spec.models.races import remember

    with StageProgress() as progress:
        loaded = load_with_consent(pair, draft, progress, anyway=anyway)
        result = race(loaded, seconds, progress.tell)
    remember(result)
    if as_json:
        write_json(result.to_dict())
        return
    with_draft = f" with {result.draft}" if result.draft else ""
    typer.echo(f"{result.target}{with_draft}: {result.ratio:.2f} times plain decoding on this machine.")
    typer.echo(
        f"{result.rate:.1f} against {result.plain_rate:.1f} tokens a second, over {result.answers} answers of"
        f" {result.tokens} tokens; {'the same words' if result.same_words else 'not all the same words (a near-tie)'}."
    )
