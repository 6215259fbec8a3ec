"""The one thread that owns MLX, for the life of the process: arrays and streams belong to the thread that made them.

It loads the models, and again after it has let them go, then serves jobs from a queue, one at a time and in order. A
job's events cross to the asyncio loop that submitted it; nothing that crosses holds an array. A failing job is told so
and the thread lives on.
"""

import logging
import queue
import threading
from functools import partial
from typing import Any, Final

from mlx_spec.decoding.cache.blocks.prefixes import PrefixStats
from mlx_spec.decoding.ceiling import Ceiling
from mlx_spec.decoding.steering import Change
from mlx_spec.errors import LookaheadError
from mlx_spec.events import SpeculativeStats
from mlx_spec.server.engine.answering import answer, failure_of
from mlx_spec.server.engine.expecting import Expectation, expected
from mlx_spec.server.engine.job import Failure, Forgetting, GenerationRequest, Job, JobFailed
from mlx_spec.server.engine.models import EngineStatus, Models
from mlx_spec.server.engine.served import Loader, Pair
from mlx_spec.server.engine.unloading import Unloading, end_streams

_STOPPING: Final = Failure("engine", "The server is stopping.")

logger = logging.getLogger(__name__)


class EngineThread:
    """Loads with `load(progress)` on its own thread, then answers jobs. `start` it once, `stop` it once.

    With `unloading` it lets the models go when nobody uses them, and loads them again for the next job.

    `status`, `stats`, `reset_stats`, `submit`, `forget_prefixes` and `stop` return at once and may be called from any
    thread (`submit`: from one that runs an asyncio loop).
    """

    def __init__(self, load: Loader, unloading: Unloading[Any] | None = None) -> None:
        self._models = Models(load, unloading)
        # A SimpleQueue, as its put may interrupt its own put: a signal handler can stop the engine.
        self._jobs: queue.SimpleQueue[Job | Forgetting | None] = queue.SimpleQueue()
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
        return self._models.status

    @property
    def pair(self) -> Pair | None:
        """The loaded pair, None before that. Other threads may read its plain values, not its arrays."""
        return self._models.pair

    @property
    def is_loaded(self) -> bool:
        """Whether the models are in memory."""
        return self._models.are_loaded

    @property
    def unloading(self) -> Unloading[Any] | None:
        """When the models are let go; None where they are kept."""
        return self._models.unloading

    def stats(self) -> SpeculativeStats:
        """The counters since the models were loaded or the last reset; all zero while loading."""
        return self._models.stats()

    def reset_stats(self) -> None:
        """Set the counters to zero."""
        self._models.reset_stats()

    def prefix_stats(self) -> PrefixStats:
        """What answers have read and left for the next ones; all zero where there are no models in memory."""
        return self._models.prefix_stats()

    @property
    def ceiling(self) -> Ceiling | None:
        """How fast plain decoding could be here at the most; None where that was not measured, or not yet."""
        return self._models.ceiling

    def num_unfinished(self) -> int:
        """How many requests wait or are being answered."""
        with self._lock:
            return len(self._unfinished)

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

    def forget_prefixes(self, owner: str | None = None) -> None:
        """Forget what was read for the chat `owner`, or all that was read, behind the jobs that wait now and before
        those to come."""
        self._jobs.put(Forgetting(owner))

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
            self._models.load(self._check_stopping)
            while (job := self._next_job()) is not None:
                if isinstance(job, Forgetting):
                    self._models.forget_prefixes(job.owner)
                else:
                    self._serve(job)
        except _Stopping:
            pass
        finally:
            self._models.let_go_of_warming()
            end_streams()

    def _next_job(self) -> Job | Forgetting | None:
        """Wait for a job; meanwhile warm up, and let the models go where that is due."""
        self._models.warm_up(self._jobs.empty)
        while (check_s := self._models.check_s) is not None:
            try:
                return self._jobs.get(timeout=check_s)
            except queue.Empty:
                self._models.let_go_where_due()
        return self._jobs.get()

    def _serve(self, job: Job) -> None:
        try:
            if not job.cancelled():
                self._answer(job)
        except LookaheadError as error:
            job.fail(failure_of(error, job.request))
        except Exception as error:  # a bug or a full memory: told to the job, and the thread lives on
            logger.exception("A request failed.")
            self._models.drop_prefixes()  # which may be what the memory is full of
            job.fail(Failure("engine", f"The engine failed: {type(error).__name__}: {error}"))
        finally:
            with self._lock:
                self._unfinished.discard(job)
            self._models.are_used()

    def _answer(self, job: Job) -> None:
        models = self._models
        models.expect(None)  # what the answer before was followed by is not for the chat of this one
        models.load_again(self._check_stopping)
        if models.pair is None or models.decoder is None:
            job.fail(Failure("engine", models.status.message))
        elif finished := answer(job, models.pair, models.decoder):
            texts = partial(expected, models.pair, job.request, finished)
            models.expect(Expectation(texts, job.request.owner))

    def _check_stopping(self) -> None:
        if self._stopping:
            raise _Stopping


class _Stopping(BaseException):  # no Exception: nobody on the way is to take it for a reason to go on otherwise
    """Raised where loading may be given up, once `stop` was called."""
