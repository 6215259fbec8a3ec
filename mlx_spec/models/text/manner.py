"""What a model's family does in conversations: how it calls tools and thinks, and what its template can be told."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from mlx_lm.tokenizer_utils import _infer_tool_parser

from mlx_spec.models.text.chat import chat_of
from mlx_spec.models.text.parts import CallFormat
from mlx_spec.models.text.reasoning import has_channels

_PLACE: Final = "_lookahead_manner"  # where a tokenizer keeps its own


@dataclass(frozen=True, slots=True)
class ChatManner:
    """`calls`: how calls of tools are written, None where the template shows no tools or mlx-lm knows no parser for
    the family. `takes_tools`: whether the template shows tools. `thinks`: whether mlx-lm knows the family's marks of
    reasoning. `names` tells whether the template asks for a setting of that name."""

    calls: CallFormat | None
    takes_tools: bool
    thinks: bool
    names: Callable[[str], bool]


def manner_of(tokenizer: Any) -> ChatManner:
    """The manner of a tokenizer's model, found out once."""
    # Not through getattr, which a tokenizer hands on to the one inside it.
    manner: ChatManner | None = vars(tokenizer).get(_PLACE)
    if manner is None:
        chat = chat_of(tokenizer)
        thinks = getattr(tokenizer, "think_start", None) is not None or has_channels(tokenizer)
        calls = call_format_of(tokenizer) if chat.takes_tools else None
        manner = ChatManner(calls, chat.takes_tools, thinks, chat.names)
        setattr(tokenizer, _PLACE, manner)
    return manner


def call_format_of(tokenizer: Any) -> CallFormat | None:
    """How the model's family writes calls; None where mlx-lm knows none."""
    module = _parser_module(tokenizer)
    if module is None:
        return None
    kind = module.__name__.rpartition(".")[2]
    return CallFormat(module.tool_call_start, module.tool_call_end, module.parse_tool_call, kind)


def _parser_module(tokenizer: Any) -> Any:
    parser = getattr(tokenizer, "tool_parser", None)
    if parser is not None:
        return import_module(parser.__module__)
    # A template that was not in the tokenizer's own file came after mlx-lm had looked.
    kind = _infer_tool_parser(getattr(tokenizer, "_tokenizer", tokenizer))
    return import_module(f"mlx_lm.tool_parsers.{kind}") if kind is not None else None
