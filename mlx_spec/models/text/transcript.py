"""One answer as it grows: its token ids, its text, and why it ended."""

from collections.abc import Sequence
from typing import Any

from mlx_spec.events import FinishReason
from mlx_spec.models.text.parts import AnswerParts
from mlx_spec.models.text.reasoning import ReasonedText
from mlx_spec.models.text.stopping import StopStrings


class Transcript:
    """Takes tokens in order until it is `finished`. Text becomes final when no stop string can begin in it."""

    def __init__(
        self,
        tokenizer: Any,
        eos_token_ids: frozenset[int],
        stop: tuple[str, ...],
        max_tokens: int,
        calls: tuple[str, str] | None = None,
        one_call: AnswerParts | None = None,
    ) -> None:
        """Special tokens of calls between the markers `calls` are part of the text. `one_call` takes the text apart,
        where the answer is to end behind its first call."""
        self.token_ids: list[int] = []
        self.text = ""
        self.finish_reason: FinishReason | None = None
        self._token_text = ReasonedText(tokenizer, calls)
        self.is_ended_by_token = False
        """Whether it was an end-of-sequence token that ended it."""
        self._stop_strings = StopStrings(stop, _special_ids(tokenizer) if stop else {})
        self._eos_token_ids = eos_token_ids
        self._max_tokens = max_tokens
        self._one_call = one_call
        self._fresh = ""

    def begin(self, prompt_ids: Sequence[int], *, goes_on: bool) -> None:
        """The answer follows these ids: with a text of its own, or one that `goes_on` theirs."""
        self._token_text.begin(prompt_ids, goes_on=goes_on)

    @property
    def stop_string(self) -> str | None:
        """What ended the answer, where that was a stop string."""
        return self._stop_strings.which

    @property
    def remaining(self) -> int:
        """How many more tokens there is room for."""
        return self._max_tokens - len(self.token_ids)

    def push(self, token_id: int) -> str | None:
        """Add one token. Returns the text that it completes, or None where it is not part of the answer."""
        if self.finish_reason is not None:
            return None
        if token_id in self._eos_token_ids:
            self.is_ended_by_token = True
            self.finish("stop")
            return None
        self.token_ids.append(token_id)
        text = self._token_text.push(token_id)
        self._fresh += self._stop_strings.push(text, token_id)
        if self._stop_strings.found:
            self.finish_reason = "stop"
        elif self._one_call is not None and self._one_call.has_called(text):
            self.finish("stop")
        elif self.remaining <= 0:
            self.finish("length")
        return text

    def finish(self, reason: FinishReason) -> None:
        """End the answer, releasing text that waited for more."""
        if self.finish_reason is None:
            self.finish_reason = reason
            self._fresh += self._stop_strings.push(self._token_text.finish())
            self._fresh += self._stop_strings.finish()

    def take_text(self) -> str:
        """Text that became final since the last call."""
        fresh, self._fresh = self._fresh, ""
        self.text += fresh
        return fresh

    def peek(self, token_id: int) -> str:
        """The text of a token that is not, or not yet, part of the answer."""
        return self._token_text.peek(token_id)


def _special_ids(tokenizer: Any) -> dict[str, int]:
    """The ids of the tokens that have no text of their own, by their names."""
    tokenizer = getattr(tokenizer, "_tokenizer", tokenizer)
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {str(token): token_id for token_id, token in added.items() if token.special}
    return special | dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
