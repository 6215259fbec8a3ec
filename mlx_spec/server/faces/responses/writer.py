"""A response as it is made: its items, and the events that tell of them one by one."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal
from uuid import uuid4

from mlx_spec.events import GenerationFinished
from mlx_spec.models.text.parts import Content, Part, Reasoning, ToolArguments, ToolCallBegun
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.answers.logprobs import HeldTokens, PlacedToken, each_of
from mlx_spec.server.engine.job import Failure

Status = Literal["in_progress", "completed", "incomplete", "failed"]


class ResponseWriter:
    """`told` are the fields that the request says, and the response repeats. `keep` is called with the response when it
    is whole."""

    def __init__(self, response_id: str, model: str, told: Json, keep: Callable[[Json], None]) -> None:
        self._sums_up = bool(told["reasoning"]["summary"])
        self._id, self._model, self._told, self._keep = response_id, model, told, keep
        self._created = int(time.time())
        self._completed: int | None = None
        self._status: Status = "in_progress"
        self._error: Json | None = None
        self._usage: Json | None = None
        self._sequence = 0
        self.items: list[Json] = []
        """What was said, thought and called."""
        self._open: _Open | None = None

    def begun(self, prompt_tokens: int, cached_tokens: int) -> list[Json]:
        """The response has begun."""
        return [self._event(f"response.{name}", response=self.answer()) for name in ("created", "in_progress")]

    def part(self, part: Part, tokens: HeldTokens) -> list[Json]:
        """What one more part brings: an item that begins or goes on, and perhaps the end of the one before."""
        match part:
            case Reasoning():
                return [*self._turn_to("reasoning"), self._grow(part.text)]
            case Content():
                said = tokens.take_up_to(part.begin + len(part.text), part.begin)
                return [*self._turn_to("message"), self._grow(part.text, said)]
            case ToolCallBegun():
                return [*self._close(), *self._begin("function_call", call_id=part.id, name=part.name)]
            case ToolArguments():
                return [self._grow(part.text)]

    def finished(self, event: GenerationFinished, tokens: HeldTokens, thought_tokens: int) -> list[Json]:
        """The end, and the whole response with it."""
        is_cut = event.finish_reason == "length"
        events = [] if self._open or self.items else self._turn_to("message")
        events += self._close("incomplete" if is_cut else "completed")
        self._status = "incomplete" if is_cut else "completed"
        self._completed = int(time.time())
        self._usage = self._counted(event, thought_tokens)
        self._keep(self.answer())
        return [*events, self._event(f"response.{self._status}", response=self.answer())]

    def failed(self, failure: Failure) -> list[Json]:
        """The engine could not go on."""
        self._status = "failed"
        code = {"busy": "rate_limit_exceeded", "invalid": "invalid_prompt"}.get(failure.kind, "server_error")
        self._error = {"code": code, "message": failure.message.encode(errors="backslashreplace").decode()}
        return [self._event("response.failed", response=self.answer())]

    def answer(self) -> Json:
        """The response as it stands."""
        is_cut = self._status == "incomplete"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": self._completed,
            "status": self._status,
            "error": self._error,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "model": self._model,
            "output": [*self.items],
            "usage": self._usage,
            "user": None,
        } | self._told

    def _turn_to(self, kind: Literal["message", "reasoning"]) -> list[Json]:
        if self._open is not None and self._open.kind == kind:
            return []
        return [*self._close(), *self._begin(kind)]

    def _begin(self, kind: Literal["message", "reasoning", "function_call"], **about: str) -> list[Json]:
        self._open = _Open(kind, about, sums_up=self._sums_up and kind == "reasoning")
        return [self._event(f"response.{name}", **self._place(name), **what) for name, what in self._open.beginning()]

    def _grow(self, text: str, tokens: Sequence[PlacedToken] = ()) -> Json:
        assert self._open is not None, "an item was begun"
        logprobs = _logprobs(tokens)
        self._open.text += text
        self._open.logprobs += logprobs
        extra: Json = {"logprobs": logprobs} if self._open.kind == "message" else {}
        return self._event(f"response.{self._open.growing}.delta", **self._place("delta"), delta=text, **extra)

    def _close(self, status: Literal["completed", "incomplete"] = "completed") -> list[Json]:
        if self._open is None:
            return []
        events = [
            self._event(f"response.{name}", **self._place(name), **what) for name, what in self._open.ending(status)
        ]
        self.items.append(self._open.item(status))
        self._open = None
        return events

    def _place(self, name: str) -> Json:
        """Where an event belongs: the item, and the part of its content."""
        assert self._open is not None, "an item was begun"
        place: Json = {"output_index": len(self.items)}
        if name.startswith("output_item."):
            return place
        place["item_id"] = self._open.id
        if self._open.kind == "function_call":
            return place
        return place | {"summary_index" if self._open.sums_up else "content_index": 0}

    def _event(self, kind: str, **fields: Any) -> Json:
        self._sequence += 1
        return {"type": kind, "sequence_number": self._sequence - 1} | fields

    def _counted(self, event: GenerationFinished, thought_tokens: int) -> Json:
        count = len(event.token_ids)
        return {
            "input_tokens": event.prompt_tokens,
            "input_tokens_details": {"cached_tokens": event.cached_tokens},
            "output_tokens": count,
            "output_tokens_details": {"reasoning_tokens": thought_tokens},
            "total_tokens": event.prompt_tokens + count,
        }


class _Open:
    """An item that goes on. With `sums_up`, a thought is told as its own summary: clients that ask for one show that,
    and nothing else."""

    def __init__(
        self, kind: Literal["message", "reasoning", "function_call"], about: Json, *, sums_up: bool = False
    ) -> None:
        self.kind, self._about, self.text, self.sums_up = kind, about, "", sums_up
        self.logprobs: list[Json] = []
        self.id = f"{ {'message': 'msg', 'reasoning': 'rs', 'function_call': 'fc'}[kind] }_{uuid4().hex}"
        self.growing = {
            "message": "output_text",
            "reasoning": "reasoning_summary_text" if sums_up else "reasoning_text",
            "function_call": "function_call_arguments",
        }[kind]
        self._part = "reasoning_summary_part" if sums_up else "content_part"

    def item(self, status: Status) -> Json:
        """The item as it stands."""
        is_begun = status == "in_progress"
        match self.kind:
            case "message":
                content = [] if is_begun else [self._content()]
                return self._head(status) | {"role": "assistant", "content": content}
            case "reasoning":
                thought = [] if is_begun else [self._content()]
                told: Json = {"summary": thought} if self.sums_up else {"summary": [], "content": thought}
                return self._head(status) | told
            case "function_call":
                return self._head(status) | self._about | {"arguments": self.text}

    def beginning(self) -> list[tuple[str, Json]]:
        """The names of the events that tell of it, and what they say."""
        added: list[tuple[str, Json]] = [("output_item.added", {"item": self.item("in_progress")})]
        return added if self.kind == "function_call" else [*added, (f"{self._part}.added", {"part": self._content()})]

    def ending(self, status: Status) -> list[tuple[str, Json]]:
        """As `beginning`, of its end."""
        done: tuple[str, Json] = ("output_item.done", {"item": self.item(status)})
        match self.kind:
            case "function_call":
                return [(f"{self.growing}.done", {"arguments": self.text, "name": self._about["name"]}), done]
            case "message":
                said: Json = {"text": self.text, "logprobs": [*self.logprobs]}
                return [(f"{self.growing}.done", said), ("content_part.done", {"part": self._content()}), done]
            case "reasoning":
                thought = {"text": self.text}
                return [(f"{self.growing}.done", thought), (f"{self._part}.done", {"part": self._content()}), done]

    def _head(self, status: Status) -> Json:
        return {"id": self.id, "type": self.kind, "status": status}

    def _content(self) -> Json:
        if self.kind == "reasoning":
            return {"type": "summary_text" if self.sums_up else "reasoning_text", "text": self.text}
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": [*self.logprobs]}


def _logprobs(tokens: Sequence[PlacedToken]) -> list[Json]:
    """As the protocol has them: here what is no text has no bytes, where a chat says null."""
    told = each_of(tokens)
    for one in told:
        for each in (one, *one["top_logprobs"]):
            each["bytes"] = each["bytes"] or []
    return told
