"""What a model's family does in conversations: how it calls tools and thinks, and what its template can be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from mlx_lm.tokenizer_utils import _infer_tool_parser

from mlx_spec.models.text.chat import chat_of
from mlx_spec.models.text.parts import CallFormat

_PLACE: Final = "_lookahead_manner"  # where a tokenizer keeps its own


@dataclass(frozen=True, slots=True)
class ChatManner:
    """`calls`: how calls of tools are written, None where the template shows no tools or mlx-lm knows no parser for
    the family. `takes_tools`: whether the template shows tools. `thinking`: the marks around reasoning, as far as
    mlx-lm knows them. `names` tells whether the template asks for a setting of that name. `special` are tokens that
    are no text, by their names; `template` is the template itself."""

    calls: CallFormat | None
    takes_tools: bool
    thinking: tuple[str, str] | None
    names: Callable[[str], bool]
    special: Mapping[str, int] = field(default_factory=dict)
    template: str = ""


def manner_of(tokenizer: Any) -> ChatManner:
    """The manner of a tokenizer's model, found out once."""
    # Not through getattr, which a tokenizer hands on to the one inside it.
    manner: ChatManner | None = vars(tokenizer).get(_PLACE)
    if manner is None:
        chat = chat_of(tokenizer)
        begin, end = (getattr(tokenizer, name, None) for name in ("think_start", "think_end"))
        calls = call_format_of(tokenizer) if chat.takes_tools else None
        added = getattr(tokenizer, "added_tokens_decoder", {})
        special = {token.content: token_id for token_id, token in added.items() if token.special}
        thinking = (begin, end) if begin and end else None
        manner = ChatManner(calls, chat.takes_tools, thinking, chat.names, special, chat.template)
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
