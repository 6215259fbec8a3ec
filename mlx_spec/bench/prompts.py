"""The prompts that ship with the engine for measuring, by kind: one file of `resources/bench/` each."""

import tomllib
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Final

from mlx_spec.machine.resources import resources_folder

KINDS: Final = ("chat", "code", "copy-edit", "translation", "list", "prose", "long")
"""`long` is a context of about 4,000 tokens."""
EDITS: Final = "edit"
"""A file of 60 lines to be written again with three changes: for `bench --predicted` alone."""
_SHORT_KINDS: Final = ("chat", "code", "list", "prose")


@dataclass(frozen=True, slots=True)
class BenchPrompt:
    """One user message. `index` counts within its kind."""

    kind: str
    index: int
    text: str


def prompts_of(kind: str, count: int | None = None) -> list[BenchPrompt]:
    """The first `count` prompts of a kind in `KINDS`, or of `EDITS`; None for all."""
    texts = tomllib.loads((resources_folder() / "bench" / f"{kind}.toml").read_text(encoding="utf-8"))["prompts"]
    return [BenchPrompt(kind, index, str(text).strip()) for index, text in enumerate(texts[:count])]


@dataclass(frozen=True, slots=True)
class Edit:
    """What a prompt of `EDITS` is about: a file, and the same with its changes."""

    file: str
    changed: str


def edits() -> list[Edit]:
    """Those of all prompts of `EDITS`, by their index."""
    known = tomllib.loads((resources_folder() / "bench" / f"{EDITS}.toml").read_text(encoding="utf-8"))
    found = []
    for prompt, changes in zip(known["prompts"], known["changes"], strict=True):
        file = changed = str(prompt).strip().partition("\n\n")[2]
        for before, after in changes:
            changed = changed.replace(before, after)
        found.append(Edit(file, changed))
    return found


def bench_prompts(count: int) -> list[str]:
    """`count` short prompts of several kinds, in turns; fewer where there are not so many."""
    turns = zip_longest(*(prompts_of(kind) for kind in _SHORT_KINDS))
    return [prompt.text for prompt in chain.from_iterable(turns) if prompt is not None][:count]
