"""Which tools an answer may call, and whether it must."""

from dataclasses import dataclass
from typing import Final, Literal

from mlx_spec.models.text.options import Tool

ToolMode = Literal["none", "auto", "required"]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """`tools` that the model is shown. By `mode` it may call those that are `allowed`, by their names, or must; None
    allows all. `is_parallel`: it may call several in one answer."""

    tools: tuple[Tool, ...] = ()
    mode: ToolMode = "auto"
    allowed: frozenset[str] | None = None
    is_parallel: bool = True

    @property
    def callable(self) -> tuple[Tool, ...]:
        """The tools that may be called."""
        if self.mode == "none":
            return ()
        return tuple(tool for tool in self.tools if self.allowed is None or tool["function"]["name"] in self.allowed)

    @property
    def strict(self) -> tuple[Tool, ...]:
        """Those of them whose calls keep to the schema of their arguments for certain."""
        return tuple(tool for tool in self.callable if self.mode == "required" or tool["function"].get("strict"))


NO_TOOLS: Final = ToolUse()
