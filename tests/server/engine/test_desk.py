"""Many jobs on the engine's thread: readers that are slow, and what a job is told while it waits."""

import asyncio

import pytest

from mlx_spec.batching.settings import BatchSettings
from mlx_spec.config import SamplingParams
from mlx_spec.events import GenerationFinished, TextDelta
from mlx_spec.server.engine import job as jobs
from mlx_spec.server.engine.job import GenerationRequest, Job, JobFailed
from mlx_spec.server.engine.thread import EngineThread
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.server.scripted_batch import any_batch


def request(**fields: object) -> GenerationRequest:
    return GenerationRequest(
        messages=({"role": "user", "content": "x"},),
        params=SamplingParams(),
        **fields,  # type: ignore[arg-type]
    )


def engine_of(decoder: ScriptedDecoder, **settings: int) -> EngineThread:
    engine = EngineThread(
        lambda progress: (ScriptedPair(), decoder), settings=BatchSettings(**settings), make_batch=any_batch
    )
    engine.start()
    return engine


async def text_of(job: Job) -> str:
    return "".join([event.text async for event in job.events() if isinstance(event, TextDelta)])


def test_who_does_not_read_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "EVENT_BUFFER", 8)
    monkeypatch.setattr(jobs, "READER_PATIENCE_S", 600.0)  # longer than this test may take
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s = ("word ",) * 300, 0.002
    engine = engine_of(decoder)

    async def read_one_of_two() -> tuple[str, bool]:
        stuck, reads = engine.submit(request()), engine.submit(request())
        text = await text_of(reads)
        return text, stuck.cancelled()

    assert asyncio.run(read_one_of_two()) == ("word " * 300, True)
    engine.stop()
    assert engine.join(20)


def test_further_choices_wait_whole_for_their_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read one after the other, and made at the same time."""
    monkeypatch.setattr(jobs, "EVENT_BUFFER", 8)
    monkeypatch.setattr(jobs, "READER_PATIENCE_S", 0.2)
    decoder = ScriptedDecoder()
    decoder.words = ("word ",) * 300
    engine = engine_of(decoder)

    async def read_in_turn() -> list[str]:
        asked = [engine.submit(request(answer_id="several", choice=choice)) for choice in range(3)]
        return [await text_of(one) for one in asked]

    assert asyncio.run(read_in_turn()) == ["word " * 300] * 3
    engine.stop()
    assert engine.join(20)


def test_a_job_that_is_cancelled_twice_or_too_late_is_cancelled_once() -> None:
    decoder = ScriptedDecoder()
    decoder.words, decoder.delay_s = ("word ",) * 900, 0.005
    engine = engine_of(decoder)

    async def cancel_twice() -> list[object]:
        job, done = engine.submit(request()), engine.submit(request(max_tokens=2))
        finished = [event async for event in done.events()][-1]
        assert isinstance(finished, GenerationFinished)
        done.cancel()
        job.cancel()
        job.cancel()
        with pytest.raises(JobFailed, match="cancelled"):
            _ = [event async for event in job.events()]
        while engine.num_unfinished():
            await asyncio.sleep(0.01)
        return [decoder.cancels, engine.cancel(job.id)]

    assert asyncio.run(cancel_twice()) == [1, False]
    engine.stop()
    assert engine.join(20)


def test_a_deadline_goes_to_the_batch_with_what_is_left_of_it() -> None:
    decoder = ScriptedDecoder()
    decoder.gate.clear()
    engine = engine_of(decoder, max_batch=1)

    async def wait_behind() -> tuple[float, float]:
        front = engine.submit(request())
        assert await asyncio.to_thread(decoder.begun.wait, 20)
        behind = engine.submit(request(deadline_ms=60_000.0))
        await asyncio.sleep(0.2)
        decoder.gate.set()
        await asyncio.gather(text_of(front), text_of(behind))
        left_ms = behind.deadline_left_ms
        assert left_ms is not None
        return left_ms, 60_000.0 - left_ms

    left_ms, gone_ms = asyncio.run(wait_behind())
    assert left_ms < 59_900
    assert gone_ms >= 200
    engine.stop()
    assert engine.join(20)
