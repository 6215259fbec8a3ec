"""`GET /v1/batch`: who is answered and who waits, what the newest step was made of, and how that goes in all."""

from collections.abc import Mapping

from mlx_spec.batching.listing import Blocks, Listing
from mlx_spec.server.answers.errors import Json
from mlx_spec.server.engine.job import Job
from mlx_spec.server.engine.thread import EngineThread


def batch_report(engine: EngineThread) -> Json:
    """As `Batch.report`, in the order of arrival and under the names that clients know; those who wait that the batch
    has not seen yet stand behind the others."""
    jobs = {job.batch_id: job for job in engine.unfinished()}
    told = engine.batch_report()
    if told is None:
        told = Listing(engine.settings, Blocks(0, 0, 0, 0, 0)).report(engine.metrics.snapshot())
    for kind in ("running", "waiting"):
        told[kind] = [_named(one, jobs) for one in told[kind] if one["id"] in jobs]
    unseen = [job for job in jobs.values() if not job.is_taken and not job.cancelled()]
    told["waiting"] += [_unseen(job, at) for at, job in enumerate(unseen, len(told["waiting"]))]
    return told


def _named(one: Json, jobs: Mapping[str, Job]) -> Json:
    job = jobs[one["id"]]
    return one | {"id": job.id, "choice": job.request.choice}


def _unseen(job: Job, ahead: int) -> Json:
    """Its prompt was not looked at yet."""
    request = job.request
    return {
        "id": job.id,
        "choice": request.choice,
        "chat": request.owner,
        "state": "waiting",
        "priority": request.priority,
        "ahead": ahead,
        "prompt_tokens": None,
        "written_tokens": 0,
    }
