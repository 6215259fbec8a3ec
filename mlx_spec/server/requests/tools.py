"""The tools of a request, and whether they are to be called: OpenAI's fields as one value."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from mlx_spec.models.text.tool_use import NO_TOOLS, ToolUse
from mlx_spec.server.requests.messages import checked_text
from mlx_spec.server.requests.validation import RequestError, shown

TOOLS_LIMIT: Final = 1024
"""Tools of a request."""
_NAME_LIMIT: Final = 256


def _name(value: object) -> object:
    if not isinstance(value, str) or not value.strip() or len(value) > _NAME_LIMIT:
        raise ValueError(f"a name of 1 to {_NAME_LIMIT} characters")
    return checked_text(value)


def _parameters(value: object) -> object:
    """A function without any has an object without properties."""
    if value is None:
        return {"type": "object", "properties": {}}
    if not isinstance(value, dict):
        raise ValueError("a JSON schema of an object")
    if value.get("type", "object") != "object":
        raise ValueError('a JSON schema of an object: its "type" is "object"')
    return value


class _Asked(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Function(_Asked):
    """A function that may be called; `parameters` is the schema of its arguments."""

    name: Annotated[str, BeforeValidator(_name)]
    description: str | None = None
    parameters: Annotated[dict[str, Any], BeforeValidator(_parameters)] = {"type": "object", "properties": {}}
    strict: bool | None = None

    def as_tool(self) -> dict[str, Any]:
        """The function as chat templates know it."""
        told = {"name": self.name, "description": self.description or "", "parameters": self.parameters}
        return {"type": "function", "function": told | ({"strict": True} if self.strict else {})}


class ToolGiven(_Asked):
    """A tool of a request."""

    type: Literal["function"] = "function"
    function: Function


class _Named(_Asked):
    name: Annotated[str, BeforeValidator(_name)]


class _ToolNamed(_Asked):
    type: Literal["function"] = "function"
    function: _Named


class _Allowed(_Asked):
    mode: Literal["auto", "required"]
    tools: list[_ToolNamed]


class ToolChoice(_Asked):
    """One function by its name, or several that are allowed."""

    type: Literal["function", "allowed_tools"]
    function: _Named | None = None
    allowed_tools: _Allowed | None = None


def choice_of(value: object) -> object:
    """The words stay words; anything else must be an object."""
    if value is None or value in ("none", "auto", "required"):
        return value
    try:
        return ToolChoice.model_validate(value)
    except ValidationError:
        raise ValueError(
            '"none", "auto", "required", or an object like {"type": "function", "function": {"name": …}}'
        ) from None


def _called(value: object) -> object:
    """As it was before there were tools: one is named by itself."""
    is_name = isinstance(value, dict) and "type" not in value
    return choice_of({"type": "function", "function": value} if is_name else value)


FunctionCall = Annotated[Literal["none", "auto"] | ToolChoice | None, BeforeValidator(_called)]
Choice = Annotated[Literal["none", "auto", "required"] | ToolChoice | None, BeforeValidator(choice_of)]


def tool_use(tools: Sequence[ToolGiven] | None, choice: Any, is_parallel: bool | None) -> ToolUse:
    """What a request's fields say. Raises RequestError where they do not fit each other."""
    given = tuple(tool.function.as_tool() for tool in tools or ())
    names = [tool["function"]["name"] for tool in given]
    if len(given) > TOOLS_LIMIT:
        raise RequestError(f"tools holds {len(given)} tools: it must hold at most {TOOLS_LIMIT}.", "tools")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RequestError(f"tools names {shown(twice)} twice: every tool needs a name of its own.", "tools")
    mode, allowed = _mode(choice)
    if mode == "required" and not given:
        raise RequestError("tool_choice asks for a call, and there are no tools: name them in tools.", "tool_choice")
    if unknown := sorted((allowed or frozenset()) - set(names)):
        raise RequestError(f"tool_choice names {shown(unknown[0])}, which is not among the tools.", "tool_choice")
    if not given:
        return NO_TOOLS
    return ToolUse(given, mode, allowed, is_parallel is not False)


def _mode(choice: Any) -> tuple[Literal["none", "auto", "required"], frozenset[str] | None]:
    if not isinstance(choice, ToolChoice):
        return choice or "auto", None
    if choice.type == "function":
        if choice.function is None:
            raise RequestError("tool_choice.function is missing: it names the function to call.", "tool_choice")
        return "required", frozenset({choice.function.name})
    if choice.allowed_tools is None or not choice.allowed_tools.tools:
        raise RequestError("tool_choice.allowed_tools is missing: it says which tools are allowed.", "tool_choice")
    return choice.allowed_tools.mode, frozenset(tool.function.name for tool in choice.allowed_tools.tools)
