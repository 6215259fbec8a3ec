"""Constraints compiled for a tokenizer: once each, within a second or not at all."""

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from llguidance import LLMatcher, LLParserLimits

from mlx_spec.decoding.constraints.lexicon import Lexicon, lexicon_of
from mlx_spec.decoding.constraints.wanted import Constraint, Kind
from mlx_spec.errors import GrammarError

PATIENCE_S: Final = 1.0
_KEPT: Final = 64
# Of an ambiguous grammar a text takes the cube of its row: nine seconds at what schemas need, less than one so.
_ROW_OF_A_GRAMMAR: Final = 800
_ROW: Final = 1_500  # more than there may be tools


def limits_of(kind: Kind) -> LLParserLimits:
    """How far a grammar may grow. All are counts: the same grammar ends the same answer at the same token on every
    machine, however busy."""
    return LLParserLimits(
        max_grammar_size=50_000,
        max_items_in_row=_ROW_OF_A_GRAMMAR if kind == "grammar" else _ROW,
        step_max_items=10_000,
        initial_lexer_fuel=500_000,
        step_lexer_fuel=100_000,
        max_lexer_states=50_000,  # of up to 2 kB
        verbose_errors=False,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """A constraint that was compiled: `matcher` has followed nothing, and is copied for each answer."""

    constraint: Constraint
    lexicon: Lexicon
    matcher: LLMatcher


class Grammars:
    """The grammars of all tokenizers that were used last. From any thread; llguidance lets other threads go on."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, Constraint], Grammar] = OrderedDict()

    def compiled(self, constraint: Constraint, tokenizer: Any, width: int) -> Grammar:
        """`constraint` for a tokenizer of a target whose logits are `width` wide. Raises GrammarError for one that is
        wrong, impossible, or takes longer than `PATIENCE_S`."""
        lexicon = lexicon_of(tokenizer, width)
        key = id(lexicon), constraint  # which the grammar holds on to, so that no other has its id
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
        grammar = Grammar(constraint, lexicon, _matcher(constraint, lexicon))
        with self._lock:
            self._known[key] = grammar
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
        return grammar


GRAMMARS: Final = Grammars()
"""Of this process."""


def _matcher(constraint: Constraint, lexicon: Lexicon) -> LLMatcher:
    made: list[LLMatcher | BaseException] = []

    def make() -> None:
        try:
            made.append(_made(constraint, lexicon))
        except BaseException as error:  # noqa: BLE001 - Rust's panics, too, are told to who waits
            made.append(error)

    # Nothing stops llguidance once it has begun; its own limits end it some seconds later, beside everybody.
    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    what, field = _what(constraint), constraint.field
    if not made:
        raise GrammarError(f"The {what} takes longer than {PATIENCE_S:g} s to compile: ask for less in it.", field)
    matcher = made[0]
    if isinstance(matcher, BaseException):
        raise GrammarError(f"The {what} cannot be compiled ({matcher}): write it otherwise.", field) from matcher
    if error := matcher.get_error():
        raise GrammarError(f"The {what} cannot be followed: {in_words(error)}.", field)
    return matcher


def _made(constraint: Constraint, lexicon: Lexicon) -> LLMatcher:
    matcher = LLMatcher(lexicon.tokenizer, constraint.source, log_level=0, limits=limits_of(constraint.kind))
    if not matcher.is_error():
        matcher.compute_bitmask()  # what nothing can follow is found here
    return matcher


def _what(constraint: Constraint) -> str:
    words = {"json_object": "JSON object", "json_schema": "schema", "regex": "regex", "tools": "schema of the tools"}
    return words.get(constraint.kind, "grammar")


_WORDS: Final = (
    (r"Unimplemented keys: \[(.*)\]", r"it has keywords that are not supported (\1)"),
    (r"Resource '(.*)' is not present in a registry.*", r"its $ref \1 points to another document, and none is fetched"),
    (r"NoExtension.*", "nothing can ever match it"),
    (r"(?:.*regex parse error:.*error: )(.*?)(?: \d+ \|.*)?", r"\1"),
    (r"schema too large", "it is too large"),
    (r".*(?:Current row has \d+|Too many) items.*", "it leaves too many ways to go on, as it is ambiguous or too wide"),
)


def in_words(error: str) -> str:
    """What llguidance says of a grammar, on one line and without what is for its own developers."""
    line = " ".join(error.split("<state>")[0].replace("<non-verbose/>", "").split())
    if (inside := re.fullmatch(r"at \d+\(\d+\): (.*?)(?: \d+ \|.*)?", line)) is not None:
        line = inside[1]
    line = line.removeprefix("failed to compile JSON schema: ")
    for pattern, words in _WORDS:
        if (found := re.fullmatch(pattern, line)) is not None:
            line = found.expand(words)
            break
    return (line if len(line) <= 300 else line[:299] + "…").rstrip(".")
