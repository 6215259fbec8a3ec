"""What a chat template is told besides the messages: the tools that may be called, and settings of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

Tool = Mapping[str, Any]
"""A tool as OpenAI has it: `{"type": "function", "function": {"name", "description", "parameters"}}`."""

RESERVED: Final = frozenset(
    {
        "messages",
        "conversation",
        "tools",
        "add_generation_prompt",
        "continue_final_message",
        "chat_template",
        "tokenize",
        "padding",
        "truncation",
        "max_length",
        "return_tensors",
        "return_dict",
        "return_assistant_tokens_mask",
        "tokenizer_kwargs",
        "additional_special_tokens",
    }
)
"""What is no setting of a template: it is said by other fields, or would change what comes back."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """`tools` that the template shows, and `settings` by the names that it knows them by, as `enable_thinking`."""

    tools: tuple[Tool, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, Any]:
        """As the template's variables."""
        return dict(self.settings) | ({"tools": [dict(tool) for tool in self.tools]} if self.tools else {})

    @property
    def values(self) -> dict[str, Any]:
        """All that somebody wrote in them."""
        return {"tools": list(self.tools), "settings": dict(self.settings)}

    def with_values(self, values: Mapping[str, Any]) -> "ChatOptions":
        """With these in the place of `values`."""
        return replace(self, tools=tuple(values["tools"]), settings=values["settings"])


PLAIN: Final = ChatOptions()
"""No tools, and the template's own settings."""
