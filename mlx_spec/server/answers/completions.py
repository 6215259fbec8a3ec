"""The answers of /v1/chat/completions and /v1/completions: events as chunks, or gathered into the whole."""

import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from mlx_spec.events import Event, GenerationFinished, PrefillProgress, PromptScored, RoundFinished, TextDelta
from mlx_spec.models.text.parts import AnswerParts, Content, Part
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.answers.logprobs import HeldTokens, PlacedToken, of_chat, of_completion, placed_in, text_of
from mlx_spec.server.answers.message import delta_of, message_of, reason_of
from mlx_spec.server.answers.speculation import speculation_of
from mlx_spec.server.engine.job import GenerationRequest, Job


@cache
def fingerprint() -> str:
    """What answers with a seed depend on besides what was asked, and the machine: where it changes, words may."""
    return f"fp_lookahead_{version('lookahead-spec')}_mlx_{version('mlx')}"


class AnswerWriter:
    """Turns the events of one answer into chunks (`chunks`), or gathers them into the whole (`add`, then `answer`).

    The events of several choices come one choice after the other; each prompt has `choices_each`.
    """

    _kind = "chat.completion"
    _chunk_kind = "chat.completion.chunk"

    def __init__(
        self, model: str, jobs: Sequence[Job], *, events: bool, usage: bool = False, choices_each: int = 1
    ) -> None:
        self._id, self._jobs = jobs[0].id, jobs
        self._parts: AnswerParts | None = None  # of the choice under way, once its first text came
        self._choices_each = choices_each
        self._created = int(time.time())
        self._model = model
        self._events = events
        self._usage_asked = usage
        self._round: RoundFinished | None = None
        self._rounds: list[Json] = []  # of the choice under way
        self._finished: list[GenerationFinished] = []
        self._choices: list[Json] = []
        self._tokens = HeldTokens()  # of the choice under way
        self._thought_tokens = 0

    def opening(self) -> list[Json]:
        """The first chunk of a choice: the role and no text."""
        return [self._chunk({"role": "assistant", "content": ""})]

    def chunks(self, event: Event) -> list[Json]:
        """The chunks that `event` completes: a round waits for the text that it made final, to go with it."""
        match event:
            case TextDelta():
                return self._told(self._parts_of(event.text), self._tokens.take(event.text))
            case RoundFinished():
                chunks = self._held()
                self._tokens.add(event)
                if self._events:
                    self._round = event
                    # No token of it made text final, so no TextDelta follows: do not wait a round for one.
                    return chunks if any(token.text for token in event.emitted) else chunks + self._held()
                return chunks
            case PrefillProgress():
                return [self._chunk({}, event=event)] if self._events else []
            case GenerationFinished():
                chunks = self._told(self._parts_of("", ended=True), self._rest(event))
                told = event if self._events else None
                chunks.append(self._noted(self._chunk({}, event=told, finish_reason=self._reason(event))))
                self._end(event)
                return chunks
            case _:  # of the line and the batch, not of the answer
                return []

    def usage_chunk(self) -> Json:
        """The chunk of `stream_options.include_usage`, after the last one."""
        return self._head(self._chunk_kind) | {"choices": [], "usage": self._usage()}

    def add(self, event: Event) -> None:
        """Take an event of an answer that is not streamed."""
        if isinstance(event, GenerationFinished):
            choice = self._whole(event.text)  # which finds the calls that it may have ended for
            choice |= {"logprobs": self._logprobs(self._rest(event)), "finish_reason": self._reason(event)}
            if self._events:
                choice["speculation"] = speculation_of(event) | {"rounds": self._rounds}
            self._choices.append(self._noted(choice))
            self._end(event)
        elif isinstance(event, RoundFinished):
            self._tokens.add(event)
            if self._events:
                self._rounds.append(speculation_of(event))

    def answer(self) -> Json:
        """The whole answer, once GenerationFinished was added for every choice."""
        body = self._head(self._kind) | {"choices": self._choices, "usage": self._usage()}
        if self._events and len(self._choices) == 1:  # the one choice's own stands beside it
            body["speculation"] = self._choices[0].pop("speculation")
        return body

    def _held(self) -> list[Json]:
        held, self._round = self._round, None
        return [self._chunk({}, event=held)] if held else []

    def _told(self, parts: list[Part], tokens: Sequence[PlacedToken]) -> list[Json]:
        """The chunks of these parts, the first with the round that waited for its text, and with its tokens."""
        if not parts and not (tokens and self._asks_logprobs):
            return self._held()
        held, self._round = self._round, None
        first, *further = map(delta_of, parts or [Content("")])
        return [self._chunk(first, event=held, tokens=tokens), *map(self._chunk, further)]

    def _parts_of(self, text: str, *, ended: bool = False) -> list[Part]:
        if self._parts is None:
            self._parts = self._jobs[self._index].parts()
        return self._parts.feed(text, ended=ended)

    def _reason(self, event: GenerationFinished) -> str:
        return reason_of(event.finish_reason, self._parts.num_calls if self._parts is not None else 0)

    def _noted(self, told: Json) -> Json:
        """With what was not done as it was asked for."""
        notes = self._jobs[self._index].notes
        return told | {"notes": list(notes)} if notes else told

    def _end(self, event: GenerationFinished) -> None:
        """The choice under way is over."""
        self._finished.append(event)
        if self._parts is not None:
            self._thought_tokens += self._tokens.num_in(self._parts.thoughts)
        self._parts, self._rounds, self._tokens = None, [], HeldTokens()

    def _head(self, kind: str) -> Json:
        head = {"id": self._id, "object": kind, "created": self._created, "model": self._model}
        return head | {"system_fingerprint": fingerprint()}

    def _chunk(
        self,
        delta: Json,
        *,
        event: PrefillProgress | RoundFinished | GenerationFinished | None = None,
        finish_reason: str | None = None,
        tokens: Sequence[PlacedToken] = (),
    ) -> Json:
        told = {"logprobs": self._logprobs(tokens) if tokens else None, "finish_reason": finish_reason}
        choice = self._part(delta) | told
        chunk = self._head(self._chunk_kind) | {"choices": [choice]}
        if self._usage_asked:
            chunk["usage"] = None  # OpenAI sends the null, with the counts in a chunk of their own
        return chunk | {"speculation": speculation_of(event)} if event else chunk

    def _whole(self, text: str) -> Json:
        return {"index": self._index, "message": message_of(self._parts_of(text, ended=True))}

    def _part(self, delta: Json) -> Json:
        return {"index": self._index, "delta": delta}

    def _rest(self, finished: GenerationFinished) -> list[PlacedToken]:
        """The tokens that are told with the end of the answer: what is left of those whose text is in it."""
        return self._tokens.finish(finished)

    def _logprobs(self, tokens: Sequence[PlacedToken]) -> Json | None:
        """As a choice has them; None where nobody asked."""
        return of_chat(tokens) if self._asks_logprobs else None

    @property
    def _asks_logprobs(self) -> bool:
        return self._request is not None and self._request.logprobs is not None

    @property
    def _request(self) -> GenerationRequest | None:
        """What was asked of the choice under way."""
        return self._jobs[self._index].request if self._index < len(self._jobs) else None

    @property
    def _index(self) -> int:
        """Of the choice under way."""
        return len(self._finished)

    def _usage(self) -> Json:
        # A prompt counts once, whatever number of choices it has.
        prompts = self._finished[:: self._choices_each]
        prompt = sum(one.prompt_tokens for one in prompts)
        completion = sum(len(one.token_ids) for one in self._finished)
        usage: Json = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": sum(one.cached_tokens for one in prompts)},
        }
        predicted = [one.prediction for one in self._finished if one.prediction is not None]
        details = {"reasoning_tokens": self._thought_tokens} if self._thought_tokens else {}
        if predicted:
            details["accepted_prediction_tokens"] = sum(one.accepted for one in predicted)
            details["rejected_prediction_tokens"] = sum(one.rejected for one in predicted)
        return usage | ({"completion_tokens_details": details} if details else {})


