"""An answer as Ollama tells it: objects with a piece of it each, and the counts in the last."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from mlx_spec.events import GenerationFinished
from mlx_spec.models.text.parts import Content, Part, Reasoning, ToolArguments, ToolCallBegun
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.answers.logprobs import HeldTokens, PlacedToken, each_of
from mlx_spec.server.engine.job import Failure
from mlx_spec.server.faces.arguments import read_arguments


class ChatWriter:
    """As /api/chat tells it. Times are nanoseconds."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._arrived_ns = time.monotonic_ns()
        self._first_ns: int | None = None  # when the first part came
        self._content = self._thinking = ""
        self._calls: list[Json] = []
        self._call: tuple[ToolCallBegun, str] | None = None  # Ollama tells a call when it is whole
        self._logprobs: list[Json] = []
        self._last: Json = {}

    def begun(self, prompt_tokens: int, cached_tokens: int) -> list[Json]:
        """Nothing to tell."""
        return []

    def part(self, part: Part, tokens: HeldTokens) -> list[Json]:
        """What one more part brings."""
        self._first_ns = self._first_ns or time.monotonic_ns()
        match part:
            case Reasoning():
                self._thinking += part.text
                return [self._piece(thinking=part.text) | self._taken(tokens.take_up_to(_end(part)))]
            case Content():
                self._content += part.text
                piece = self._piece(content=part.text) | self._taken(tokens.take_up_to(_end(part)))
                return [*self._called(), piece]
            case ToolCallBegun():
                told = self._called()
                self._call = part, ""
                return told
            case ToolArguments():
                assert self._call is not None, "a call was begun"
                self._call = self._call[0], self._call[1] + part.text
                return []

    def finished(self, event: GenerationFinished, tokens: HeldTokens, thought_tokens: int) -> list[Json]:
        """The counts, and how long it took."""
        now_ns, read_ns = time.monotonic_ns(), int(event.prefill_ms * 1e6)
        total_ns, first_ns = now_ns - self._arrived_ns, self._first_ns or now_ns
        called = self._called()
        self._last = {
            "done": True,
            "done_reason": "length" if event.finish_reason == "length" else "stop",
            "total_duration": total_ns,
            "load_duration": max(0, first_ns - self._arrived_ns - read_ns),  # and waiting for its turn
            "prompt_eval_count": event.prompt_tokens,
            "prompt_eval_duration": read_ns,
            "eval_count": len(event.token_ids),
            "eval_duration": now_ns - first_ns,
        }
        return [*called, self._piece() | self._taken(tokens.finish(event)) | self._last]

    def failed(self, failure: Failure) -> list[Json]:
        """The engine could not go on."""
        return [{"error": failure.message.encode(errors="backslashreplace").decode()}]

    def answer(self) -> Json:
        """The whole, once finished."""
        logprobs = {"logprobs": self._logprobs} if self._logprobs else {}
        return self._piece(self._content, self._thinking, self._calls) | logprobs | self._last

    def _taken(self, tokens: Sequence[PlacedToken]) -> Json:
        """The log-probabilities of a piece: here all tokens have theirs, those that were thought and called, too."""
        told = each_of(tokens)
        self._logprobs += told
        return {"logprobs": told} if told else {}

    def _called(self) -> list[Json]:
        """The call that is whole now."""
        if self._call is None:
            return []
        (begun, text), self._call = self._call, None
        function = {"index": begun.index, "name": begun.name, "arguments": read_arguments(text)}
        self._calls.append({"id": begun.id, "function": function})
        return [self._piece(calls=self._calls[-1:])]

    def _piece(self, content: str = "", thinking: str = "", calls: list[Json] | None = None) -> Json:
        message: Json = {"role": "assistant", "content": content}
        message |= {"thinking": thinking} if thinking else {}
        message |= {"tool_calls": calls} if calls else {}
        return self._head() | {"message": message, "done": False}

    def _head(self) -> Json:
        return {"model": self._model, "created_at": now()}


class GenerateWriter(ChatWriter):
    """As /api/generate tells it."""

    def _piece(self, content: str = "", thinking: str = "", calls: list[Json] | None = None) -> Json:
        thought = {"thinking": thinking} if thinking else {}
        return self._head() | {"response": content} | thought | {"done": False}


def _end(part: Content | Reasoning) -> int:
    """Where a part ends in all that was written."""
    return part.begin + len(part.text)


def now() -> str:
    """The time, as Ollama writes it."""
    return written(datetime.now(UTC))


def written(moment: datetime) -> str:
    """A time as Ollama writes it."""
    return moment.isoformat().replace("+00:00", "Z")
