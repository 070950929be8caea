"""Open the socket of a server: the address, the length of its queue, and the limit of open files."""

import contextlib
import ipaddress
import os
import socket
from pathlib import Path

from lenet import _checks
from lenet.errors import ConfigurationError, InputError, InputTypeError
from lenet.serving.logs import LOG


def check_address(host: object, port: int, uds: object) -> None:
    """Check the address of a server; the messages also suit `lenet serve`."""
    if _checks.whole(port, "port", at_least=0) > 65535:
        raise InputError(f"port is {port}; expected 0 to 65535.")
    if not isinstance(host, str):
        raise InputTypeError(f"host is of type {type(host).__name__}; expected a string.")
    if not (uds is None or isinstance(uds, str | os.PathLike)):
        raise InputTypeError(f"uds is of type {type(uds).__name__}; expected a path or None.")
    if uds == "":  # Path("") is the current folder
        raise InputError("uds is empty; expected a path.")


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket, so that an address in use is reported before any process starts."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        with contextlib.ExitStack() as on_error:
            # With the protocol, since asyncio sets TCP_NODELAY only for IPPROTO_TCP.
            listening = on_error.enter_context(socket.socket(family, kind, protocol))
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(backlog)
            on_error.pop_all()
        return listening
    except (OSError, OverflowError, UnicodeError) as error:  # UnicodeError: invalid host name
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"Cannot listen on {host} port {port} ({reason}). Choose another host or port."
        ) from None


def listen_on_path(path: str, backlog: int) -> socket.socket:
    """Return a listening Unix socket, which replaces a stale one."""
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError("This system has no Unix sockets; expected a host and a port.")
    try:
        with contextlib.ExitStack() as on_error:
            if Path(path).is_socket():
                with socket.socket(socket.AF_UNIX) as other, contextlib.suppress(ConnectionRefusedError):
                    other.connect(path)
                    raise ConfigurationError(f"Another server listens on {path}. Choose another path.")
                Path(path).unlink()
            listening = on_error.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listening.bind(path)
            Path(path).chmod(0o666)  # its folder decides who can connect
            listening.listen(backlog)
            on_error.pop_all()
        return listening
    except OSError as error:
        raise ConfigurationError(f"Cannot listen on {path} ({error.strerror or error}). Choose another path.") from None


def warn_if_open(listening: socket.socket) -> None:
    """Log a warning unless only this machine can connect."""
    host, port = listening.getsockname()[:2]
    if not ipaddress.ip_address(host).is_loopback:
        LOG.warning(
            "The server listens on %s port %s without a token, so every machine that can reach this port can use it. "
            "Set LENET_TOKEN, or listen on 127.0.0.1.",
            host,
            port,
        )


def url_of(listening: socket.socket) -> str:
    """Return the URL of a server, such as "http://127.0.0.1:8000/" or "unix:/run/lenet.sock"."""
    address = listening.getsockname()
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def allow_many_files() -> int:
    """Raise the limit of open files as far as allowed, and return it; many slow clients exceed the usual 1,024."""
    try:
        import resource
    except ImportError:
        return 65536
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