class CompletionWriter(AnswerWriter):
    """As AnswerWriter, in the words of /v1/completions."""

    _kind = _chunk_kind = "text_completion"

    def __init__(self, *told: Any, **named: Any) -> None:
        super().__init__(*told, **named)
        self._echoed, self._prompt = "", list[PlacedToken]()  # of the choice under way

    def opening(self) -> list[Json]:
        """A completion has no role to tell. One that is to echo begins with its prompt, unless the engine has yet to
        tell that."""
        request = self._request
        if request is None or not request.echo or request.scores_prompt:
            return []
        self._echoed = str(request.prompt)
        return [self._chunk({"content": self._echoed})]

    def chunks(self, event: Event) -> list[Json]:
        """As those of a chat; and the prompt, where it was scored."""
        if isinstance(event, PromptScored):
            self._score(event)
            chunk = self._chunk({"content": self._echoed})
            chunk["choices"][0]["logprobs"] = self._logprobs(())
            self._prompt = []
            return [chunk]
        chunks = super().chunks(event)
        if isinstance(event, GenerationFinished):
            self._echoed = ""
        return chunks

    def add(self, event: Event) -> None:
        """As for a chat; and the prompt, where it was scored."""
        if isinstance(event, PromptScored):
            self._score(event)
        if isinstance(event, GenerationFinished) and (request := self._request) is not None:
            if request.echo and not request.scores_prompt:
                self._echoed = str(request.prompt)
            super().add(event)
            self._echoed, self._prompt = "", []
        else:
            super().add(event)

    def _score(self, event: PromptScored) -> None:
        prompt = self._request.prompt if self._request is not None else None
        self._echoed = prompt if isinstance(prompt, str) else text_of(event.tokens)
        self._prompt = placed_in(self._echoed, event.tokens)

    def _rest(self, finished: GenerationFinished) -> list[PlacedToken]:
        # Here the token that ends an answer is told: who asks for one token more than a prompt has counts on it.
        end = self._tokens.end
        ending = [PlacedToken(end, len(finished.text))] if end is not None else []
        return [*super()._rest(finished), *ending]

    def _logprobs(self, tokens: Sequence[PlacedToken]) -> Json | None:
        if not self._asks_logprobs:
            return None
        answered = (PlacedToken(one.token, len(self._echoed) + one.begin) for one in tokens)
        return of_completion([*self._prompt, *answered])

    def _parts_of(self, text: str, *, ended: bool = False) -> list[Part]:
        return [Content(text)] if text else []  # which is gone on with as it is

    def _whole(self, text: str) -> Json:
        return {"index": self._index, "text": self._echoed + text}

    def _part(self, delta: Json) -> Json:
        return {"index": self._index, "text": delta.get("content", "")}
