"""A message as it is made: its blocks, and the events that tell of them one by one."""

from typing import Any, Final, Literal

from mlx_spec.events import GenerationFinished
from mlx_spec.models.text.parts import Content, Part, Reasoning, ToolArguments, ToolCallBegun
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.answers.logprobs import HeldTokens
from mlx_spec.server.answers.shapes import anthropic_error
from mlx_spec.server.engine.job import Failure
from mlx_spec.server.faces.arguments import read_arguments

Kind = Literal["text", "thinking", "tool_use"]
_GROWS: Final[dict[Kind, tuple[str, str]]] = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}


class MessageWriter:
    """With `thinks` what is thought is told, too. The protocol has no log-probabilities."""

    def __init__(self, message_id: str, model: str, *, thinks: bool) -> None:
        self._id, self._model, self._thinks = message_id, model, thinks
        self._blocks: list[Json] = []
        self._kind: Kind | None = None  # of the block that goes on
        self._text = ""
        self._usage: Json = {}
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None

    def begun(self, prompt_tokens: int, cached_tokens: int) -> list[Json]:
        """The message has begun. Anthropic counts what was known before apart."""
        self._usage = {
            "input_tokens": prompt_tokens - cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached_tokens,
            "output_tokens": 0,
        }
        return [{"type": "message_start", "message": self.answer()}, {"type": "ping"}]

    def part(self, part: Part, tokens: HeldTokens) -> list[Json]:
        """What one more part brings: a block that begins or goes on, and perhaps the end of the one before."""
        match part:
            case Reasoning():
                if not self._thinks:
                    return []
                return [*self._turn_to("thinking", {"thinking": "", "signature": ""}), self._grow(part.text)]
            case Content():
                return [*self._turn_to("text", {"text": ""}), self._grow(part.text)]
            case ToolCallBegun():
                self._stop_reason = "tool_use"
                return [*self._close(), *self._begin("tool_use", {"id": part.id, "name": part.name, "input": {}})]
            case ToolArguments():
                return [self._grow(part.text)]

    def finished(self, event: GenerationFinished, tokens: HeldTokens, thought_tokens: int) -> list[Json]:
        """Why it ended, and the counts."""
        events = self._close()
        self._usage["output_tokens"] = len(event.token_ids)
        if event.finish_reason == "length":
            self._stop_reason = "max_tokens"
        elif event.stop_string is not None:
            self._stop_reason, self._stop_sequence = "stop_sequence", event.stop_string
        else:
            self._stop_reason = self._stop_reason or "end_turn"
        delta = {"stop_reason": self._stop_reason, "stop_sequence": self._stop_sequence}
        return [
            *events,
            {"type": "message_delta", "delta": delta, "usage": dict(self._usage)},
            {"type": "message_stop"},
        ]

    def failed(self, failure: Failure) -> list[Json]:
        """The engine could not go on."""
        return [anthropic_error(failure.message, 429 if failure.kind == "busy" else 500)]

    def answer(self) -> Json:
        """The message as it stands."""
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [*self._blocks],
            "stop_reason": self._stop_reason,
            "stop_sequence": self._stop_sequence,
            "usage": dict(self._usage),
        }

    def _turn_to(self, kind: Kind, empty: Json) -> list[Json]:
        return [] if self._kind == kind else [*self._close(), *self._begin(kind, empty)]

    def _begin(self, kind: Kind, block: Json) -> list[Json]:
        self._kind, self._text = kind, ""
        self._blocks.append({"type": kind} | block)
        return [self._event("content_block_start", content_block=dict(self._blocks[-1]))]

    def _grow(self, text: str) -> Json:
        assert self._kind is not None, "a block was begun"
        self._text += text
        kind, field = _GROWS[self._kind]
        return self._event("content_block_delta", delta={"type": kind, field: text})

    def _close(self) -> list[Json]:
        if self._kind is None:
            return []
        block, kind, self._kind = self._blocks[-1], self._kind, None
        if kind == "tool_use":
            block["input"] = read_arguments(self._text)
        else:
            block[kind] = self._text
        # Nobody but Anthropic can sign what was thought; the delta tells clients that it is over.
        signed = [self._event("content_block_delta", delta={"type": "signature_delta", "signature": ""})]
        return [*(signed if kind == "thinking" else []), self._event("content_block_stop")]

    def _event(self, kind: str, **fields: Any) -> Json:
        return {"type": kind, "index": len(self._blocks) - 1} | fields
