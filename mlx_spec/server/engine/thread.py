"""The one thread that owns MLX, for the life of the process: arrays and streams belong to the thread that made them.

It loads the models, and again after it has let them go, then answers jobs from a queue, many at once: it steps as long
as anybody is answered, and between two steps takes who came and lets go of who left. A job's events cross to the
asyncio loop that submitted it; nothing that crosses holds an array. A failing job is told so and the thread lives on;
should it end all the same, `status` and every job say so.
"""

import contextlib
import logging
import queue
import threading
import time
from typing import Any, Final

from mlx_spec.batching.metrics import Metrics
from mlx_spec.batching.pace import Pace, whole_seconds
from mlx_spec.batching.settings import BatchSettings
from mlx_spec.config import Exactness
from mlx_spec.decoding.cache.blocks.prefixes import PrefixStats
from mlx_spec.decoding.cache.rows.widths import RowWidths
from mlx_spec.decoding.measuring.ceiling import Ceiling
from mlx_spec.decoding.steering import Change
from mlx_spec.events import SpeculativeStats
from mlx_spec.server.engine.fleet import Fleet, LoaderOf
from mlx_spec.server.engine.job import Failure, Forgetting, GenerationRequest, Job, JobFailed, Wanting
from mlx_spec.server.engine.models import EngineStatus, Models
from mlx_spec.server.engine.served import Batch, BatchMaker, Decoder, Loader, Pair
from mlx_spec.server.engine.unloading import Unloading, end_streams

_STOPPING: Final = Failure("engine", "The server is stopping.")
# Templates and tokenizers take their time, too: beside answers under way so much of it between two steps.
_TAKING_S: Final = 0.03
_MOMENT_S: Final = 0.25
"""The engine has nothing to do when for so long nobody has asked for anything."""

logger = logging.getLogger(__name__)


def usual_batch(decoder: Decoder, settings: BatchSettings) -> Batch:
    """The real batch of a real decoder. On the thread that loaded it."""
    # Imported here, as it takes seconds: who loaded a decoder has done so, and nobody else needs it.
    from mlx_spec.batching.batch import Batch as RealBatch
    from mlx_spec.decoder import SpeculativeDecoder

    assert isinstance(decoder, SpeculativeDecoder)
    return RealBatch(decoder, settings)


