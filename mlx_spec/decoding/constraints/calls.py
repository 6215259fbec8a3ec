"""Calls of tools as a grammar: as the model's family writes them, with arguments by the tools' schemas."""

from collections.abc import Mapping
from typing import Any, Final

from mlx_spec.decoding.constraints.call_writing import WRITERS, Shape
from mlx_spec.decoding.constraints.lark import Lark
from mlx_spec.decoding.constraints.wanted import Constraint, check_schema
from mlx_spec.errors import GrammarError, ToolsError
from mlx_spec.models.text.options import Tool
from mlx_spec.models.text.parts import CallFormat
from mlx_spec.models.text.tool_use import ToolUse

MOST_CALLS: Final = 16
"""Calls in one answer that must call."""


def calls_constraint(
    use: ToolUse,
    calls: CallFormat,
    special: Mapping[str, int],
    thinking: tuple[str, str] | None,
    template: str = "",
    answer: Constraint | None = None,
) -> Constraint | None:
    """The grammar of an answer that must call a tool, or may call one that is strict; None where nothing is certain.
    Where it may call, and calls none, it must look like `answer`, if that is given: then it says nothing before a call.

    `special` are tokens that are no text, `thinking` the marks around reasoning, which may stand first. By the chat
    `template` families are told apart that one parser reads. Raises ToolsError for a family that has no grammar here,
    and GrammarError for schemas that cannot be read.
    """
    if not use.strict and answer is None:
        return None
    writer = WRITERS.get(calls.kind)
    if writer is None:
        raise ToolsError(
            f"Calls of tools as this model writes them ({calls.kind}) cannot be made certain: leave out tool_choice "
            "and strict, or take another model."
        )
    lark = Lark(special)
    shape = writer(lark, calls, template)
    bodies = [_call(shape, tool, is_certain=tool in use.strict) for tool in use.callable]
    one = lark.rule(" | ".join(map(lark.rule, bodies)))
    several = f"{one} ({shape.between} {one}){{0,{MOST_CALLS - 1}}}" if use.is_parallel else one
    opened = _thought(lark, thinking)
    section = f"{shape.head} {several} {shape.tail}"
    if use.mode == "required":
        lark.start(f"{opened} {lark.text(calls.begin)} {section}")
    elif answer is None:
        lark.start(f"{opened} ({lark.without(calls.begin)} | {lark.up_to(calls.begin)} {section})")
    else:
        lark.start(f"{opened} (@answer | {lark.text(calls.begin)} {section})")
    return Constraint.calls(str(lark), answer if use.mode != "required" else None)


def _call(shape: Shape, tool: Tool, *, is_certain: bool) -> str:
    name = str(tool["function"]["name"])
    try:
        schema = _arguments(tool, is_certain=is_certain)
        check_schema(schema, "tools")
        return shape.call(name, schema)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        message = (
            f"The schema of the tool {name} cannot be read ({error or type(error).__name__}): mend its parameters."
        )
        raise GrammarError(message, "tools") from error


def _arguments(tool: Tool, *, is_certain: bool) -> dict[str, Any]:
    """The schema of a tool's arguments. What it does not name is not given, where it names any, or none on purpose;
    one that need not be kept to is any object."""
    schema = dict(tool["function"].get("parameters") or {})
    if not is_certain:
        return {"type": "object"}
    schema["type"] = "object"
    if "properties" in schema and "patternProperties" not in schema:
        schema.setdefault("additionalProperties", False)
    return schema


def _thought(lark: Lark, thinking: tuple[str, str] | None) -> str:
    """Reasoning, if there is any, and the white space behind it: where the prompt has opened it, that alone is left."""
    space = lark.terminal(r"/[ \t\n]{0,4}/")
    if thinking is None:
        return space
    begin, end = thinking
    return f"({lark.text(begin)} {lark.up_to(end)})? {space}"
