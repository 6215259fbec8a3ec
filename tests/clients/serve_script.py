"""`python -m tests.clients.serve_script PORT`: a server whose model says what its prompt asks for, for real clients.

The protocol is under test, not the model's wit: a prompt with "think" is answered with a thought before the answer, one
that ends with "call" with a call of the tool `weather` (and openresponses' question with one of its own tool), one that
ends with "fail" breaks off, and any other with three words.
"""

import sys
from collections.abc import Iterator
from copy import copy
from typing import Any

from mlx_spec.events import Event
from mlx_spec.server.engine.fleet import LoaderOf
from mlx_spec.server.engine.served import Decoder, Loader, Pair, Progress
from mlx_spec.server.engine.unloading import Unloading
from mlx_spec.server.serve import run_server
from tests.server.scripted import ScriptedDecoder, ScriptedPair
from tests.server.scripted_batch import any_batch

PLAIN = ("All ", "is ", "well.")
THOUGHT = ("<think>", "Let me ", "see.", "</think>", "\n\n")
CALL = ("<tool_call>", '{"name": "weather", ', '"arguments": {"city": ', '"Paris"}}', "</tool_call>")
GET = ("<tool_call>", '{"name": "get_weather", "arguments": {"location": "San Francisco, CA"}}', "</tool_call>")


class Obedient(ScriptedDecoder):
    """Says what the newest question in the prompt asks for."""

    def _rounds(self, prompt: str, *told: Any) -> Iterator[Event]:
        own = copy(self)  # each of those who are answered at once has words of its own
        called = CALL if prompt.endswith("call") else GET if "weather like" in prompt else PLAIN
        own.words = (*(THOUGHT if "think" in prompt else ()), *called)
        own.fail_at = 2 if prompt.endswith("fail") else None
        return ScriptedDecoder._rounds(own, prompt, *told)


class Named(ScriptedPair):
    """A pair by a name."""

    def __init__(self, name: str) -> None:
        self.name = self.target_name = name


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
