"""What is asked: the short prompts that ship with the engine, and a long text, each with a number of its own in front.

So no server has read a question before, whatever it keeps of earlier ones, and all sides are asked the same.
"""

from dataclasses import dataclass
from typing import Final

from mlx_spec.bench.paired.chats import Message, chats_of
from mlx_spec.bench.prompts import bench_prompts, prompts_of

FIRST_NUMBER: Final = 100_001
"""Numbers have as many digits each, so that all are about equally long."""
LAST_FIRST_NUMBER: Final = 899_999
"""So many may be asked behind it that none has more digits."""
_MANY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """One text of a user."""

    number: int
    text: str

    @property
    def messages(self) -> list[Message]:
        """As a chat has it."""
        return [{"role": "user", "content": self.text}]


def short_question(index: int, number: int) -> Question:
    """The prompt `index`, of several kinds in turns; from the first again behind the last."""
    prompts = bench_prompts(_MANY)
    return _numbered(prompts[index % len(prompts)], number)


def writers_question(index: int, number: int) -> Question:
    """One that is answered at length."""
    prompts = prompts_of("prose")
    return _numbered(prompts[index % len(prompts)].text, number)


def long_question(number: int) -> Question:
    """About 2,000 tokens of the starter's."""
    return Question(number, chats_of(1, number)[0].questions[0])


def _numbered(text: str, number: int) -> Question:
    return Question(number, f"Request {number}. {text}")
