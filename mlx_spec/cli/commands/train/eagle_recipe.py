"""What `train eagle` and `train states` both say of a head."""

from typing import Annotated

import typer

from mlx_spec.training.heads.recipe import EagleRecipe

TapsOption = Annotated[
    str | None, typer.Option(help="Layers to read, such as 1,14,26; default: near the start, the middle, near the end.")
]


def recipe_of(seed: int, taps: str | None, draft_tokens: int) -> EagleRecipe:
    """The recipe with what both commands need. Raises typer.BadParameter for layers that are no numbers."""
    try:
        layers = tuple(int(layer) for layer in taps.split(",")) if taps else ()
    except ValueError:
        raise typer.BadParameter(
            f"{taps!r} is no list of layer numbers such as 1,14,26.", param_hint="--taps"
        ) from None
    return EagleRecipe(seed=seed, taps=layers, draft_tokens=draft_tokens)
