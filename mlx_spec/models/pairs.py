"""Which draft fits which target, and why another does not."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a model calls its ids: `ids` maps each token to its id; the embedding has `rows`, often padded."""

    model_name: str
    ids: dict[str, int]
    rows: int


def check_pair(target: Vocabulary, draft: Vocabulary) -> None:
    """Check that target and draft call the same ids by the same tokens, and that the draft can read all of them.

    Embeddings may be padded to different sizes, so only named tokens count.

    Raises IncompatiblePairError with the first id that differs, or the sizes.
    """
    beginning = f"{draft.model_name} cannot draft for {target.model_name}"
    if target.ids != draft.ids:
        names, draft_names = _by_id(target), _by_id(draft)
        for index in sorted(names.keys() & draft_names.keys()):
            if names[index] != draft_names[index]:
                raise IncompatiblePairError(
                    f"{beginning}: their vocabularies differ, id {index} is {draft_names[index]!r} in the draft but"
                    f" {names[index]!r} in the target."
                )
        raise IncompatiblePairError(
            f"{beginning}: its vocabulary has {len(draft.ids)} tokens, the target's has {len(target.ids)}."
        )
    needed = max(target.ids.values(), default=-1) + 1
    if draft.rows < needed <= target.rows:
        raise IncompatiblePairError(
            f"{beginning}: its embedding has {draft.rows} rows, too few for the target's {needed} tokens."
        )


def _by_id(vocabulary: Vocabulary) -> dict[int, str]:
    return {index: token for token, index in vocabulary.ids.items()}
