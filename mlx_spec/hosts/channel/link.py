"""One connection of the control channel behind its handshake: messages in order, a pulse both ways, silence noticed."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlx_spec.hosts.channel.framing import Framing

BEAT: Final = "beat"
_ECHO: Final = "echo"


@dataclass(frozen=True, slots=True)
class Pulse:
    """How often each end says that it is there, and how long the other may say nothing, in seconds."""

    interval_s: float = 1.0
    silence_s: float = 5.0


USUAL_PULSE: Final = Pulse()


class Link:
    """Hands each message to `heard`, on a thread of its own; beats are not heard, but for what they carry. `ended` is
    called once, with why, when the other end has closed, is silent, or talks nonsense; not after `close`. `carried`
    is what each beat of this end carries. The last round trip is `latency_ms`, None before the first. Silence is no
    loss between `suspend` and `resume`: where an end is about to do what lets none of its threads go on."""

    def __init__(
        self,
        framing: Framing,
        pulse: Pulse,
        *,
        heard: Callable[[dict[str, Any]], None],
        ended: Callable[[str], object],
        carried: Callable[[], Mapping[str, Any]] = dict,
        name: str = "link",
    ) -> None:
        self._framing, self._pulse, self._heard, self._ended, self._carried = framing, pulse, heard, ended, carried
        self._closed = threading.Event()
        self._sent_s: dict[Any, float] = {}
        self._heard_s = time.monotonic()
        self._is_suspended = False
        self.latency_ms: float | None = None
        self._threads = [
            threading.Thread(target=self._listen, name=f"{name} listens", daemon=True),
            threading.Thread(target=self._beat, name=f"{name} beats", daemon=True),
        ]

    def start(self) -> None:
        """Begin to listen and to beat."""
        self._heard_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def suspend(self) -> None:
        """Put up with any silence from now on."""
        self._is_suspended = True

    def resume(self) -> None:
        """Put up with no silence any more; what was before does not count."""
        self._heard_s = time.monotonic()
        self._is_suspended = False

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises OSError."""
        self._framing.send(message)

    def send_bytes(self, data: bytes) -> None:
        """Send a message that is packed already. Raises OSError."""
        self._framing.send_bytes(data)

    def close(self) -> None:
        """End the connection. From any thread, as often as anybody likes."""
        self._closed.set()
        self._framing.close()

    def _listen(self) -> None:
        why = self._listened()
        if not self._closed.is_set():
            self._closed.set()
            self._ended(why)

    def _listened(self) -> str:
        """Hear messages until there are no more; why not."""
        while True:
            silent_s = time.monotonic() - self._heard_s
            is_late = silent_s > self._pulse.silence_s and not self._is_suspended
            try:
                # Who slept himself has not been left: what came meanwhile lies there.
                message = self._framing.receive(0.0 if is_late else self._pulse.interval_s / 2)
            except TimeoutError:
                if is_late and not self._is_suspended:
                    return f"said nothing for {silent_s:.0f} s"
                continue
            except OSError as error:
                return f"broke the connection ({error})"
            except ValueError as error:
                return f"talks nonsense ({error})"
            if message is None:
                return "closed the connection"
            self._heard_s = time.monotonic()
            try:
                if not self._is_pulse(message):
                    self._heard(message)
            except Exception as error:  # noqa: BLE001 - by whoever speaks; without this thread nobody noticed its silence
                return f"talks nonsense ({type(error).__name__}: {error})"

    def _is_pulse(self, message: dict[str, Any]) -> bool:
        if (number := message.get(_ECHO)) is not None:
            if (sent_s := self._sent_s.pop(number, None)) is not None:
                self.latency_ms = (time.monotonic() - sent_s) * 1e3
            return True
        if (number := message.get(BEAT)) is None:
            return False
        self._try_to_send({_ECHO: number})
        if len(message) > 1:
            self._heard(message)
        return True

    def _beat(self) -> None:
        number = 0
        while not self._closed.wait(self._pulse.interval_s):
            number += 1
            self._sent_s = {number: time.monotonic()}
            self._try_to_send({BEAT: number, **self._carried()})

    def _try_to_send(self, message: Mapping[str, Any]) -> None:
        try:
            self._framing.send(message)
        except OSError:
            self._closed.wait(self._pulse.interval_s)  # who listens will say why
