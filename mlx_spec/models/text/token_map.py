"""Two vocabularies side by side: which tokens are the same text, and how one is written with the other.

Timor et al. 2025 (arXiv 2502.05202), the intersection of vocabularies: two tokens are the same when their bytes are.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from mlx_spec.models.text.speller import Speller
from mlx_spec.models.text.vocabulary import Vocabulary, by_bytes, vocabulary_of


def shared_tokens(target: Vocabulary, draft: Vocabulary) -> dict[int, int]:
    """The draft's id of each of the target's ids that both have, one to one.

    Text is the same when its bytes are; where several tokens spell them (sentencepiece's "a" and "<0x61>"), text tokens
    pair first. Special tokens pair by what they do, end an answer or begin a text, and else by their name.
    """
    mine, theirs = (by_bytes(vocabulary, vocabulary.spelled()) for vocabulary in (target, draft))
    return _paired(target, draft, mine, theirs)


def shared_part(target: Vocabulary, draft: Vocabulary) -> float:
    """How much of the target's vocabulary the draft has too, 0 to 1, by number of tokens."""
    return len(shared_tokens(target, draft)) / max(1, len(target.ids))


def _paired(
    target: Vocabulary, draft: Vocabulary, mine: dict[bytes, list[int]], theirs: dict[bytes, list[int]]
) -> dict[int, int]:
    pairs: dict[int, int] = {}
    for piece, token_ids in mine.items():
        pairs.update(zip(token_ids, theirs.get(piece, ()), strict=False))
    taken: set[int] = set()
    named = ((token_id, draft.ids.get(name)) for name, token_id in target.ids.items() if token_id in target.special_ids)
    for target_id, draft_id in ((target.eos_id, draft.eos_id), (target.bos_id, draft.bos_id), *named):
        if target_id is None or draft_id is None or target_id in pairs or draft_id in taken:
            continue
        if target_id < target.rows and draft_id < draft.rows and draft_id in draft.special_ids:
            pairs[target_id] = draft_id
            taken.add(draft_id)
    return pairs


class TokenMap:
    """How a target's tokens are written with a draft's. Made once for a pair; it reads no model.

    `target_width` and `draft_width` are the widths of the two models' logits.
    """

    def __init__(self, target_tokenizer: Any, draft_tokenizer: Any, target_width: int, draft_width: int) -> None:
        self.target = Speller(target_tokenizer, vocabulary_of(target_tokenizer, "the target", target_width))
        self.draft = Speller(draft_tokenizer, vocabulary_of(draft_tokenizer, "the draft", draft_width))
        self._pairs = _paired(self.target.vocabulary, self.draft.vocabulary, self.target.ids_of, self.draft.ids_of)
        self._targets = {draft_id: target_id for target_id, draft_id in self._pairs.items()}
        self._names = self.target.vocabulary.names()
        self.shared = len(self._pairs) / max(1, len(self.target.vocabulary.ids))
        """How much of the target's vocabulary the draft has too, 0 to 1."""
        self.draft_ids: npt.NDArray[np.int32] = np.full((target_width,), -1, dtype=np.int32)
        """The draft's id of each of the target's, `[target_width]`; -1 where it has none."""
        for target_id, draft_id in self._pairs.items():
            self.draft_ids[target_id] = draft_id

    @property
    def draft_begin(self) -> list[int]:
        """What stands in front of every text of the draft: its bos token, or nothing."""
        bos_id = self.draft.vocabulary.bos_id
        return [] if bos_id is None else [bos_id]

    def target_id(self, draft_id: int) -> int | None:
        """The target's id of one of the draft's, None where it is not shared."""
        return self._targets.get(draft_id)

    def retokenized(self, token_ids: Sequence[int]) -> list[int]:
        """A stretch of the target's text as the draft's own tokenizer would write it; for prompts."""
        return self._written(token_ids, one_to_one=False)

    def translated(self, token_ids: Sequence[int]) -> list[int]:
        """The same text, shared tokens one to one and only what is not shared spelled anew; for tokens as they come.

        Any tokens that spell the text are a context that the draft can go on from.
        """
        return self._written(token_ids, one_to_one=True)

    def _written(self, token_ids: Iterable[int], *, one_to_one: bool) -> list[int]:
        written: list[int] = []

        def kind(token_id: int) -> str:
            is_text = token_id in self.target.bytes_of
            if token_id in self._pairs and (one_to_one or not is_text):
                return "shared"
            return "text" if is_text else "special"

        for name, group in groupby(token_ids, key=kind):
            ids = list(group)
            if name == "shared":
                written.extend(self._pairs[token_id] for token_id in ids)
            elif name == "text":
                # Together: two unshared tokens may be the halves of one character.
                written.extend(self.draft.spell(self.target.text_of(ids)))
            else:
                for token_id in ids:
                    written.extend(self._special_name(token_id))
        return written

    def _special_name(self, token_id: int) -> list[int]:
        """A special token that the draft does not have is written out, as "[INST]"; the beginning of a text is not."""
        if token_id == self.target.vocabulary.bos_id or token_id not in self._names:
            return []
        return self.draft.spell(self._names[token_id].encode(errors="surrogatepass"))
