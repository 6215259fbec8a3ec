"""One conversation while the target writes it, token by token. Ids only; knows no model.

A dialogue feeds one id a step. Some ids are given (the chat template, a question of ours); the others are what the
target sampled: the question, where it asks itself (Magpie, Xu et al. 2024, arXiv 2406.08464), and always the answer.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlx_spec.training.recipe import Limits

Phase = Literal["asking", "answering", "finished"]


@dataclass(frozen=True, slots=True)
class Template:
    """The chat template as ids around a question: `opening` question `reply` answer `again` question `reply` answer."""

    opening: tuple[int, ...]
    reply: tuple[int, ...]
    again: tuple[int, ...]
    stop_id: int


@dataclass(slots=True)
class Dialogue:
    """A dialogue under way; `answer[i]` says that the target sampled `ids[i]` as part of an answer.

    `ids` may run ahead of what was fed to the target: only the step that feeds the last id samples the next one.
    """

    template: Template
    limits: Limits
    temperature: float
    question_ids: tuple[int, ...]
    turns: int = 1
    ids: list[int] = field(default_factory=list)
    answer: list[bool] = field(default_factory=list)
    hidden: list[NDArray[np.uint16]] = field(default_factory=list)
    phase: Phase = "asking"
    _phase_length: int = 0

    def __post_init__(self) -> None:
        """Lay the opening down, and a question of ours with the reply's header behind it."""
        self._given(self.template.opening, "asking")
        if self.question_ids:
            self._given((*self.question_ids[: self.limits.question], *self.template.reply), "answering")

    @property
    def step_temperature(self) -> float:
        """The temperature for the next id: the answer's own, 1 while the target asks itself."""
        return self.temperature if self.phase == "answering" else 1.0

    def advance(self, sampled: int, hidden: NDArray[np.uint16]) -> None:
        """Take the id sampled after `ids[-1]`, and the final hidden state `[hidden]` (bfloat16 bits) it was sampled
        from."""
        self._phase_length += 1
        if self.phase == "asking":
            self._ask(sampled)
        else:
            self.hidden.append(hidden)
            self.ids.append(sampled)
            self.answer.append(True)
            self._end_answer(sampled)
        if len(self.ids) >= self.limits.total:
            self.phase = "finished"

    def _ask(self, sampled: int) -> None:
        if sampled != self.template.stop_id:
            self.ids.append(sampled)
            self.answer.append(False)
        if sampled == self.template.stop_id or self._phase_length >= self.limits.question:
            self._given(self.template.reply, "answering")

    def _end_answer(self, sampled: int) -> None:
        if sampled == self.template.stop_id and self.turns > 1:
            self.turns -= 1
            self._given(self.template.again, "asking")
        elif sampled == self.template.stop_id or self._phase_length >= self.limits.answer:
            self.phase = "finished"

    def _given(self, given: tuple[int, ...], then: Phase) -> None:
        self.ids.extend(given)
        self.answer.extend([False] * len(given))
        self.phase, self._phase_length = then, 0
