"""The address that a server listens on."""

import contextlib
import ipaddress
import socket

from mlx_spec.errors import ServerError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host.lower() == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, so that a client may connect from now on. Raises ServerError."""
    if not 0 <= port <= 65535:
        raise ServerError(f"Cannot listen on {host}, port {port}: a port is a whole number from 0 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServerError(f"The address {host!r}, port {port} is not one of this machine's: {error}.") from error
    try:
        # A port whose last connections are still fading away may be taken; one that somebody listens on may not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ServerError(f"Cannot listen on {host}, port {port}: {error.strerror}; choose another port.") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where clients find a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
