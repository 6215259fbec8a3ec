"""Commands tell the decoder what comes next: a conversation's next turn, a run's next file."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlx_spec import SamplingParams, SpeculativeDecoder
from mlx_spec.cli.commands.chat import talk as talking
from mlx_spec.cli.commands.run.answerer import Answerer
from mlx_spec.cli.commands.run.inputs import opened
from mlx_spec.cli.commands.run.options import AnswerOptions
from mlx_spec.cli.terminal.sampling import SamplingOptions
from mlx_spec.config import Keeping
from mlx_spec.decoding.cache.blocks.prefixes import Prefixes
from mlx_spec.decoding.cache.chunks import PREFILL_TOKENS
from mlx_spec.events import PrefillProgress
from mlx_spec.models.loading import ModelPair
from tests.models.text.families import FAMILIES
from tests.tiny import TINY_VOCAB, holding, pair_of, tiny_pair
from tests.zoo import zoo_model
from tests.zoo_configs import CONFIGS

CHUNK = 16


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREFILL_TOKENS, mx.default_device().type, CHUNK)


class Noted(SpeculativeDecoder):
    """Notes how much of each prompt was known, and of how many tokens."""

    def __init__(self, pair: ModelPair, **told: Any) -> None:
        super().__init__(pair, **told)
        self.read: list[tuple[int, int]] = []

    def stream(self, *args: Any, **more: Any) -> Any:
        for event in super().stream(*args, **more):
            if isinstance(event, PrefillProgress) and event.processed_tokens == event.total_tokens:
                self.read.append((event.cached_tokens, event.total_tokens))
            yield event


@pytest.mark.parametrize("is_typing", [False, True])
@pytest.mark.parametrize("independent", [False, True])
def test_while_a_person_types_the_next_turn_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_typing: bool, independent: bool
) -> None:
    """With a template that writes a conversation otherwise when it goes on."""
    pair, prefixes = tiny_pair(), Prefixes(1 << 30, block_tokens=CHUNK)
    pair.tokenizer.chat_template = FAMILIES["Mistral v3"].template
    decoder = holding(Noted(pair, drafter="none", prefixes=prefixes), holds=independent)
    monkeypatch.setattr(talking, "_has_typed", lambda: is_typing)
    monkeypatch.setattr(sys, "stdin", io.StringIO("Tell me of the sea, and of all that lives there.\nAnd?\n/quit\n"))
    talking.talk(pair, decoder, SamplingParams(temperature=0, seed=1), 20, "Be kind, and brief. " * 4)
    (none, _), (cached, of) = decoder.read
    assert none == 0
    if is_typing:
        assert cached <= of // 2
    else:
        assert cached > of - len("Be kind, and brief. " * 4) - 30 - CHUNK, "all but where the system prompt moved to"
    assert capsys.readouterr().out.count("> ") == 3


def test_who_leaves_leaves_what_was_read_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    class Disk:
        size_bytes = 0

        def load(self, key: bytes) -> None: ...

        def keep(self, blocks: tuple[object, ...], owner: str | None) -> Iterator[None]:
            written.append(len(blocks))
            yield

    prefixes = Prefixes(1 << 30, block_tokens=CHUNK, slow=Disk())  # type: ignore[arg-type]
    decoder = Noted(tiny_pair(), drafter="none", prefixes=prefixes)
    monkeypatch.setattr(talking, "_has_typed", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("Tell me of the sea, and of all that lives there.\n/quit\n"))
    talking.talk(tiny_pair(), decoder, SamplingParams(temperature=0, seed=1), 20, None)
    assert written


def test_where_it_cannot_be_told_whether_somebody_types_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a line"))
    assert talking._has_typed()


@pytest.mark.parametrize("name", ["gemma3", "llama"])
def test_what_files_share_is_read_once_whatever_the_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window begins where a point was kept: where the next file's prompt parts from this one's."""
    system = "Be kind, and brief, and never forget to say where you know it from. " * 2
    for each in "abc":
        text = f"{each}: {'tell me of the sea, and of all that lives there. ' * 2}"
        (tmp_path / f"{each}.prompt.md").write_text(f"---\nseed: 3\nsystem: '{system}'\n---\n{text}")
    module, arguments = CONFIGS[name]
    monkeypatch.setitem(CONFIGS, name, (module, arguments | {"vocab_size": TINY_VOCAB}))
    pair = pair_of(zoo_model(name), None)
    decoder = Noted(pair, drafter="none", prefixes=Prefixes(1 << 30, block_tokens=CHUNK))
    options = AnswerOptions(
        target="tiny",
        draft=None,
        pair=None,
        drafter="none",
        lookahead=None,
        acceptance="coupled",
        max_tokens=8,
        sampling=SamplingOptions(),
        anyway=True,
        kv_bits=None,
        keeping=Keeping(),
    )
    answerer = Answerer(options)
    monkeypatch.setattr(answerer, "_load", lambda name: (pair, decoder))
    answerer._name = "tiny"
    paths = sorted(tmp_path.iterdir())
    prompts = [opened(path) for path in paths]
    for path, prompt, following in zip(paths, prompts, [*prompts[1:], None], strict=True):
        assert answerer.answered(path, prompt, {}, following).state == "done"
    shared = len(pair.encode_opening([{"role": "system", "content": system}]))
    assert [cached for cached, _ in decoder.read] == [0, *[shared // CHUNK * CHUNK] * 2]
