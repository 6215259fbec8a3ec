"""The answer of /v1/tokenize: how many tokens something takes, and the prompt that the model would read."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from mlx_spec.errors import LookaheadError
from mlx_spec.models.text.options import ChatOptions
from mlx_spec.server.engine.served import Pair
from mlx_spec.server.requests.tokenize import TokenizeRequest
from mlx_spec.server.requests.validation import RequestError

# One at a time: counting is for a person who types, and must leave the processor to the answers.
COUNTER: Final = ThreadPoolExecutor(1, thread_name_prefix="tokenize")
"""Where texts are counted."""


async def tokenize(pair: Pair, request: TokenizeRequest) -> dict[str, Any]:
    """`num_tokens`, `context_length` in tokens, and `prompt`, where asked for: the tokens as text, special ones too;
    `note` where the conversation cannot be written as it was asked for.

    Counts on a worker thread: a tokenizer holds no array. Raises RequestError.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(COUNTER, _count, pair, request)
    except LookaheadError as error:
        raise RequestError(str(error), "messages" if request.messages is not None else "text") from None


def _count(pair: Pair, request: TokenizeRequest) -> dict[str, Any]:
    note = None
    if request.messages is None:
        token_ids = pair.encode(request.text or "")
    else:
        messages = [message.as_turn() for message in request.messages]
        tools = tuple(tool.function.as_tool() for tool in request.tools or ())
        shown = tools if tools and pair.chat_manner.calls is not None else ()
        options = ChatOptions(shown, request.chat_template_kwargs)
        token_ids, note = pair.encode_chat(messages, options=options), pair.chat_note(messages)
    counts: dict[str, Any] = {"num_tokens": len(token_ids), "context_length": pair.context_length}
    if note is not None:
        counts["note"] = note
    return counts | {"prompt": pair.decode(token_ids)} if request.prompt else counts
