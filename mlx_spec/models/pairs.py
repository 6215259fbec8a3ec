"""Which draft fits which target, in a sentence a person understands, and which pairs are known to be good."""

import difflib
import re
import tomllib
from dataclasses import dataclass
from typing import Final, Literal

from mlx_spec.errors import IncompatiblePairError, ModelNotFoundError
from mlx_spec.machine.resources import resources_folder
from mlx_spec.models.hub_names import looks_like_hub_id, split_revision
from mlx_spec.models.staging import human_bytes
from mlx_spec.models.text.token_map import shared_part
from mlx_spec.models.text.vocabulary import Vocabulary, token_bytes

STARTER: Final = "starter"
LEAST_SHARED: Final = 0.1
"""Of the target's tokens: with fewer the draft could hardly ever propose the right one."""

FitKind = Literal["same", "bridged", "no"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A target and a draft known to fit. `note` says in one sentence what they are.

    `kind` is "bridged" where they have two vocabularies, "head" where the draft reads the target's states. `verified`
    says that both ids were found in use; see resources/pairs.toml for how far that goes. `published` is a speed-up that
    somebody measured with it, on which engine and machine, and where they say so; empty where none is known.
    """

    name: str
    target: str
    draft: str
    note: str
    kind: Literal["same", "bridged", "head"] = "same"
    verified: bool = False
    published: str = ""


def read_pairs() -> dict[str, Pair]:
    """The pairs of resources/pairs.toml by name, in its order. Raises LookaheadError where the resources are lost."""
    table = tomllib.loads((resources_folder() / "pairs.toml").read_text(encoding="utf-8"))
    return {entry["name"]: Pair(**entry) for entry in table["pair"]}


PAIRS: Final[dict[str, Pair]] = read_pairs()


def find_pair(name: str) -> Pair:
    """Return the pair called `name`. Raises ModelNotFoundError naming those that come near."""
    if name not in PAIRS:
        near = [known for known in difflib.get_close_matches(name, PAIRS, n=4) if known != STARTER]
        raise ModelNotFoundError(
            f"There is no pair called '{name}'; known: {', '.join([STARTER, *near])} and what `mlx-spec models pairs`"
            " lists, besides a model folder, a .gguf file or a Hub id such as org/model."
        )
    return PAIRS[name]


def recommend(target: str) -> list[Pair]:
    """The known pairs of a target, the better first; none where nothing is known of it.

    `target` is a Hub id, a file or folder name, or the name of a pair. Its publisher and quantisation do not matter.
    """
    name = PAIRS[target].target if target in PAIRS else target
    family = _family(split_revision(name)[0] if looks_like_hub_id(name) else name)
    return [pair for pair in PAIRS.values() if _family(pair.target) == family]


# What names add to a model's own: quantisation, format, tuning, the number of a part, and the date or revision of a
# conversion.
_ADDITIONS: Final = re.compile(
    r"[-_.](\d{5}-of-\d{5}|\d+bit|bf16|fp16|fp8|f16|f32|mlx|gguf|dwq|qat|awq|gptq|mxfp4|i?q\d(_\w+)*|\d{4,8}|instruct|chat|it)"
    r"(?=[-_.]|$)"
)


def _family(name: str) -> str:
    """A model's name without publisher, quantisation and tuning: "Qwen2.5-14B-Instruct-4bit" is "qwen2.5-14b"."""
    family = re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower().removeprefix("meta-")
    while (shorter := _ADDITIONS.sub("", family)) != family:
        family = shorter
    return family


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a draft fits a target: with the "same" vocabulary, "bridged" over two, or "no".

    `reason` is one sentence; `shared` is the part of the target's tokens that the draft has too, 0 to 1.
    """

    kind: FitKind
    reason: str
    shared: float


def fit(target: Vocabulary, draft: Vocabulary) -> Fit:
    """Compare two vocabularies, and the models' sizes where both are known."""
    # Rows beyond the named tokens are padding, which differs between sizes of one family.
    needed = max(target.ids.values(), default=-1) + 1
    same = target.contents() == draft.contents() and not draft.rows < needed <= target.rows
    shared = 1.0 if same else shared_part(target, draft)
    refused = f"{draft.model_name} cannot draft for {target.model_name}"
    if target.weights_bytes and draft.weights_bytes and draft.weights_bytes >= target.weights_bytes:
        sizes = f"{human_bytes(draft.weights_bytes)} against {human_bytes(target.weights_bytes)}"
        reason = f"{refused}: it is as big as its target ({sizes}), so drafting would take as long as answering."
        return Fit("no", reason, shared)
    if same:
        return Fit("same", f"{draft.model_name} and {target.model_name} have the same vocabulary.", shared)
    difference = _difference(target, draft)
    if shared < LEAST_SHARED:
        few = f"{_percent(shared)} of the target's tokens are shared, and at least {_percent(LEAST_SHARED)} are needed"
        return Fit("no", f"{refused}: only {few}; {difference}.", shared)
    bridged = f"{draft.model_name} has another tokenizer than {target.model_name}"
    return Fit("bridged", f"{bridged}: {_percent(shared)} of tokens shared, bridged; {difference}.", shared)


def check_pair(target: Vocabulary, draft: Vocabulary) -> Fit:
    """The `fit` of two that do. Raises IncompatiblePairError with the reason where they do not."""
    found = fit(target, draft)
    if found.kind == "no":
        raise IncompatiblePairError(found.reason)
    return found


def _difference(target: Vocabulary, draft: Vocabulary) -> str:
    """What differs, in words: ids with examples, the numbers of tokens, and the tokens that end an answer."""
    mine, theirs = target.names(), draft.names()
    both = sorted(mine.keys() & theirs.keys())
    ids = [index for index in both if token_bytes(mine[index], target.kind) != token_bytes(theirs[index], draft.kind)]
    said = []
    if ids:
        examples = [f"id {index} is {theirs[index]!r} in the draft but {mine[index]!r} in the target" for index in ids]
        more = f" ({len(ids) - 2:,} more differ)" if len(ids) > 2 else ""
        said.append(", ".join(examples[:2]) + more)
    if len(mine) != len(theirs):
        said.append(f"its vocabulary has {len(theirs):,} tokens, the target's has {len(mine):,}")
    if draft.rows < len(theirs):
        said.append(f"its embedding has {draft.rows:,} rows for {len(theirs):,} tokens")
    if target.eos_id is not None and draft.eos_id is not None:
        end, draft_end = mine.get(target.eos_id), theirs.get(draft.eos_id)
        if end != draft_end:
            said.append(f"its answers end with {draft_end!r}, the target's with {end!r}")
    return ", ".join(said)


def _percent(part: float) -> str:
    # Rounded down: 99.9 % shared is not all.
    return f"{int(part * 100)} %"
