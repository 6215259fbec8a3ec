"""`mlx-spec models import`: a .gguf file, or the starter target, in the data folder."""

from pathlib import Path
from typing import Annotated

import typer


def import_file(
    file: Annotated[str, typer.Argument(help="A .gguf file, or `starter`.")] = "starter",
    bits: Annotated[
        int | None, typer.Option(help="Quantise to 4 or 8 bits, matrix by matrix: for files larger than memory.")
    ] = None,
) -> None:
    """Import a model into the data folder."""
    from mlx_spec.cli.terminal.progress import StageProgress
    from mlx_spec.errors import ConfigError
    from mlx_spec.models.gguf.importing import weight_error_of
    from mlx_spec.models.gguf.parts import is_gguf, model_name
    from mlx_spec.models.loading import load_pair
    from mlx_spec.models.named import imported_folder

    if bits is not None and (bits not in (4, 8) or not is_gguf(Path(file))):
        raise ConfigError("bits", bits, "4 or 8, and the model a .gguf file")
    with StageProgress() as progress:
        if bits is None:
            typer.echo(f"{load_pair(file, progress=progress.tell).target_name} is ready.")
            return
        folder = imported_folder(Path(file).expanduser(), bits=bits, progress=progress.tell)
    error = weight_error_of(folder)
    lost = "" if error is None else f" Its weights differ from the file's by {error:.1%} (root mean square)."
    typer.echo(f"{model_name(Path(file))} is ready with {bits} bits a weight in {folder}.{lost}")
