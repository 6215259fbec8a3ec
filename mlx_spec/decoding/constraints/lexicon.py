"""A tokenizer as llguidance and the drafts see it: the bytes of each id, and how bytes are usually written."""

from typing import Any, Final

import numpy as np
from llguidance import LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from mlx_spec.errors import GrammarError
from mlx_spec.models.text.speller import Speller
from mlx_spec.models.text.vocabulary import Vocabulary, vocabulary_of

_PLACE: Final = "_lookahead_lexicon"


class Lexicon:
    """The words of one target. Made once for a tokenizer, which takes some tenths of a second; from any thread.

    `width` is that of the target's logits; of ids beyond the tokenizer's none is ever allowed. Raises GrammarError
    where the tokenizer has no token that ends an answer.
    """

    def __init__(self, tokenizer: Any, width: int) -> None:
        vocabulary = vocabulary_of(tokenizer, "the target", width)
        ends = sorted(token_id for token_id in tokenizer.eos_token_ids if 0 <= token_id < width)
        if not ends:
            raise GrammarError("This model has no token that ends an answer, so no grammar can be followed with it.")
        self.width = width
        self.end_ids = frozenset(ends)
        """What ends an answer."""
        self.usual_end = tokenizer.eos_token_id if tokenizer.eos_token_id in self.end_ids else ends[0]
        self.speller = Speller(tokenizer, vocabulary)
        wrapped = TokenizerWrapper(_Words(vocabulary, self.speller, self.usual_end))
        self.tokenizer = LLTokenizer(wrapped, eos_token=[self.usual_end, *(self.end_ids - {self.usual_end})])
        """llguidance's own view."""
        self._longer: dict[bytes, NDArray[np.intp]] = {}
        self.ends = np.zeros(width, dtype=np.bool_)
        """`[width]`, true for what ends an answer."""
        self.ends[ends] = True

    def bytes_of(self, token_id: int) -> bytes:
        """What it writes; nothing for what is no text."""
        return self.speller.bytes_of.get(token_id, b"")

    def longer_than(self, text: bytes) -> NDArray[np.intp]:
        """The ids that write `text` and more."""
        if text not in self._longer:
            every = self.speller.bytes_of.items()
            ids = [token_id for token_id, piece in every if len(piece) > len(text) and piece.startswith(text)]
            self._longer[text] = np.array(ids, dtype=np.intp)
        return self._longer[text]


class _Words:
    """What llguidance asks of a tokenizer."""

    def __init__(self, vocabulary: Vocabulary, speller: Speller, end_id: int) -> None:
        contents = vocabulary.contents()
        self.tokens = [contents.get(token_id, b"") for token_id in range(vocabulary.rows)]
        self.special_token_ids = sorted(token_id for token_id in vocabulary.special_ids if token_id < vocabulary.rows)
        self.eos_token_id, self.bos_token_id = end_id, vocabulary.bos_id
        self._speller = speller

    def __call__(self, text: bytes) -> list[int]:
        return self._speller.spell(text)


def lexicon_of(tokenizer: Any, width: int) -> Lexicon:
    """The one `Lexicon` of a tokenizer, which goes when the tokenizer goes. Raises GrammarError."""
    # Not through getattr, which a tokenizer hands on to the one inside it.
    lexicon: Lexicon | None = vars(tokenizer).get(_PLACE)
    if lexicon is None or lexicon.width != width:
        lexicon = Lexicon(tokenizer, width)
        setattr(tokenizer, _PLACE, lexicon)
    return lexicon
