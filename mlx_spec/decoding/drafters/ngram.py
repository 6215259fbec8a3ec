"""Prompt lookup (Saxena 2023): what followed the last time the text ended like this is proposed again. No model.

Host integers only. It pays where an answer repeats its prompt or itself: edits, code, lists, quotations.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import mlx.core as mx

from mlx_spec.acceptance.tree import Shape, merged
from mlx_spec.decoding.cache.blocks.chain import Beginning
from mlx_spec.decoding.drafters.base import Draft, TreeDrafter
from mlx_spec.decoding.drafters.prediction import Prediction
from mlx_spec.errors import ConfigError

_KEY_BITS = 32  # a token id fits, so node and token together are one dictionary key


class SuffixIndex:
    """A growing text of tokens, and where each of its endings of up to `max_match` tokens stood before.

    A trie of all n-grams, n <= `max_match`: a node is one n-gram, its value the end of the latest occurrence. The
    nodes of the text's own endings are kept, so a token costs `max_match` dictionary look-ups, whatever the length of
    the text, and no n-gram is ever compared or hashed as a whole. Memory is at most `max_match` nodes a token.
    """

    def __init__(self, max_match: int) -> None:
        self.token_ids: list[int] = []
        self.match_length = 0
        """Tokens of the longest ending, up to `max_match`, that also stands earlier in the text."""
        self.match_end = 0
        """Where the latest earlier occurrence of that ending ends: `token_ids[match_end]` followed it."""
        self.match_ends: list[int] = []
        """The same for endings of 1, 2, ... tokens: shorter ones may have stood elsewhere since."""
        self._max_match = max_match
        self._children: dict[int, int] = {}
        self._latest: list[int] = [0]
        self._endings: list[int] = [0]  # the node of the newest n tokens, for n = 0, 1, ...

    def append(self, token_id: int) -> None:
        """Add one token, and find its ending again."""
        self.token_ids.append(token_id)
        end = len(self.token_ids)
        endings = [0]
        self.match_length, self.match_ends = 0, []
        for shorter in self._endings[: self._max_match]:
            key = shorter << _KEY_BITS | token_id
            node = self._children.get(key)
            if node is None:
                node = self._children[key] = len(self._latest)
                self._latest.append(end)
            else:
                self.match_length, self.match_end = len(endings), self._latest[node]
                self.match_ends.append(self.match_end)
                self._latest[node] = end
            endings.append(node)
        self._endings = endings


# These lengths of a match are judged apart.
_TRUST_FROM: Final = (3, 5, 8)
_FIRST_PREDICTED: Final = 4


class NgramDrafter(TreeDrafter):
    """Proposes the continuation of the latest earlier occurrence of the text's longest ending.

    An ending counts from `min_match` to `max_match` tokens, over prompt and answer alike. A continuation that reaches
    the end of the text goes on with itself, so that periodic text ("abcabc") goes on for as long as asked. Where the
    client has a `prediction` of the answer, that comes first, as long as the text follows it.

    Cost: `max_match` dictionary look-ups (microseconds) and up to 1 kB for each token of the text; no
    model, no device. It has no distribution: a draft is a function of the decided text, exact under every rule.
    Raises ConfigError for a range of lengths that is empty.
    """

    def __init__(self, *, min_match: int = 2, max_match: int = 8, prediction: Prediction | None = None) -> None:
        if min_match < 1:
            raise ConfigError("min_match", min_match, "a whole number of at least 1")
        if max_match < min_match:
            raise ConfigError("max_match", max_match, f"at least min_match, {min_match}")
        self._min_match, self._prediction = min_match, prediction
        self._read = SuffixIndex(max_match)
        self._unread: list[int] = []

    @property
    def match_length(self) -> int:
        """How many tokens the next proposal's ground matches: 0, or `min_match` to `max_match`. Longer is surer."""
        length = self._index.match_length
        return length if length >= self._min_match else 0

    @property
    def is_model(self) -> bool:
        """It looks at the text only."""
        return False

    @property
    def _predicted(self) -> Prediction | None:
        """What the client predicts, where that foretells anything now."""
        return self._prediction if self._prediction is not None and self._prediction.ahead else None

    @property
    def trust(self) -> int:
        """Longer matches are surer: 0 to 3; what was predicted is judged by itself, from 4 on."""
        if (predicted := self._predicted) is not None:
            return _FIRST_PREDICTED + predicted.sureness
        return bisect_right(_TRUST_FROM, self.match_length)

    @property
    def guess(self) -> float | None:
        """See `Drafter.guess`."""
        return predicted.guess if (predicted := self._predicted) is not None else None

    def limit(self, longest: int) -> int:
        """`longest` where the text repeats itself, else 0. What was predicted may be longer than is usual."""
        if (predicted := self._predicted) is not None and longest > 0:
            return min(max(longest, predicted.longest), predicted.ahead)
        return max(0, longest) if self.match_length else 0

    def begin(self, beginning: Beginning, token_ids: Sequence[int]) -> None:
        """Read them later: a long text takes the host some milliseconds, which the device may have work for."""
        self._unread.extend(token_ids)

    def meanwhile(self) -> None:
        """Read what is unread."""
        for token_id in self._unread:
            self._read.append(token_id)
        self._unread = []

    @property
    def _index(self) -> SuffixIndex:
        self.meanwhile()
        return self._read

    def prefill(self, token_ids: Sequence[int]) -> None:
        """Read a chunk of the prompt, when there is time."""
        self._unread.extend(token_ids)

    def shadow(self, longest: int) -> list[int]:
        """What was predicted, as far as `limit` says; else the `longest` tokens that followed last time, none where the
        text's ending is new."""
        if (predicted := self._predicted) is not None:
            return predicted.following(self.limit(longest))
        return self._followed(self._index.match_end, longest) if self.limit(longest) else []

    def _followed(self, start: int, gamma: int) -> list[int]:
        text = self._index.token_ids
        # What lies between the earlier ending and this one repeats.
        period = len(text) - start
        return [text[start + i % period] for i in range(gamma)]

    @property
    def takes_trees(self) -> bool:
        """Always: what followed a shorter ending is another guess."""
        return True

    def propose_tree(self, position: int, shape: Shape, round_index: int) -> Draft | None:
        """What was predicted, what followed the longest ending, and beside it what followed shorter ones since, while
        there is room."""
        chains = [predicted.following(shape.depth)] if (predicted := self._predicted) is not None else []
        if self.match_length:
            ends = dict.fromkeys(reversed(self._index.match_ends[self._min_match - 1 :]))
            chains += [self._followed(end, shape.depth) for end in ends]
        if not chains:
            return None
        tree, token_ids = merged(chains[: shape.branching[0]], shape.size)
        drafted = mx.array(token_ids, dtype=mx.int32)
        return Draft(drafted, None, greedy=True, tree=None if tree.is_chain else tree)

    def commit_tree(self, token_ids: Sequence[int], path: Sequence[int]) -> None:
        """As `commit`."""
        self.prefill(token_ids)

    def propose(self, position: int, gamma: int, round_index: int) -> Draft | None:
        """The `gamma` tokens that were predicted, or that followed last time; None where the text's ending is new."""
        token_ids = self.shadow(gamma)[:gamma]
        return Draft(mx.array(token_ids, dtype=mx.int32), None, greedy=True) if token_ids else None

    def commit(self, token_ids: Sequence[int], accepted: int) -> None:
        """Read the newest tokens of the text; it makes no difference who chose them."""
        self.prefill(token_ids)