class EngineThread:
    """Loads with `load(progress)` on its own thread, then answers jobs, as many at once as `settings` say. `start` it
    once, `stop` it once.

    With `unloading` it lets the models go when nobody uses them, and loads them again for the next job. `make_batch`
    makes the batch of what was loaded. With `load_named` jobs may ask for other models, which are loaded for them; at
    most `models_loaded` are in memory together. What is told of the engine is of the one that was used last, `pair` and
    `is_loaded` of the one that is served from the start.

    `status`, `stats`, `reset_stats`, `submit`, `forget_prefixes`, `give_up` and `stop` return at once, from any
    thread (`submit`: from one that runs an asyncio loop).
    """

    def __init__(
        self,
        load: Loader,
        unloading: Unloading[Any] | None = None,
        *,
        settings: BatchSettings | None = None,
        make_batch: BatchMaker = usual_batch,
        load_named: LoaderOf | None = None,
        models_loaded: int = 1,
    ) -> None:
        self.settings = settings or BatchSettings()
        self.unloading = unloading
        """When the models are let go; None where they are kept."""
        self._fleet = Fleet(
            load, unloading, make_batch, self.settings, self._ended, load_named=load_named, most=models_loaded
        )
        # A SimpleQueue, as its put may interrupt its own put: a signal handler can stop the engine.
        self._jobs: queue.SimpleQueue[Job | Forgetting | Wanting | None] = queue.SimpleQueue()
        self._line: Job | Wanting | None = None
        """Who waits for a model that has no room yet, and holds up all who come behind."""
        self._unfinished: dict[str, Job] = {}  # in the order of arrival
        self._wishes: set[Wanting] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._over: Failure | None = None
        """Why no job is taken any more."""
        self._pace = Pace()  # of those who end
        # A daemon: who forgets to stop it must not wait for ever. `join` it before the process ends.
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def status(self) -> EngineStatus:
        """Loading, ready or failed, and a sentence about it."""
        if self._over is not None and self._over is not _STOPPING:
            return EngineStatus("failed", self._over.message)
        return self._models.status

    @property
    def _models(self) -> Models:
        return self._fleet.newest.models

    @property
    def pair(self) -> Pair | None:
        """The loaded pair, None before that. Other threads may read its plain values, not its arrays."""
        return self._fleet.own.models.pair

    def pair_of(self, model: str | None) -> Pair | None:
        """As `pair`, of any model; None where nothing of it is in memory."""
        place = self._fleet.find(model)
        return place.models.pair if place is not None else None

    @property
    def is_loaded(self) -> bool:
        """Whether the models are in memory."""
        return self._fleet.own.models.are_loaded

    def loaded(self) -> list[str | None]:
        """The names of all models in memory, the newest used first; None is the one that is served from the start."""
        return self._fleet.loaded()

    async def wanted(self, model: str | None) -> Pair:
        """The pair of `model`, loaded where it must be. Raises JobFailed."""
        pair: Pair = await self._asked(Wanting(model))
        return pair

    async def let_go(self, model: str | None) -> None:
        """Let go of a model where nobody is answered by it. Raises JobFailed."""
        await self._asked(Wanting(model, keeps=False))

    async def _asked(self, wanting: Wanting) -> Any:
        with self._lock:
            if self._over is not None:
                raise JobFailed(self._over)
            self._wishes.add(wanting)
            self._jobs.put(wanting)
        try:
            return await wanting.answer()
        finally:
            self._wishes.discard(wanting)

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

    @property
    def exactness(self) -> tuple[Exactness, RowWidths | None] | None:
        """See `Models.exactness`."""
        return self._models.exactness

    @property
    def metrics(self) -> Metrics:
        """What became of steps and requests since the models were loaded."""
        return self._models.metrics

    def num_unfinished(self) -> int:
        """How many requests wait or are being answered."""
        with self._lock:
            return len(self._unfinished)

    def unfinished(self) -> list[Job]:
        """The jobs that wait or are being answered, in the order of arrival."""
        with self._lock:
            return list(self._unfinished.values())

    def batch_report(self) -> dict[str, Any] | None:
        """What the batch is doing, by `Job.batch_id`; None where there are no models in memory."""
        batch = self._models.batch
        return batch.report() if batch is not None else None

    def submit(self, request: GenerationRequest) -> Job:
        """Queue a request; its events, or its failure, come to the running asyncio loop. It has failed already where
        its deadline has passed, or where as many are under way and wait as may."""
        job = Job(request)
        job.watch_deadline()
        with self._lock:
            refused = job.failure or self._over or self._full_for(request)
            if refused is None and not job.cancelled():
                self._unfinished[job.batch_id] = job
                self._jobs.put(job)
                return job
        if refused is not None:
            job.fail(refused)
        return job

    def cancel(self, request_id: str) -> bool:
        """End all answers of a request; False where there is none of that id."""
        with self._lock:
            jobs = [job for job in self._unfinished.values() if job.id == request_id and not job.cancelled()]
        for job in jobs:
            job.cancel()
        return bool(jobs)

    def steer(self, request_id: str | None, change: Change) -> str:
        """Change an answer under way from its next round on, and all choices of a request; its id. None means the one
        that is under way. Raises JobFailed where there is no such answer, or where there are several, and ConfigError
        where it cannot be decoded like that."""
        with self._lock:
            begun = [job for job in self._unfinished.values() if job.request.steering.drafters is not None]
        jobs = [job for job in begun if request_id in (None, job.id) and not job.cancelled()]
        if not jobs:
            which = "No answer is under way" if request_id is None else f"No answer {request_id!r} is under way"
            message = f"{which}: what was asked for can go with the next request."
            raise JobFailed(Failure("not_found", message, "request"))
        if (count := len({job.id for job in jobs})) > 1:
            raise JobFailed(Failure("invalid", f"{count} answers are under way: say which, as request.", "request"))
        for job in jobs:
            job.request.steering.steer(change)
        return jobs[0].id

    def forget_prefixes(self, owner: str | None = None) -> None:
        """Forget what was read for the chat `owner`, or all that was read: before any job to come, and once more behind
        each that waits now or is under way."""
        self._jobs.put(Forgetting(owner))

    def stop(self) -> None:
        """Fail every job that is not finished and let the thread end: after the module that it imports, the weights
        that it reads, the pass that it measures, warms up, reads or answers with. See `join`."""
        self._stopping = True
        self.give_up(_STOPPING)
        self._jobs.put(None)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread's end after `stop`; False when that takes longer."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._fleet.own.models.load(self._check_stopping)
            while self._take_in():
                self._fleet.step()
        except _Stopping:
            pass
        except BaseException as error:  # a bug outside of any step, or what no except clause is meant to catch
            logger.exception("The engine ended.")
            message = f"The engine has ended ({type(error).__name__}: {error}): start the server again."
            self.give_up(Failure("engine", message))
        finally:
            self._fleet.close()
            end_streams()

    def give_up(self, failure: Failure) -> None:
        """Fail every job that is not finished, and all to come. The first reason is the one that is told. From any
        thread, also while the engine's own hangs."""
        with self._lock:
            self._over = failure = self._over or failure
            jobs, wishes = list(self._unfinished.values()), list(self._wishes)
        for job in jobs:
            job.fail(failure)
        for wish in wishes:
            wish.give(failure)

    def _take_in(self) -> bool:
        """Take what came, and wait for it where there is nothing else to do. False when it is time to stop."""
        until_s: float | None = None
        while until_s is None or time.monotonic() < until_s:
            item: Job | Forgetting | Wanting | None = self._line
            if item is None:
                try:
                    item = self._next_item() if self._fleet.is_idle else self._jobs.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    return False
            if isinstance(item, Forgetting):
                self._fleet.forget(item.owner)
            elif not self._take(item):
                self._line = item
                break
            self._line = None
            until_s = until_s or time.monotonic() + _TAKING_S
        return True

    def _take(self, item: Job | Wanting) -> bool:
        """Hand a job to the desk of its model, or a model to who wants it. False where that has no room yet."""
        if isinstance(item, Wanting) and not item.keeps:
            self._fleet.let_go(item.model, "that was asked for")
            item.give(None)
            return True
        if isinstance(item, Job) and item.cancelled():
            self._fleet.own.desk.take(item)
            return True
        place = self._fleet.ready(item.request.model if isinstance(item, Job) else item.model, self._check_stopping)
        if place is None:
            return False
        if isinstance(item, Job):
            place.desk.take(item)
        else:
            item.give(place.models.pair or Failure("engine", place.models.status.message))
        return True

    def _next_item(self) -> Job | Forgetting | Wanting | None:
        """Wait for what comes; meanwhile warm up, and let the models go where that is due."""
        # Whoever asks again at once, as programs do, is not to wait for a step of that.
        with contextlib.suppress(queue.Empty):
            return self._jobs.get(timeout=_MOMENT_S)
        self._models.warm_up(self._jobs.empty)
        while (check_s := self._fleet.check_s) is not None:
            try:
                return self._jobs.get(timeout=check_s)
            except queue.Empty:
                self._fleet.let_go_where_due()
        return self._jobs.get()

    def _ended(self, job: Job) -> None:
        with self._lock:
            self._unfinished.pop(job.batch_id, None)
            self._pace.note(time.monotonic() * 1e3)

    def _full_for(self, request: GenerationRequest) -> Failure | None:
        """Why a request cannot even wait, if so. A request that is let in has all of its choices answered."""
        most = self.settings.max_batch + self.settings.max_waiting
        if request.choice or (count := sum(not job.cancelled() for job in self._unfinished.values())) < most:
            return None
        seconds = whole_seconds(self._pace.interval_ms)
        message = f"{count} requests are under way or wait, as many as may: try again in {seconds} s."
        return Failure("busy", message, retry_after_s=seconds)

    def _check_stopping(self) -> None:
        if self._stopping:
            raise _Stopping


class _Stopping(BaseException):  # no Exception: nobody on the way is to take it for a reason to go on otherwise
    """Raised where loading may be given up, once `stop` was called."""
