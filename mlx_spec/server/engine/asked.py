"""What a request asks of a conversation, as far as the model that answers can do it."""

from dataclasses import dataclass
from typing import Any, Final

from mlx_spec.decoding.constraints.calls import calls_constraint
from mlx_spec.decoding.constraints.wanted import Constraint
from mlx_spec.errors import ToolsError
from mlx_spec.models.text.manner import ChatManner
from mlx_spec.models.text.options import PLAIN, ChatOptions
from mlx_spec.models.text.parts import CallFormat
from mlx_spec.server.engine.job import GenerationRequest
from mlx_spec.server.engine.served import Pair

NO_TOOLS_SHOWN: Final = "The model's chat template knows no tools: they are left out."
NO_CALLS_READ: Final = "How this model writes calls of tools is not known here: the tools are left out."
NO_EFFORT: Final = "The model's chat template takes no reasoning_effort: it is ignored."
NO_THINKING: Final = "No marks of reasoning are known of this model: thinking_token_budget is ignored."
_MARKS: Final = ("<think>", "<|channel|>")  # with which templates open reasoning that no token marks
# The names under which templates ask whether to think.
_SWITCHES: Final = ("enable_thinking", "thinking")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the template is told, how calls are read, if any may come, and what is not done as it was asked for."""

    options: ChatOptions = PLAIN
    calls: CallFormat | None = None
    notes: tuple[str, ...] = ()
    constraint: Constraint | None = None


def asked_of(pair: Pair, request: GenerationRequest) -> Asked:
    """What `request` asks of the pair. Raises ToolsError where a call must come, and the model cannot make one."""
    use = request.tools
    limits = request.thinking_tokens is not None and request.prompt is None
    if not (use.callable or request.template or request.effort or limits):
        return Asked(constraint=request.constraint)
    manner = pair.chat_manner
    notes: list[str] = []
    if limits and manner.thinking is None and not any(mark in manner.template for mark in _MARKS):
        notes.append(NO_THINKING)
    settings = _settings(manner, request, notes)
    calls = manner.calls if use.callable else None
    if use.callable and calls is None:
        why = NO_CALLS_READ if manner.takes_tools else NO_TOOLS_SHOWN
        if use.mode == "required":
            raise ToolsError(
                f"{why.partition(':')[0]}: it cannot be made to call one; leave tool_choice out, or take another model."
            )
        notes.append(why)
    constraint = request.constraint
    if calls is not None and (use.strict or constraint is not None):
        constraint = calls_constraint(use, calls, manner.special, manner.thinking, manner.template, constraint)
    return Asked(ChatOptions(use.tools if calls is not None else (), settings), calls, tuple(notes), constraint)


def _settings(manner: ChatManner, request: GenerationRequest, notes: list[str]) -> dict[str, Any]:
    """The settings of the template, with the effort by the name that it has there."""
    settings = dict(request.template)
    if unknown := sorted(name for name in settings if not manner.names(name)):
        notes.append(f"The model's chat template asks for no {', '.join(unknown)}: no word changes by it.")
    effort = request.effort
    switch = next((name for name in _SWITCHES if manner.names(name)), None)
    if effort is None:
        return settings
    if manner.names("reasoning_effort"):
        return {"reasoning_effort": effort} | settings
    if effort == "none" and switch is not None:
        return {switch: False} | settings
    notes.append(NO_EFFORT)
    return settings
