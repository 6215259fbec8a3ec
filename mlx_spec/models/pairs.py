"""Which draft fits which target, and why another does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlx_spec.errors import IncompatiblePairError, ModelNotFoundError

STARTER: Final = "starter"


@dataclass(frozen=True, slots=True)
class Pair:
    """A target and a draft known to fit. `note` says in one sentence what they are."""

    name: str
    target: str
    draft: str
    note: str


PAIRS: Final[dict[str, Pair]] = {
    STARTER: Pair(
        name=STARTER,
        target="SmolLM2-135M-Instruct",
        draft="starter draft",
        note="A small chat model with a draft distilled for it; it needs no model hub.",
    ),
}


def find_pair(name: str) -> Pair:
    """Return the pair called `name`. Raises ModelNotFoundError listing the known names."""
    if name not in PAIRS:
        raise ModelNotFoundError(
            f"There is no pair called '{name}'; known: {', '.join(PAIRS)}, besides a model folder, a .gguf file or a"
            " Hub id such as org/model."
        )
    return PAIRS[name]


def check_vocabularies(target: dict[str, int], draft: dict[str, int]) -> None:
    """Check that target and draft call the same ids by the same tokens; `{token: id}` of each.

    Embeddings may be padded to different sizes, so only named tokens count.

    Raises IncompatiblePairError with the first id that differs, or the sizes.
    """
    if target == draft:
        return
    names, draft_names = _by_id(target), _by_id(draft)
    for index in sorted(names.keys() & draft_names.keys()):
        if names[index] != draft_names[index]:
            raise IncompatiblePairError(
                f"The draft has another vocabulary than the target: id {index} is {draft_names[index]!r} in the draft,"
                f" but {names[index]!r} in the target."
            )
    raise IncompatiblePairError(
        f"The draft has another vocabulary than the target: {len(draft)} tokens instead of {len(target)}."
    )


def _by_id(vocabulary: dict[str, int]) -> dict[int, str]:
    return {index: token for token, index in vocabulary.items()}


def check_pair(target: Path, draft: Path, target_vocab: dict[str, int], draft_vocab: dict[str, int]) -> None:
    """Check that the models in the folders `target` and `draft` share a vocabulary.

    Raises IncompatiblePairError with the reason, naming both folders.
    """
    try:
        check_vocabularies(target_vocab, draft_vocab)
    except IncompatiblePairError as error:
        raise IncompatiblePairError(f"{draft.name} cannot draft for {target.name}. {error}") from None
