"""How many tokens a chat takes before it is answered."""

import asyncio

from mlx_spec.errors import LookaheadError
from mlx_spec.server.answers.tokenize import COUNTER
from mlx_spec.server.engine.answering import encoded
from mlx_spec.server.engine.asked import asked_of
from mlx_spec.server.reception import Reception
from mlx_spec.server.requests.completions import ChatRequest
from mlx_spec.server.requests.validation import RequestError


async def num_tokens(reception: Reception, chat: ChatRequest) -> int:
    """The tokens of the prompt, as the model's template writes it. Raises RequestError, JobFailed."""
    pair, request = await reception.pair(chat.model), chat.generations()[0]

    def count() -> int:
        return len(encoded(pair, request, asked_of(pair, request).options))

    try:
        return await asyncio.get_running_loop().run_in_executor(COUNTER, count)
    except LookaheadError as error:
        raise RequestError(str(error), "messages") from None
