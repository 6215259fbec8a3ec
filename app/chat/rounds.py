"""Which answers keep their rounds in memory: those looked at last. The others' are in the store."""

from collections import deque
from dataclasses import replace

from app.engine.protocol import parse_round
from app.store import Answer, Store

LOADED_ANSWERS = 8


class RoundsInMemory:
    """The rounds of one chat's answers, read when they are wanted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: deque[Answer] = deque()

    def load(self, answer: Answer) -> None:
        """Fill `answer.rounds` where they are in the store alone. Raises StoreError and ProtocolError."""
        self.keep(answer)
        if not answer.rounds and answer.num_rounds and answer.key is not None:
            wires = self._store.messages.rounds(answer.key)
            answer.rounds = [replace(parse_round(wire), index=index) for index, wire in enumerate(wires)]

    def keep(self, answer: Answer) -> None:
        """Count `answer` as looked at last, and let go of the rounds of the one looked at longest ago."""
        if answer in self._answers:
            self._answers.remove(answer)
        self._answers.append(answer)
        while len(self._answers) > LOADED_ANSWERS:
            oldest = self._answers.popleft()
            if oldest.num_rounds == len(oldest.rounds):  # all of them are in the store
                oldest.rounds = []

    def forget(self) -> None:
        """Another chat is open."""
        self._answers.clear()
