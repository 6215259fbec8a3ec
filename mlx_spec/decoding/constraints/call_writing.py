"""How each family writes a call, as pieces of a grammar. The parsers that read them are mlx-lm's."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlx_spec.decoding.constraints.bare_values import BareValues
from mlx_spec.decoding.constraints.lark import Lark
from mlx_spec.errors import ToolsError
from mlx_spec.models.text.parts import CallFormat

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """`head` follows the mark that begins calls, `between` stands between two, and `tail` ends them all. `call` writes
    the call of a name with arguments by a schema. All are pieces of the grammar's rules."""

    head: str
    between: str
    tail: str
    call: Callable[[str, Schema], str]


Writer = Callable[[Lark, CallFormat, str], Shape]


def _json_tools(lark: Lark, calls: CallFormat, template: str) -> Shape:
    def call(name: str, schema: Schema) -> str:
        return f"{lark.text(_json_head(name))} {lark.json(schema)} {lark.text('}')}"

    begin, end = f"{calls.begin}\n", f"\n{calls.end}"
    return Shape(lark.text("\n"), lark.text(f"{end}\n{begin}"), lark.text(end), call)


def _mistral(lark: Lark, calls: CallFormat, template: str) -> Shape:
    if "[ARGS]" in template:

        def headed(name: str, schema: Schema) -> str:
            if "[CALL_ID]" in template:
                own_id = lark.terminal("/[a-zA-Z0-9]{9}/")
                return f"{lark.text(f'{name}[CALL_ID]')} {own_id} {lark.text('[ARGS]')} {lark.json(schema)}"
            return f"{lark.text(f'{name}[ARGS]')} {lark.json(schema)}"

        return Shape(lark.text(""), lark.text(calls.begin), lark.text(""), headed)

    def listed(name: str, schema: Schema) -> str:
        return f"{lark.text(_json_head(name))} {lark.json(schema)} {lark.text('}')}"

    return Shape(lark.text("["), lark.text(", "), lark.text("]"), listed)


def _kimi_k2(lark: Lark, calls: CallFormat, template: str) -> Shape:
    number = lark.terminal("/[0-9]{1,2}/")

    def call(name: str, schema: Schema) -> str:
        begun = f"{lark.text(f'<|tool_call_begin|>functions.{name}:')} {number}"
        return (
            f"{begun} {lark.text('<|tool_call_argument_begin|>')} {lark.json(schema)} {lark.text('<|tool_call_end|>')}"
        )

    return Shape(lark.text(""), lark.text(""), lark.text(calls.end), call)


def _kimi_k3(lark: Lark, calls: CallFormat, template: str) -> Shape:
    number = lark.terminal("/[0-9]{1,2}/")

    def call(name: str, schema: Schema) -> str:
        quoted = name.replace("&", "&amp;").replace('"', "&quot;")
        begun = lark.text('<|open|>call tool="' + quoted + '" index="') + f" {number}"
        opened = lark.text('"<|sep|><|open|>json type="object"<|sep|>')
        return f"{begun} {opened} {lark.json(schema)} {lark.text('<|close|>json<|sep|><|close|>call<|sep|>')}"

    return Shape(lark.text(""), lark.text(""), lark.text(calls.end), call)


def _pythonic(lark: Lark, calls: CallFormat, template: str) -> Shape:
    def argument(name: str, schema: Schema) -> str:
        return f"{lark.text(f'{name}=')} {lark.json(schema)}"

    def call(name: str, schema: Schema) -> str:
        return f"{lark.text(f'{name}(')} {_separated(lark, schema, argument, ', ')} {lark.text(')')}"

    return Shape(lark.text("["), lark.text(", "), lark.text(f"]{calls.end}"), call)


def _gemma4(lark: Lark, calls: CallFormat, template: str) -> Shape:
    def call(name: str, schema: Schema) -> str:
        values = BareValues(lark, schema, lambda inner, argument: _separated(lark, inner, argument, ","))
        return f"{lark.text(f'call:{name}{{')} {_separated(lark, schema, values.argument, ',')} {lark.text('}')}"

    return Shape(lark.text(""), lark.text(f"{calls.end}{calls.begin}"), lark.text(calls.end), call)


def _function_gemma(lark: Lark, calls: CallFormat, template: str) -> Shape:
    """Its parser ends a call at the first brace, and a value that is no text at the first comma."""
    mark = "<escape>"

    def value(schema: Schema) -> str:
        texts = _texts(schema)
        if texts is not None and not any("}" in text for text in texts):
            options = " | ".join(lark.text(f"{mark}{text}{mark}") for text in texts)
            return f"({options})" if texts else f"{lark.text(mark)} {lark.up_to(mark, '}')}"
        if isinstance(kinds := schema.get("type"), list):
            return f"({' | '.join(value({**schema, 'type': kind}) for kind in kinds)})"
        if kinds in ("integer", "number", "boolean", "null"):
            return lark.json(schema)
        raise ToolsError(
            "This model's calls hold texts without braces, numbers, true, false and null alone: give every argument "
            "one of these types."
        )

    def call(name: str, schema: Schema) -> str:
        if not name.replace("_", "a").isalnum():
            raise ToolsError(f"This model cannot call {name}: give it a name of letters, digits and underscores.")

        def argument(key: str, inner: Schema) -> str:
            return f"{lark.text(f'{key}:')} {value(inner)}"

        return f"{lark.text(f'call:{name}{{')} {_separated(lark, schema, argument, ',')} {lark.text('}')}"

    return Shape(lark.text(""), lark.text(f"{calls.end}{calls.begin}"), lark.text(calls.end), call)


