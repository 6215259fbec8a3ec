"""Answers one prompt after the other, with the models that each asks for."""

import time
from contextlib import suppress
from pathlib import Path

import prompt_files
from mlx_spec.cli.commands.run.options import AnswerOptions
from mlx_spec.cli.terminal.consent import load_with_consent
from mlx_spec.cli.terminal.options import speculative_config
from mlx_spec.cli.terminal.progress import StageProgress
from mlx_spec.cli.terminal.prompt_file import PromptFile, fill_prompt
from mlx_spec.decoder import SpeculativeDecoder
from mlx_spec.decoding.cache.blocks.keeping import prefixes_of
from mlx_spec.decoding.request import Lookahead
from mlx_spec.errors import LookaheadError
from mlx_spec.events import GenerationFinished
from mlx_spec.models.loading import ModelPair
from prompt_files.results import Result

OpenedPrompt = prompt_files.PromptFile | LookaheadError
"""A prompt, or why it cannot be had."""


class Answerer:
    """Holds one pair at a time: a prompt file may ask for another than the one before it."""

    def __init__(self, options: AnswerOptions) -> None:
        self._options = options
        self._name: str | None = None
        self._loaded: tuple[ModelPair, SpeculativeDecoder] | None = None
        self.cached_tokens = 0
        """Of the newest prompt, those that an earlier answer had read."""

    def answered(
        self, path: Path, prompt: OpenedPrompt, values: dict[str, str], following: OpenedPrompt | None = None
    ) -> Result:
        """The result of a prompt: its answer, or why there is none. What it shares with the prompt that is `following`
        is read once."""
        self.cached_tokens = 0
        try:
            if isinstance(prompt, LookaheadError):
                raise prompt
            return self._answer(fill_prompt(prompt, values), path, _filled(following, values))
        except LookaheadError as error:
            return Result(file=str(path), title=path.name, state="failed", error=str(error))

    def _answer(self, prompt: PromptFile, path: Path, following: PromptFile | None) -> Result:
        """Raises LookaheadError."""
        options = self._options
        params = options.sampling.params(prompt.settings)
        config = speculative_config(prompt.lookahead(options.lookahead), options.acceptance)
        pair, decoder = self._load(prompt.pair(options.target or options.pair))
        prompt_ids, limit = prompt.encoded(pair), prompt.max_tokens(options.max_tokens)
        lookahead: Lookahead = "auto" if config.adaptive_lookahead else config.lookahead
        decoder.expect(*self._expected(pair, prompt, following))
        started = time.monotonic()
        events = decoder.stream(prompt_ids, params, limit, lookahead=lookahead)
        (finished,) = (event for event in events if isinstance(event, GenerationFinished))
        seconds = round(time.monotonic() - started, 3)
        self.cached_tokens = finished.cached_tokens
        _store(decoder)
        return Result(
            file=str(path),
            title=prompt.settings.get("title", path.name),
            state="done",
            answer=finished.text,
            finish_reason=finished.finish_reason,
            seed=finished.seed,
            prompt_tokens=finished.prompt_tokens,
            completion_tokens=len(finished.token_ids),
            seconds=seconds,
            tokens_per_second=round(finished.stats.tokens_per_second, 2),
            acceptance_rate=round(finished.stats.acceptance_rate, 4) if finished.stats.tested_tokens else None,
        )

    def _expected(self, pair: ModelPair, prompt: PromptFile, following: PromptFile | None) -> list[list[int]]:
        """What prompts to come will begin with: the next one, as far as it is for the same models, and what others have
        in common with this one."""
        texts = [pair.encode_opening(prompt.messages)]
        name = self._options.target or self._options.pair
        if following is not None and following.pair(name) == self._name:
            with suppress(LookaheadError):  # told when it is its turn
                texts.insert(0, pair.encode_chat(following.messages))
        return texts

    def _load(self, name: str) -> tuple[ModelPair, SpeculativeDecoder]:
        if self._loaded is not None and name == self._name:
            return self._loaded
        # The memory of the one before is free before the next one comes.
        self._loaded = None
        with StageProgress() as progress:
            options = self._options
            pair = load_with_consent(name, options.draft, progress, anyway=options.anyway, kv_bits=options.kv_bits)
            # One for all prompts: what it has learnt of costs and drafts serves the next, and so does what it has read.
            config = speculative_config("auto", options.acceptance, kv_bits=options.kv_bits)
            prefixes = prefixes_of(pair, options.keeping, config.kv_bits)
            decoder = SpeculativeDecoder(pair, config, drafter=options.drafter, prefixes=prefixes)
            decoder.calibrate(progress.tell)
        self._name, self._loaded = name, (pair, decoder)
        return self._loaded


def _store(decoder: SpeculativeDecoder) -> None:
    """Give the disk what was read, where it is to be kept there."""
    decoder.expect()  # the next prompt is read when it comes
    for _ in decoder.settle():
        pass


def _filled(prompt: OpenedPrompt | None, values: dict[str, str]) -> PromptFile | None:
    """A prompt with its variables filled; None where there is none, or one that cannot be answered."""
    if prompt is None or isinstance(prompt, LookaheadError):
        return None
    try:
        return fill_prompt(prompt, values)
    except LookaheadError:
        return None
