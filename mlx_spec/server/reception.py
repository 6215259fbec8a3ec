"""Where requests of every protocol are let in: their model is found, their answers are asked for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from mlx_spec.errors import ModelNotFoundError
from mlx_spec.server.answers.stream import Patience, cancel, cancel_when_gone
from mlx_spec.server.engine.answering import made_ready
from mlx_spec.server.engine.job import Failure, GenerationRequest, Job, JobFailed
from mlx_spec.server.engine.served import Pair
from mlx_spec.server.engine.thread import EngineThread
from mlx_spec.server.names import Names
from mlx_spec.server.requests.completions import ChatRequest, CompletionRequest


class Reception:
    """The way in to `engine`, whose models go by `names`."""

    def __init__(self, engine: EngineThread, names: Names, patience: Patience) -> None:
        self.engine, self.names, self.patience = engine, names, patience

    async def found(self, name: str | None) -> str | None:
        """What the engine knows the model `name` by: None for the one that is served from the start. Raises
        JobFailed."""
        if self.names.is_own(name, self.engine.pair):
            return None
        assert name is not None
        try:
            return await run_in_threadpool(self.names.find, name)
        except ModelNotFoundError as error:
            raise JobFailed(Failure("not_found", str(error), "model")) from None

    async def pair(self, name: str | None) -> Pair:
        """The pair that goes by `name`, loaded where it must be; for its texts, as its arrays belong to the engine's
        thread. Raises JobFailed."""
        model = await self.found(name)
        if (pair := self.engine.pair_of(model)) is not None:
            return pair
        return await self.engine.wanted(model)

    @contextlib.asynccontextmanager
    async def answering(self, request: Request, chat: ChatRequest | CompletionRequest) -> AsyncIterator[list[Job]]:
        """Within the block the jobs of a request are under way, and end with it where it fails or its client leaves.
        Raises RequestError, ConfigError, JobFailed."""
        model = await self.found(chat.model)
        asked = self._named(chat.generations(), model)
        takes_long = any(one.constraint or one.tools.strict or one.prediction for one in asked)
        if takes_long and (pair := self.engine.pair_of(model)) is not None:
            asked = await run_in_threadpool(made_ready, pair, asked)
        jobs = [self.engine.submit(one) for one in asked]
        watch = asyncio.create_task(cancel_when_gone(request, jobs))
        try:
            yield jobs
        except BaseException:
            cancel(jobs)
            raise
        finally:
            watch.cancel()

    @staticmethod
    def _named(requests: list[GenerationRequest], model: str | None) -> list[GenerationRequest]:
        return requests if model is None else [one.of_model(model) for one in requests]
