"""Server-sent events from bytes. Knows nothing of JSON or of the chat."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comment:
    """A line that is no part of an event: a sign of life, or a word about the answer that is still to come."""

    text: str


class SseParser:
    """Collects bytes, however they were cut, and gives back the data of each complete event, and comments.

    Lines may end in LF, CRLF or CR; the network may cut a character in two; other fields are skipped.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[str | Comment]:
        """Take the next bytes; return the data of the events they completed, and the comments, in order."""
        self._rest += chunk
        # A final CR may be the first half of CRLF: it waits for the next byte.
        held = b"\r" if self._rest.endswith(b"\r") else b""
        text = self._rest[: len(self._rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        return [event for line in lines if (event := self._take(line.decode("utf-8", "replace")))]

    def _take(self, line: str) -> str | Comment | None:
        if line:
            name, _, value = line.partition(":")
            if not name:
                return Comment(value.strip())
            if name == "data":
                self._data.append(value.removeprefix(" "))
            return None
        data, self._data = "\n".join(self._data), []
        return data or None
