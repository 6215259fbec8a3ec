"""What the ids of a model stand for: the bytes of its tokens, and the tokens that are no text at all.

Tokenizers write the same bytes in different ways: byte-level BPE as printable stand-ins ("Ġthe"), sentencepiece with
"▁" for a space and "<0xE2>" for a byte that no token covers. Bytes are what two vocabularies can be compared by; a
tokenizer's own `decode` cannot serve, since it drops leading spaces and replaces half characters.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["byte-level", "sentencepiece", "plain"]

FILLER: Final = re.compile(r"\[PAD\d+\]|<dummy\d{5}>|")
"""What converters write into rows that have no token: they belong to the matrix, not to the vocabulary."""

_SPACE: Final = "▁"
_BYTE_TOKEN: Final = re.compile("<0x([0-9A-Fa-f]{2})>")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_BYTE_OF: Final = _byte_alphabet()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a model calls its ids: `ids` maps each token to its id; the model's logits have `rows`, often padded.

    `special_ids` are no text. `bos_id` is the token that begins every text, None where the tokenizer adds none;
    `eos_id` the one that ends an answer. `weights_bytes` is the size of the model's weights, where that matters.
    """

    model_name: str
    ids: dict[str, int]
    rows: int
    kind: Kind = "plain"
    special_ids: frozenset[int] = frozenset()
    bos_id: int | None = None
    eos_id: int | None = None
    weights_bytes: int | None = None

    def names(self) -> dict[int, str]:
        """The token of each id."""
        return {token_id: token for token, token_id in self.ids.items()}

    def contents(self) -> dict[int, bytes]:
        """The bytes of each token that a row stands for, special ones' names too: what two vocabularies that are the
        same agree in, however each is written."""
        return {token_id: token_bytes(token, self.kind) for token, token_id in self.ids.items() if token_id < self.rows}

    def spelled(self) -> dict[int, bytes]:
        """The bytes of each id that stands for text. Half a character is two tokens' bytes like any other."""
        return {token_id: text for token_id, text in self.contents().items() if token_id not in self.special_ids}

    def byte_token_ids(self) -> frozenset[int]:
        """Sentencepiece's stand-ins for single bytes."""
        if self.kind != "sentencepiece":
            return frozenset()
        return frozenset(token_id for token, token_id in self.ids.items() if _BYTE_TOKEN.fullmatch(token))


def by_bytes(vocabulary: Vocabulary, spelled: dict[int, bytes]) -> dict[bytes, list[int]]:
    """The ids that stand for the same bytes, out of `vocabulary.spelled()`.

    Text tokens come first, then stand-ins for bytes, each by id: sentencepiece has "a" and "<0x61>".
    """
    groups: dict[bytes, list[int]] = {}
    last = vocabulary.byte_token_ids()
    for token_id in [*sorted(spelled.keys() - last), *sorted(spelled.keys() & last)]:
        if piece := spelled[token_id]:
            groups.setdefault(piece, []).append(token_id)
    return groups


def token_bytes(token: str, kind: Kind) -> bytes:
    """The bytes that `token` stands for, as a vocabulary of `kind` writes it."""
    if kind == "byte-level":
        try:
            return bytes(map(_BYTE_OF.__getitem__, token))
        except KeyError:  # an added token, which is written as it is
            return token.encode(errors="surrogatepass")
    if kind == "sentencepiece":
        if token.startswith("<0x") and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes([int(match[1], 16)])
        token = token.replace(_SPACE, " ")
    return token.encode(errors="surrogatepass")


def vocabulary_of(tokenizer: Any, model_name: str, rows: int, *, weights_bytes: int | None = None) -> Vocabulary:
    """Read the vocabulary of a tokenizer of transformers or mlx-lm; `rows` is the width of its model's logits.

    Rows that a converter filled up, as `[PAD151665]`, are no tokens.
    """
    ids = {token: token_id for token, token_id in tokenizer.get_vocab().items() if not FILLER.fullmatch(token)}
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {token_id for token_id, token in added.items() if token.special}
    begins = tokenizer.encode("")[:1]
    return Vocabulary(
        model_name=model_name,
        ids=ids,
        rows=rows,
        kind=kind_of(tokenizer),
        special_ids=frozenset(special | set(tokenizer.all_special_ids)),
        bos_id=tokenizer.bos_token_id if begins == [tokenizer.bos_token_id] else None,
        eos_id=tokenizer.eos_token_id,
        weights_bytes=weights_bytes,
    )


def kind_of(tokenizer: Any) -> Kind:
    """How tokens are written: by the tokenizer's own decoder, and where it has none, by what its tokens look like."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    state = decoder.__getstate__().decode() if decoder is not None else ""
    if '"ByteLevel"' in state:
        return "byte-level"
    if _SPACE in state or '"ByteFallback"' in state:
        return "sentencepiece"
    ids = tokenizer.get_vocab()
    if "<0x0A>" in ids or _SPACE in ids:
        return "sentencepiece"
    return "byte-level" if "Ġ" in ids and "Ċ" in ids else "plain"
