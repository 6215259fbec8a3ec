"""The jobs that the batch answers: handed in, followed step by step, and handed back. For the engine's thread alone."""

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from mlx_spec.errors import BusyError, LookaheadError, RankLostError
from mlx_spec.events import AnswerFailed, Event, GenerationFinished
from mlx_spec.server.engine.answering import ask, failure_of
from mlx_spec.server.engine.expecting import Expectation, expected
from mlx_spec.server.engine.job import Failure, Job
from mlx_spec.server.engine.models import Models

_LOST: Final = Failure("engine", "The engine stopped before the answer was finished.")

logger = logging.getLogger(__name__)


class Desk:
    """Hands jobs to the batch of `models` and the batch's events to the jobs; `ended` hears of each that is over.

    A job's failure is its own. Where a step fails as a whole nobody knows whose fault it was: all that are under way
    fail, and another batch takes the place of that one.
    """

    def __init__(self, models: Models, ended: Callable[[Job], None]) -> None:
        self._models, self._ended = models, ended
        self._jobs: dict[str, Job] = {}
        self._held: deque[Job] = deque()
        """Further choices of requests that were let in, which wait for room in the batch's line."""
        self._may_have_room = True
        self._forgetting: list[tuple[str | None, set[str]]] = []
        """Whose texts are forgotten again when which jobs end."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to step for."""
        batch = self._models.batch
        return not self._jobs and not self._held and (batch is None or batch.is_idle)

    def take(self, job: Job) -> None:
        """Have a job answered. The models are loaded by now, if they can be."""
        if (job.request.choice and self._held) or not self._let_in(job):
            self._held.append(job)

    def forget(self, owner: str | None) -> None:
        """Forget what was read for `owner`, or all, now and behind each answer that is under way or waits now."""
        jobs = [*self._jobs.values(), *self._held]
        behind = {job.batch_id for job in jobs if owner is None or job.request.owner == owner}
        self._models.forget_prefixes(owner)
        if behind:
            self._forgetting.append((owner, behind))

    def close(self) -> None:
        """Have the batch let go of all that it holds, on the thread that owns its arrays."""
        batch = self._models.batch
        if batch is None:
            return
        with contextlib.suppress(Exception):  # it may be what the engine ends of
            for job in self._jobs.values():
                batch.cancel(job.batch_id)
            if not batch.is_idle:
                batch.step()

    def step(self) -> None:
        """One step of all answers, behind what came between: who left is cancelled, who was held finds room."""
        self._let_go_of_those_who_left()
        self._let_in_held()
        batch = self._models.batch
        if batch is None or (batch.is_idle and not self._jobs):
            return
        try:
            told = batch.step()
        except Exception as error:  # a bug or a full memory: told to all of them, and the thread lives on
            if not isinstance(error, RankLostError):  # whose sentence is told to everybody; the stack helps nobody
                logger.exception("A step failed.")
            self._fail_all(error)
            return
        for batch_id, event in told:
            if (job := self._jobs.get(batch_id)) is not None:
                self._tell(job, event)
        if batch.is_idle:
            for job in list(self._jobs.values()):
                self._fail(job, _LOST)

    def _let_in(self, job: Job) -> bool:
        """Add a job to the batch, or tell it why not. False where it has to wait for room in its line."""
        models = self._models
        try:
            if job.cancelled():
                self._end(job)
            elif models.pair is None or models.decoder is None or models.batch is None:
                self._fail(job, Failure("engine", models.status.message))
            else:
                ask(job, models.pair, models.decoder, models.batch)
                job.is_taken, self._jobs[job.batch_id] = True, job
        except BusyError as error:
            self._may_have_room = False
            if job.request.choice:
                return False
            self._fail(job, failure_of(error, job.request))
        except Exception as error:  # noqa: BLE001 - told to the job, and logged
            self._fail_for(job, error)
        return True

    def _let_in_held(self) -> None:
        while self._held and (self._may_have_room or self._held[0].cancelled()):
            if not self._let_in(self._held[0]):
                return
            self._held.popleft()

    def _let_go_of_those_who_left(self) -> None:
        batch = self._models.batch
        if batch is not None:
            for job in self._jobs.values():
                if job.cancelled():
                    batch.cancel(job.batch_id)

    def _tell(self, job: Job, event: Event) -> None:
        match event:
            case AnswerFailed():
                self._fail_for(job, event.error)
            case GenerationFinished():
                if not job.cancelled():
                    job.post(event)
                if (pair := self._models.pair) is not None:
                    texts = partial(expected, pair, job.request, event)
                    self._models.expect(Expectation(texts, job.request.owner))
                self._end(job)
            case _:
                if not job.cancelled():
                    job.post(event)

    def _fail_for(self, job: Job, error: Exception) -> None:
        """End a job with an error that is its own alone."""
        # A bug or a full memory; where the batch met it, it has put it into words.
        if not isinstance(error, LookaheadError) or type(error) is LookaheadError:
            logger.error("A request failed.", exc_info=error)
            self._models.drop_prefixes()  # which may be what the memory is full of
        self._fail(job, failure_of(error, job.request))

    def _fail_all(self, error: Exception) -> None:
        jobs, batch = list(self._jobs.values()), self._models.batch
        for job in jobs:
            if batch is not None:
                with contextlib.suppress(Exception):  # it has failed already; what it still gives back is a gain
                    batch.cancel(job.batch_id)
            self._fail(job, failure_of(error, job.request))
        self._models.renew_batch()

    def _fail(self, job: Job, failure: Failure) -> None:
        job.fail(failure)
        self._end(job)

    def _end(self, job: Job) -> None:
        self._jobs.pop(job.batch_id, None)
        self._may_have_room = True
        for owner, behind in self._forgetting:
            if job.batch_id in behind:
                behind.discard(job.batch_id)
                self._models.forget_prefixes(owner)
        self._forgetting = [one for one in self._forgetting if one[1]]
        self._models.are_used()
        self._ended(job)