def _tagged(
    begun: str,
    key: str,
    value_end: str,
    ended: str,
    *,
    head: str = "",
    between: str | None = None,
    quotes: bool = False,
) -> Writer:
    """A family that writes each argument between marks of its own: `begun` and `key` have NAME in them. Strings stand
    as they are, unless it `quotes` them as JSON does."""

    def writer(lark: Lark, calls: CallFormat, template: str) -> Shape:
        def argument(name: str, schema: Schema) -> str:
            opened = lark.text(key.replace("NAME", name))
            if quotes or (texts := _texts(schema)) is None:
                return f"{opened} {lark.json(schema)} {lark.text(value_end)}"
            if texts:
                return f"{opened} ({' | '.join(map(lark.text, texts))}) {lark.text(value_end)}"
            # The parsers end a text at the tag, and a call at its own.
            tag = value_end.strip("\n")
            text = lark.up_to(tag, ended.strip("\n"), calls.end)
            return f"{opened} {text} {lark.text(value_end.partition(tag)[2])}"

        def call(name: str, schema: Schema) -> str:
            arguments = _separated(lark, schema, argument, "")
            return f"{lark.text(begun.replace('NAME', name))} {arguments} {lark.text(ended)}"

        follows = f"{calls.end}\n{calls.begin}{head}" if between is None else between
        return Shape(lark.text(head), lark.text(follows), lark.text(calls.end if between is None else ""), call)

    return writer


def _json_head(name: str) -> str:
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def _texts(schema: Schema) -> list[str] | None:
    """The texts that a value may be, as they are: none of them for any text, None where it is no text."""
    if isinstance(schema.get("const"), str):
        return [schema["const"]]
    options = schema.get("enum")
    if isinstance(options, list):
        return options if options and all(isinstance(one, str) for one in options) else None
    return [] if schema.get("type") == "string" else None


def _separated(lark: Lark, schema: Schema, argument: Callable[[str, Schema], str], comma: str) -> str:
    """The arguments in the schema's order, with `comma` between them: what is required, and what may be left out."""
    properties, required = dict(schema.get("properties") or {}), set(schema.get("required") or ())
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    rules = [
        (name in required, lark.rule(argument(name, {**(kind if isinstance(kind, Mapping) else {}), **shared})))
        for name, kind in properties.items()
    ]
    # From the last on: what may follow where nothing was written yet, and where something was.
    first = later = ""
    for is_required, rule in reversed(rules):
        behind = f"{lark.text(comma)} {rule}" if comma else rule
        begun = lark.rule(f"{rule} {later}")
        joined = lark.rule(f"{behind} {later}")
        first = begun if is_required else lark.rule(f"{begun} | {first or lark.text('')}")
        later = joined if is_required else lark.rule(f"{joined} | {later or lark.text('')}")
    return first


_GLM: Final = _tagged("NAME\n", "<arg_key>NAME</arg_key>\n<arg_value>", "</arg_value>\n", "")

WRITERS: Final[dict[str, Writer]] = {
    "json_tools": _json_tools,
    "mistral": _mistral,
    "kimi_k2": _kimi_k2,
    "kimi_k3": _kimi_k3,
    "pythonic": _pythonic,
    "gemma4": _gemma4,
    "function_gemma": _function_gemma,
    "glm47": _GLM,
    "laguna": _GLM,
    "longcat": _tagged(
        "NAME\n",
        "<longcat_arg_key>NAME</longcat_arg_key>\n<longcat_arg_value>",
        "</longcat_arg_value>\n",
        "",
    ),
    "qwen3_coder": _tagged("<function=NAME>\n", "<parameter=NAME>\n", "\n</parameter>\n", "</function>\n", head="\n"),
    "minimax_m2": _tagged(
        '<invoke name="NAME">\n', '<parameter name="NAME">', "</parameter>\n", "</invoke>\n", head="\n", between=""
    ),
    "muse_spark": _tagged(
        '<atem:invoke name="NAME">\n',
        '<atem:parameter name="NAME">',
        "</atem:parameter>\n",
        "</atem:invoke>\n",
        head="\n",
        between="",
        quotes=True,
    ),
    "minicpm5": _tagged('"NAME">', '<param name="NAME">', "</param>", ""),
}
"""By the names that mlx-lm has for its parsers."""
