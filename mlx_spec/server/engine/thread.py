"""The one thread that owns MLX, for the life of the process: arrays and streams belong to the thread that made them.

It loads the models, and again after it has let them go, then serves jobs from a queue, one at a time and in order. A
job's events cross to the asyncio loop that submitted it; nothing that crosses holds an array. A failing job is told so
and the thread lives on.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from mlx_spec.config import SamplingParams
from mlx_spec.decoding.ceiling import Ceiling
from mlx_spec.decoding.steering import Change, Steering
from mlx_spec.errors import (
    ConfigError,
    LookaheadError,
    ModelNotFoundError,
    PromptError,
    PromptTooLongError,
)
from mlx_spec.events import Event, GenerationFinished, SpeculativeStats
from mlx_spec.server.engine.import_gate import checked_imports
from mlx_spec.server.engine.job import DrafterChoice, Failure, GenerationRequest, Job, JobFailed, LookaheadChoice
from mlx_spec.server.engine.unloading import Unloading, end_streams

Progress = Callable[[str, float], None]
EngineState = Literal["loading", "ready", "failed"]

# Where neither the request nor the model sets an end, an answer must still have one.
_LONGEST_ANSWER: Final = 1 << 15

logger = logging.getLogger(__name__)


class Pair(Protocol):
    """What the engine asks of a loaded pair of models."""

    @property
    def name(self) -> str: ...

    @property
    def target_name(self) -> str: ...

    @property
    def context_length(self) -> int | None: ...

    @property
    def drafters(self) -> tuple[str, ...]: ...

    def encode(self, text: str) -> list[int]: ...

    @property
    def sampling(self) -> Mapping[str, float]: ...

    def encode_chat(self, messages: list[dict[str, Any]], *, continues: bool = False) -> list[int]: ...

    def chat_note(self, messages: list[dict[str, str]]) -> str | None: ...

    def decode(self, token_ids: list[int]) -> str: ...


class Decoder(Protocol):
    """What the engine asks of a decoder; `mlx_spec.decoder.SpeculativeDecoder` is the real one."""

    def stream(
        self,
        prompt_ids: list[int],
        params: SamplingParams,
        *,
        max_tokens: int,
        should_cancel: Callable[[], bool],
        drafter: DrafterChoice | None,
        lookahead: LookaheadChoice | None,
        alternatives: int,
        steering: Steering,
        goes_on: bool,
    ) -> Iterator[Event]: ...

    def warm_up(self) -> Iterator[None]: ...

    def stats(self) -> SpeculativeStats: ...

    def reset_stats(self) -> object: ...

    @property
    def ceiling(self) -> Ceiling | None: ...


Loader = Callable[[Progress], tuple[Pair, Decoder]]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What /health says."""

    state: EngineState
    message: str


