"""Bonjour: a machine that offers itself says so on the local network, and others hear of it (`_lookahead._tcp`).

What is announced is a name, a fingerprint of the public key, and what the machine is. Nothing of it is believed: it
says where to knock, and who answers there shows its key.
"""

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Final, Self

from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, NonUniqueNameException, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

from mlx_spec.errors import LookaheadError
from mlx_spec.hosts.finding.facts import MachineFacts
from mlx_spec.hosts.finding.identity import Identity, fingerprint, shown_name

SERVICE: Final = "_lookahead._tcp.local."
_RESOLVE_MS: Final = 3_000


@dataclass(frozen=True, slots=True)
class FoundHost:
    """A machine that offers itself now. `addresses` are where it may be reached, the likeliest first; memory in bytes,
    0 where it is not told."""

    name: str
    fingerprint: str
    addresses: tuple[str, ...]
    port: int
    chip: str = ""
    total_bytes: int = 0
    lookahead: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


class Announcement:
    """While it is entered, others on the network find this machine. Raises LookaheadError where there is no network."""

    def __init__(
        self, identity: Identity, facts: MachineFacts, port: int, interfaces: Iterable[str] | None = None
    ) -> None:
        # Two machines of one name are told apart by the fingerprint, so no name is ever taken.
        label = f"{identity.name[:40]} {fingerprint(identity.key)[:8]}".replace(".", " ")
        self._interfaces = None if interfaces is None else list(interfaces)
        self._info = ServiceInfo(
            SERVICE,
            f"{label}.{SERVICE}",
            port=port,
            parsed_addresses=reachable_addresses() if self._interfaces is None else self._interfaces,
            properties={
                "v": "1",
                "name": identity.name,
                "key": fingerprint(identity.key),
                "chip": facts.chip[:64],
                "memory": str(facts.total_bytes),
                "lookahead": facts.lookahead,
            },
            server=f"lookahead-{fingerprint(identity.key)}.local.",
        )

    def __enter__(self) -> Self:
        self._zeroconf = _opened(self._interfaces)
        try:
            self._zeroconf.register_service(self._info)
        except (NonUniqueNameException, ZeroconfError, OSError) as error:
            self._zeroconf.close()
            raise LookaheadError(
                f"This machine cannot be announced on the network ({error or type(error).__name__}): the others can"
                " still join it by its address."
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ZeroconfError, OSError):
            self._zeroconf.unregister_service(self._info)
        self._zeroconf.close()


class Lookout(ServiceListener):
    """While it is entered, it knows which machines offer themselves; `changed` is called, by a thread of its own, after
    every change. Raises LookaheadError where there is no network."""

    def __init__(self, changed: Callable[[], object] = lambda: None, interfaces: Iterable[str] | None = None) -> None:
        self._changed = changed
        self._interfaces = None if interfaces is None else list(interfaces)
        self._lock = threading.Lock()
        self._found: dict[str, FoundHost] = {}

    @property
    def hosts(self) -> tuple[FoundHost, ...]:
        """All that are there now, by name."""
        with self._lock:
            return tuple(sorted(self._found.values(), key=lambda one: (one.name.casefold(), one.fingerprint)))

    def wait_for(self, fits: Callable[[FoundHost], bool], seconds: float) -> FoundHost | None:
        """The first that fits, as soon as it is there; None where none is in time."""
        ends = time.monotonic() + seconds
        while True:
            if (found := next((one for one in self.hosts if fits(one)), None)) is not None:
                return found
            if time.monotonic() >= ends:
                return None
            time.sleep(0.05)

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Called by zeroconf."""
        info = ServiceInfo(type_, name)
        if info.request(zc, _RESOLVE_MS) and (found := found_host(info)) is not None:
            with self._lock:
                self._found[name] = found
            self._changed()

    update_service = add_service

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Called by zeroconf."""
        with self._lock:
            gone = self._found.pop(name, None)
        if gone is not None:
            self._changed()

    def __enter__(self) -> Self:
        self._zeroconf = _opened(self._interfaces)
        self._browser = ServiceBrowser(self._zeroconf, SERVICE, listener=self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.cancel()
        self._zeroconf.close()


def found_host(info: ServiceInfo) -> FoundHost | None:
    """What an announcement says; None where it is none of ours, or says no place."""
    said = {key: value or "" for key, value in info.decoded_properties.items()}
    addresses = tuple(sorted(info.parsed_scoped_addresses(), key=_rank))
    if said.get("v") != "1" or not info.port or not addresses or not said.get("key"):
        return None
    memory = said.get("memory", "")
    return FoundHost(
        shown_name(said.get("name", "")),
        shown_name(said["key"])[:16],
        addresses,
        info.port,
        shown_name(said.get("chip", "")) if said.get("chip") else "",
        int(memory) if memory.isascii() and memory.isdecimal() and len(memory) < 20 else 0,
        shown_name(said["lookahead"])[:20] if said.get("lookahead") else "",
    )


def reachable_addresses() -> list[str]:
    """Where others may reach this machine: no loopback, and no address that needs an interface's name with it."""
    import psutil

    found = [
        one.address
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family in (socket.AF_INET, socket.AF_INET6) and "%" not in one.address
    ]
    usable = [
        one for one in found if not (parsed := ipaddress.ip_address(one)).is_loopback and not parsed.is_link_local
    ]
    links = [one for one in found if ":" not in one and ipaddress.ip_address(one).is_link_local]
    # Two Macs joined by a Thunderbolt cable have link-local addresses for it, and those are the quickest way.
    return sorted({*usable, *links}, key=_rank)


def _rank(address: str) -> tuple[bool, bool, str]:
    """IPv4 first: the ring's hostfiles have it so; then whatever needs no interface."""
    return ":" in address, "%" in address, address


def _opened(interfaces: list[str] | None) -> Zeroconf:
    try:
        return Zeroconf(ip_version=IPVersion.V4Only) if interfaces is None else Zeroconf(interfaces=interfaces)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LookaheadError(
            f"The local network cannot be asked ({reason}): look at the connection, or give the machine's address."
        ) from error
