"""Asking several questions at once, each from a thread of its own, with one clock for all."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

from mlx_spec.bench.paired.chat_client import BusyServerError
from mlx_spec.bench.paired.serving.answers import ServedAnswer
from mlx_spec.bench.paired.serving.clients import Client
from mlx_spec.bench.paired.serving.questions import Question
from mlx_spec.errors import LookaheadError

CONNECT_S: Final = 0.01
"""From one connection to the next: some servers drop those that come at the same moment."""
SETTLED_TEXTS: Final = 16
"""So many texts of each writer are its usual pace, before anybody else comes."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a server is asked: through which client, with which further fields, for how many tokens at most. `count`
    counts the tokens of a text for a server that does not."""

    client: Client
    max_tokens: int
    more: Mapping[str, Any]
    count: Callable[[str], int]


def ask_together(asking: Asking, questions: Sequence[Question]) -> tuple[ServedAnswer, ...]:
    """All at once, and all answers, in the order of the questions. A failure is that answer's `error`."""
    with _Crew(asking.client, len(questions)) as crew:
        futures = [crew.begin(asking, question) for question in questions]
        return tuple(future.result()[0] for future in futures)


def ask_among_writers(
    asking: Asking, writers: Sequence[Question], late: Question, late_tokens: int, *, settled: int = SETTLED_TEXTS
) -> tuple[tuple[ServedAnswer, ...], ServedAnswer, int | None]:
    """The writers' answers, that to `late`, asked once each writer has had `settled` texts or has ended, and how many
    tokens that prompt has, where the server tells."""
    with _Crew(asking.client, len(writers) + 1) as crew:
        paces = [_Pace(settled) for _ in writers]
        futures = [crew.begin(asking, question, pace) for question, pace in zip(writers, paces, strict=True)]
        for pace in paces:
            pace.reached.wait()
        answer, prompt_tokens = crew.begin(replace(asking, max_tokens=late_tokens), late).result()
        return tuple(future.result()[0] for future in futures), answer, prompt_tokens


def ask_over_time(asking: Asking, questions: Sequence[Question], waits_s: Sequence[float]) -> tuple[ServedAnswer, ...]:
    """Each after its wait behind the one before, whoever is still being answered, and all answers, in the order of the
    questions."""
    with _Crew(asking.client, len(questions)) as crew:
        futures = []
        due = 0.0
        for question, wait_s in zip(questions, waits_s, strict=True):
            due += wait_s
            futures.append(crew.begin(asking, question, due_s=due))
        return tuple(future.result()[0] for future in futures)


class _Pace:
    """Whether a writer has had so many texts, or has ended."""

    def __init__(self, texts: int) -> None:
        self.reached = threading.Event()
        self._left = texts

    def text(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self.reached.set()


class _Crew:
    """Threads that ask, and their clock. Where it is left by an error or Ctrl-C, no answer is waited for."""

    def __init__(self, client: Client, size: int) -> None:
        self._client = client
        self._pool = ThreadPoolExecutor(size)
        self._began = time.perf_counter()

    def __enter__(self) -> "_Crew":
        return self

    def __exit__(self, kind: type[BaseException] | None, *ended: object) -> None:
        if kind is not None:
            self._client.close()
        self._pool.shutdown()

    def begin(
        self, asking: Asking, question: Question, pace: _Pace | None = None, *, due_s: float | None = None
    ) -> "Future[tuple[ServedAnswer, int | None]]":
        """Ask, and return at once, or nearly. `due_s` is when, on its clock."""
        if due_s is not None:
            time.sleep(max(0.0, due_s - self._now()))
            return self._pool.submit(self._answer, asking, question, pace or _Pace(1))
        future = self._pool.submit(self._answer, asking, question, pace or _Pace(1))
        time.sleep(CONNECT_S)
        return future

    def _answer(self, asking: Asking, question: Question, pace: _Pace) -> tuple[ServedAnswer, int | None]:
        pieces: list[str] = []
        times: list[float] = []
        tokens = prompt_tokens = error = None
        asked, refused = self._now(), False
        try:
            for piece in asking.client.pieces(question.messages, asking.max_tokens, asking.more):
                if piece.text:
                    times.append(self._now())
                    pieces.append(piece.text)
                    pace.text()
                tokens = tokens if piece.tokens is None else piece.tokens
                prompt_tokens = prompt_tokens if piece.prompt_tokens is None else piece.prompt_tokens
        except LookaheadError as failed:
            error, refused = str(failed), isinstance(failed, BusyServerError)
        finally:
            pace.reached.set()
        text, end = "".join(pieces), self._now()
        counted = tokens if tokens is not None else asking.count(text) if text else 0
        told = (question.number, asked, tuple(times), end, counted, text, error)
        return ServedAnswer(*told, refused=refused), prompt_tokens

    def _now(self) -> float:
        return time.perf_counter() - self._began
