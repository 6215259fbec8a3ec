"""`python -m tests.clients.serve_script PORT`: a server whose model says what its prompt asks for, for real clients.

The protocol is under test, not the model's wit: a prompt with "think" is answered with a thought before the answer, one
that ends with "call" with a call of the tool `weather` (and openresponses' question with one of its own tool), one that
ends with "fail" breaks off, and any other with three words. A question may bring its answers along, for agents that ask
again and again: `SCRIPT ["the first", ["write", {"path": "x"}], "the third"] END` are what is said and called, one
after the other, as many as the assistant has had turns since. What must look like a schema, or tell
log-probabilities, a tiny real model writes, whose logits are biased to end soon.
"""

import json
import re
import sys
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

from mlx_spec.config import SamplingParams
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.events import Event
from mlx_spec.models.loading import ModelPair
from mlx_spec.models.text.options import PLAIN as NO_OPTIONS
from mlx_spec.models.text.options import ChatOptions
from mlx_spec.server.engine.fleet import LoaderOf
from mlx_spec.server.engine.served import Decoder, Loader, Pair, Progress
from mlx_spec.server.engine.unloading import Unloading
from mlx_spec.server.serve import run_server
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.server.scripted_batch import any_batch
from tests.tiny import tiny_pair

PLAIN = ("All ", "is ", "well.")
THOUGHT = ("<think>", "Let me ", "see.", "</think>", "\n\n")
CALL = ("<tool_call>", '{"name": "weather", ', '"arguments": {"city": ', '"Paris"}}', "</tool_call>")
GET = ("<tool_call>", '{"name": "get_weather", "arguments": {"location": "San Francisco, CA"}}', "</tool_call>")
RECORDED = re.compile(r"SCRIPT (\[.*?\]) END", re.DOTALL)
MARK = "\x01"
"""With which a prompt begins that is nothing but the answer to it."""
SOON = {'"': 70.0, "}": 65.0, "]": 60.0, ",": 55.0}
LONGEST, LONGEST_PROMPT = 400, 1 << 20


class Obedient(ScriptedDecoder):
    """Says what the newest question in the prompt asks for."""

    context_length = LONGEST_PROMPT

    @cached_property
    def real(self) -> tuple[ModelPair, SpeculativeDecoder]:
        """Of the engine's thread, as all that MLX makes."""
        pair = tiny_pair()
        return pair, SpeculativeDecoder(pair)

    def stream(self, prompt_ids: list[int], params: SamplingParams, **told: Any) -> Iterator[Event]:
        """As ScriptedDecoder.stream."""
        is_told = prompt_ids[:1] == [ord(MARK)]
        if is_told or (told["constraint"] is None and told["logprobs"] is None):
            return super().stream(prompt_ids, params, **told)
        pair, decoder = self.real
        told["max_tokens"] = min(told["max_tokens"], LONGEST)
        soon = SOON if told["constraint"] is not None else {}
        bias = {pair.encode_part(text)[0]: weight for text, weight in soon.items()}
        biased = replace(params, temperature=0.0, logit_bias=dict(params.logit_bias or {}) | bias)
        return decoder.stream(pair.encode_part("".join(map(chr, prompt_ids)))[-LONGEST:], biased, **told)

    def _rounds(self, prompt: str, *told: Any) -> Iterator[Event]:
        own = copy(self)  # each of those who are answered at once has words of its own
        if prompt.startswith(MARK):
            own.words = tuple(re.findall(r".{1,12}", prompt[1:], re.DOTALL))
        else:
            called = CALL if prompt.endswith("call") else GET if "weather like" in prompt else PLAIN
            own.words = (*(THOUGHT if "think" in prompt else ()), *called)
        own.fail_at = 2 if prompt.endswith("fail") else None
        return ScriptedDecoder._rounds(own, prompt, *told)


class Named(ScriptedPair):
    """A pair by a name."""

    context_length = LONGEST_PROMPT

    def __init__(self, name: str) -> None:
        self.name = self.target_name = name

    def encode_chat(
        self, messages: list[dict[str, Any]], *, continues: bool = False, options: ChatOptions = NO_OPTIONS
    ) -> list[int]:
        """The answer that the newest question brings along, or what all say."""
        turns = 0
        for message in reversed(messages):
            found = RECORDED.findall(str(message["content"]))
            if found and message["role"] == "user":
                return self.encode(MARK + written(json.loads(found[-1]), turns, options))
            turns += message["role"] == "assistant"
        return super().encode_chat(messages, continues=continues, options=options)


def written(answers: list[Any], turn: int, options: ChatOptions) -> str:
    """The answer of this turn as the model writes it. Who shows no tools, as for a title, has nothing called."""
    answer = answers[min(turn, len(answers) - 1)]
    if isinstance(answer, str):
        return answer
    if not options.tools:
        return "All is well."
    name, arguments = answer
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def loader(name: str) -> Loader:
    """Loads at once."""

    def load(progress: Progress) -> tuple[Pair, Decoder]:
        return Named(name), Obedient()

    return load


def main() -> None:
    """Serve until asked to end."""
    named: LoaderOf = loader
    run_server(
        loader("scripted"),
        model_name="scripted",
        load_named=named,
        unloading=Unloading(strip=lambda pair: pair, scarce=lambda: False),
        port=int(sys.argv[1]),
        make_batch=any_batch,
    )


if __name__ == "__main__":
    main()
