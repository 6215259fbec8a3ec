"""What an answer must look like, as somebody asked for it: checked as far as that needs no tokenizer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from llguidance import LLMatcher
from llguidance.gbnf_to_lark import GbnfToLarkError, any_to_lark

from mlx_spec.decoding.constraints.endings import never_ends, widest_object
from mlx_spec.errors import GrammarError

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

Kind = Literal["json_object", "json_schema", "regex", "grammar", "tools"]
Spacing = Literal["free", "one_space", "compact"]
SPACINGS: Final[tuple[Spacing, ...]] = ("one_space", "compact", "free")
LONGEST_TEXT: Final = 1 << 20
"""Characters of a schema, an expression or a grammar."""
MOST_PROPERTIES: Final = 400
"""Of one object: llguidance follows no more alternatives than 2,000 in one place, and this makes four of each."""

# With all white space that JSON allows a model may write blanks for ever. So much is a line's indentation.
_FREE: Final = r"[\x20\x0A\x0D\x09]{1,64}"
_STYLES: Final[dict[Spacing, "JsonCompileOptions"]] = {
    "free": {"whitespace_pattern": _FREE},
    "one_space": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
    "compact": {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"},
}
# What may be wrong stays wrong: neither is a keyword passed over, nor is `oneOf` taken for `anyOf`.
_NEVER_LENIENT: Final["JsonCompileOptions"] = {"lenient": False, "coerce_one_of": False}


@dataclass(frozen=True, slots=True)
class Constraint:
    """A JSON object, a JSON schema, a regular expression or a Lark grammar (llguidance's, with `%json {...}` in it).

    Made by its class methods. `source` is what llguidance compiles; two of the same source are the same.
    """

    kind: Kind
    source: str

    @property
    def field(self) -> str:
        """What a request says it in."""
        return "response_format" if self.kind in ("json_object", "json_schema") else self.kind

    @classmethod
    def json_object(cls) -> "Constraint":
        """Any JSON object."""
        return cls("json_object", _json_source({"type": "object"}, "free"))

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool, *, spacing: Spacing = "one_space") -> "Constraint":
        """JSON that is valid by `schema`. `spacing` says where blanks stand: one behind each comma and colon and none
        elsewhere, none at all, or free. Only the first two force any text, which can then be drafted; properties come
        in the schema's order. A schema's own `x-guidance` says otherwise. Raises GrammarError."""
        if not isinstance(schema, Mapping | bool):
            raise GrammarError("The schema must be a JSON object, or true or false.", "response_format")
        if schema is False:
            raise GrammarError("The schema is false: nothing is valid by it.", "response_format")
        return cls("json_schema", _json_source(dict(schema) if isinstance(schema, Mapping) else {}, spacing))

    @classmethod
    def regex(cls, pattern: str) -> "Constraint":
        """The whole answer matches `pattern`, in Rust's syntax. Raises GrammarError."""
        _check_length("regex", pattern)
        return cls("regex", LLMatcher.grammar_from_regex(pattern))

    @classmethod
    def grammar(cls, lark: str) -> "Constraint":
        """A Lark grammar, whose first rule is `start`; or one of llama.cpp's (GBNF), whose first is `root`. Raises
        GrammarError."""
        _check_length("grammar", lark)
        if "::=" in lark:
            try:
                lark = any_to_lark(lark)
            except (GbnfToLarkError, ValueError, IndexError, RecursionError) as error:
                raise GrammarError(f"The grammar cannot be read as GBNF: {error}.", "grammar") from None
        return cls("grammar", LLMatcher.grammar_from_lark(lark))

    @classmethod
    def calls(cls, lark: str, answer: "Constraint | None" = None) -> "Constraint":
        """Calls of tools, as a Lark grammar, in which `@answer` is what `answer` says. Raises GrammarError."""
        _check_length("tools", lark)
        if answer is None:
            return cls("tools", LLMatcher.grammar_from_lark(lark))
        (inner,) = json.loads(answer.source)["grammars"]
        grammars = [{"name": "calls", "lark_grammar": lark}, {**inner, "name": "answer"}]
        return cls("tools", json.dumps({"grammars": grammars}))


def styled(schema: Mapping[str, Any], spacing: Spacing) -> dict[str, Any]:
    """The schema with `spacing` written into it, for those who put it into a Lark grammar behind `%json`."""
    given = schema.get("x-guidance")
    own = dict(given) if isinstance(given, Mapping) else {}
    return {**schema, "x-guidance": {**_STYLES[spacing], **own, **_NEVER_LENIENT}}


def _json_source(schema: dict[str, Any], spacing: Spacing) -> str:
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise GrammarError(f"The schema is no JSON ({error}): send it as JSON.", "response_format") from None
    _check_length("response_format", text)
    if not isinstance(schema.get("x-guidance", {}), dict):
        raise GrammarError("The schema's x-guidance must be a JSON object.", "response_format")
    try:
        source = LLMatcher.grammar_from_json_schema(text, defaults=_STYLES[spacing], overrides=_NEVER_LENIENT)
    except (ValueError, TypeError) as error:  # what is nested too deeply, too
        raise GrammarError(f"The schema cannot be read: {error}.", "response_format") from None
    check_schema(schema, "response_format")
    return source


def check_schema(schema: Mapping[str, Any], field: str) -> None:
    """Raise GrammarError for what compiles for very long, or lets nothing end."""
    if (width := widest_object(schema)) > MOST_PROPERTIES:
        message = f"The schema has {width:,} properties in one object: at most {MOST_PROPERTIES:,} are compiled."
        raise GrammarError(message, field)
    if never_ends(schema):
        message = "The schema requires itself again and again: nothing that is valid by it ever ends."
        raise GrammarError(message, field)


def _check_length(field: str, text: object) -> None:
    if not isinstance(text, str) or not text.strip():
        raise GrammarError(f"{field} is empty: write what the answer must look like, or leave it out.", field)
    if len(text) > LONGEST_TEXT:
        raise GrammarError(f"{field} has {len(text):,} characters: at most {LONGEST_TEXT:,} are compiled.", field)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise GrammarError(f"{field} holds half of a surrogate, which is no text: write it as text.", field) from None