class EngineThread:
    """Loads with `load(progress)` on its own thread, then answers jobs. `start` it once, `stop` it once.

    With `unloading` it lets the models go when nobody uses them, and loads them again for the next job.

    `status`, `stats`, `reset_stats`, `submit` and `stop` return at once and may be called from any thread
    (`submit`: from one that runs an asyncio loop).
    """

    def __init__(self, load: Loader, unloading: Unloading[Any] | None = None) -> None:
        self._load_models = load
        self.unloading = unloading
        self._unloaded = False
        self._idle_since = time.monotonic()
        self._kept_stats = SpeculativeStats()
        self._kept_ceiling: Ceiling | None = None
        self._status = EngineStatus("loading", "Loading the models.")
        self._pair: Pair | None = None
        self._decoder: Decoder | None = None
        self._warming: Iterator[None] = iter(())
        # A SimpleQueue, as its put may interrupt its own put: a signal handler can stop the engine.
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._unfinished: set[Job] = set()
        self._lock = threading.Lock()
        self._stopping = False
        # A daemon: who forgets to stop it must not wait for ever. `join` it before the process ends.
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def status(self) -> EngineStatus:
        """Loading, ready or failed, and a sentence about it."""
        return self._status

    @property
    def pair(self) -> Pair | None:
        """The loaded pair, None before that. Other threads may read its plain values, not its arrays."""
        return self._pair

    @property
    def is_loaded(self) -> bool:
        """Whether the models are in memory."""
        return self._pair is not None and not self._unloaded

    def stats(self) -> SpeculativeStats:
        """The counters since the models were loaded or the last reset; all zero while loading."""
        return self._decoder.stats() if self._decoder else self._kept_stats

    @property
    def ceiling(self) -> Ceiling | None:
        """How fast plain decoding could be here at the most; None where that was not measured, or not yet."""
        return self._decoder.ceiling if self._decoder else self._kept_ceiling

    def num_unfinished(self) -> int:
        """How many requests wait or are being answered."""
        with self._lock:
            return len(self._unfinished)

    def reset_stats(self) -> None:
        """Set the counters to zero."""
        self._kept_stats = SpeculativeStats()
        if self._decoder:
            self._decoder.reset_stats()

    def submit(self, request: GenerationRequest) -> Job:
        """Queue a request; its events, or its failure, come to the running asyncio loop."""
        job = Job(request)
        with self._lock:
            if not self._stopping:
                self._unfinished.add(job)
                self._jobs.put(job)
                return job
        job.fail(_STOPPING)
        return job

    def steer(self, request_id: str | None, change: Change) -> str:
        """Change an answer under way from its next round on; the id of that answer. None means the one answer that is
        under way. Raises JobFailed where there is no such answer, ConfigError where it cannot be decoded like that."""
        with self._lock:
            begun = [job for job in self._unfinished if job.request.steering.drafters is not None]
        for job in begun:
            if request_id in (None, job.id) and not job.cancelled():
                job.request.steering.steer(change)
                return job.id
        which = "No answer is under way" if request_id is None else f"No answer {request_id!r} is under way"
        raise JobFailed(Failure("not_found", f"{which}: what was asked for can go with the next request.", "request"))

    def stop(self) -> None:
        """Fail every job that is not finished and let the thread end: after the module that it imports, the weights
        that it reads, the pass that it measures, warms up, reads or answers with. See `join`."""
        with self._lock:
            self._stopping = True
            jobs = list(self._unfinished)
        for job in jobs:
            job.fail(_STOPPING)
        self._jobs.put(None)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread's end after `stop`; False when that takes longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._serve()
        except _Stopping:
            pass
        finally:
            self._let_go_of_warming()
            end_streams()

    def _serve(self) -> None:
        self._load()
        while (job := self._next_job()) is not None:
            try:
                if not job.cancelled():
                    self._answer(job)
            except LookaheadError as error:
                job.fail(_failure(error, "messages" if job.request.prompt is None else "prompt"))
            except Exception as error:  # a bug or a full memory: told to the job, and the thread lives on
                logger.exception("A request failed.")
                job.fail(Failure("engine", f"The engine failed: {type(error).__name__}: {error}"))
            finally:
                with self._lock:
                    self._unfinished.discard(job)
                self._idle_since = time.monotonic()

    def _next_job(self) -> Job | None:
        """Wait for a job; meanwhile warm up, and let the models go where that is due."""
        self._warm_up()
        while self.unloading is not None and self._decoder is not None:
            try:
                return self._jobs.get(timeout=self.unloading.check_s)
            except queue.Empty:
                if reason := self.unloading.reason(time.monotonic() - self._idle_since):
                    self._unload(self.unloading, reason)
        return self._jobs.get()

    def _warm_up(self) -> None:
        """Go on with what the first answers would wait for, as long as there is none to give."""
        try:
            for _ in self._warming if self._jobs.empty() else ():
                if not self._jobs.empty():
                    return
        except Exception:  # whatever it is, an answer will tell it to somebody
            logger.warning("Warming up was given up.", exc_info=True)
            self._let_go_of_warming()

    def _let_go_of_warming(self) -> None:
        """On this thread, which owns the arrays of the step that it was given up in."""
        warming, self._warming = self._warming, iter(())
        if isinstance(warming, Generator):
            warming.close()

    def _unload(self, unloading: Unloading[Any], reason: str) -> None:
        if self._pair is None or self._decoder is None:
            return
        self._kept_stats, self._kept_ceiling = self._decoder.stats(), self._decoder.ceiling
        self._let_go_of_warming()
        self._pair, self._decoder = unloading.strip(self._pair), None
        unloading.free()
        message = f"{self._pair.name} was unloaded, as {reason}: the next request loads it again."
        self._status = EngineStatus("ready", message)
        self._unloaded = True  # last: whoever sees that may rely on the rest
        logger.info(message)

    def _load(self) -> None:
        try:
            with checked_imports(self._check_stopping):
                pair, decoder = self._load_models(self._report_progress)
        except LookaheadError as error:
            self._status = EngineStatus("failed", str(error))
            return
        except Exception as error:  # told by /health and to every request
            logger.exception("The models could not be loaded.")
            self._status = EngineStatus("failed", f"The models could not be loaded: {type(error).__name__}: {error}")
            return
        self._pair, self._decoder = pair, decoder
        self._warming = decoder.warm_up()
        self._unloaded, self._idle_since = False, time.monotonic()
        self._status = EngineStatus("ready", f"{pair.name} is ready.")

    def _report_progress(self, stage: str, fraction: float) -> None:
        self._check_stopping()
        self._status = EngineStatus("loading", f"{stage.capitalize()}: {fraction:.0%}")

    def _check_stopping(self) -> None:
        if self._stopping:
            raise _Stopping

    def _answer(self, job: Job) -> None:
        if self._unloaded:
            self._load()
        if self._pair is None or self._decoder is None:
            job.fail(Failure("engine", self._status.message))
            return
        request = job.request
        prompt_ids = _encode(self._pair, request)
        events = self._decoder.stream(
            prompt_ids,
            request.params_with(self._pair.sampling),
            max_tokens=request.max_tokens or self._pair.context_length or _LONGEST_ANSWER,
            should_cancel=job.cancelled,
            drafter=request.drafter,
            lookahead=request.lookahead,
            alternatives=request.alternatives,
            steering=request.steering,
            goes_on=request.prompt is not None or request.continues,
        )
        _forward(events, job)


