"""Chats of three turns: a long text to read in the first, about 2,000 tokens of the starter's, then short questions.

All is of the prompts that ship with the engine: the handbook of `long`, in another order for each chat, and questions
of `chat`.
"""

import re
from dataclasses import dataclass
from typing import Final

from mlx_spec.bench.prompts import prompts_of

TURNS: Final = 3
FIRST_COPY: Final = 100_001
"""Numbers of copies have as many digits each, so that all first messages are about equally long."""
_ROWS: Final = 12
_SECTION: Final = re.compile(r"[1-8]\. ")
_ROW: Final = re.compile(r"\d+ [A-Z][a-z]+: ")

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class BenchChat:
    """What the user says in each turn. `index` counts the chats."""

    index: int
    questions: tuple[str, ...]

    def messages(self, answers: tuple[str, ...]) -> list[Message]:
        """The conversation up to the question that follows these answers."""
        told: list[Message] = []
        for question, answer in zip(self.questions, answers, strict=False):
            told += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return [*told, {"role": "user", "content": self.questions[len(answers)]}]


def chats_of(count: int, copy: int = FIRST_COPY) -> list[BenchChat]:
    """`count` chats, or as many as there are questions for.

    `copy` stands at the beginning of the first chat's text, the numbers after it in the others': no chat of one number
    begins like one of another, whoever was asked it before.
    """
    asked = [prompt.text for prompt in prompts_of("chat")]
    most = len(asked) // TURNS
    return [
        BenchChat(at, (_first(at, copy + at, asked[TURNS * at]), *asked[TURNS * at + 1 : TURNS * (at + 1)]))
        for at in range(min(count, most))
    ]


def _first(at: int, copy: int, question: str) -> str:
    """A copy of the handbook, its sections turned by `at`, with other rows of its table; and the first question."""
    lines = prompts_of("long")[0].text.splitlines()
    sections = [line for line in lines if _SECTION.match(line)]
    rows = [line for line in lines if _ROW.match(line)]
    turn = at % len(sections)
    some = [rows[(at * _ROWS + row) % len(rows)] for row in range(_ROWS)]
    parts = [
        f"Copy {copy} of a handbook. A question follows at its end.",
        *sections[turn:],
        *sections[:turn],
        "\n".join(["A page of the book of arrivals:", *some]),
        f"The question: {question}",
    ]
    return "\n\n".join(parts)