_STOPPING = Failure("engine", "The server is stopping.")


class _Stopping(BaseException):  # no Exception: nobody on the way is to take it for a reason to go on otherwise
    """Raised where loading may be given up, once `stop` was called."""


def _forward(events: Iterator[Event], job: Job) -> None:
    """Post every event, ending early when the job is over. The decoder then cleans up in its own `finally`."""
    finished = False
    try:
        for event in events:
            finished = isinstance(event, GenerationFinished)
            if finished and job.cancelled():
                return
            if not job.post(event):
                return
    finally:
        if isinstance(events, Generator):
            events.close()
    if not finished:
        job.fail(Failure("engine", "The engine stopped before the answer was finished."))


def _encode(pair: Pair, request: GenerationRequest) -> list[int]:
    if request.prompt is not None:
        return pair.encode(request.prompt) if isinstance(request.prompt, str) else list(request.prompt)
    messages = [dict(message) for message in request.messages]
    token_ids = pair.encode_chat(messages, continues=request.continues)
    if note := pair.chat_note(messages):
        logger.warning(note)
    return token_ids


def _failure(error: LookaheadError, prompt_field: str) -> Failure:
    match error:
        case ConfigError():
            inside = "speculation." if error.field in ("drafter", "lookahead") else ""
            return Failure("invalid", str(error), f"{inside}{error.field}")
        case PromptTooLongError():
            return Failure("invalid", str(error), prompt_field, "context_length_exceeded")
        case PromptError():
            return Failure("invalid", str(error), prompt_field)
        case ModelNotFoundError():
            return Failure("not_found", str(error), "model")
        case _:
            return Failure("engine", str(error))
