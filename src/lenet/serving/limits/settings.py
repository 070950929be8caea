"""The limits of a server."""

import math
from dataclasses import dataclass, fields

from lenet import _checks
from lenet.errors import InputError, InputTypeError


@dataclass(frozen=True)
class Limits:
    """The limits of a server; each worker process has its own.

    Parameters
    ----------
    body : int, default 16 MiB
        Size of a request body in bytes, before and after decompression. A larger one gets the status 413.
    json : int, default 2 MiB
        Size of the JSON in a body in bytes, without binary tensors. Larger JSON gets the status 413.
    batch : int, default 1024
        Number of images in an inference request. A request with more gets the status 400.
    pixels : int, default 25,000,000
        Number of pixels in a picture; reading takes up to 12 bytes per pixel. A larger one gets the status 400.
    in_flight : int, default 256
        Number of pictures, and of inference requests, that are computed in threads or wait for one. One more gets the
        status 503, as does a request that would probably have to wait for longer than `request_seconds`.
    buffered : int, default 256 MiB
        Total size of the bodies in memory, in bytes. A request that would exceed it gets the status 503. Bodies
        with a Content-Length of at most 64 KiB may exceed it by a 16th, so that large ones do not shut out all others.
    connections : int, default 4096
        Number of open connections. One more closes the connection that has waited longest for its client.
    receive_seconds : float, default 10
        Time from the first byte of a request to its last. A slower request gets the status 408. Also the time for a
        client to read the response, if 64 KiB or more are waiting to be sent, or any part of the last response on its
        connection. The connection of a slower client is aborted.
    request_seconds : float, default 30
        Time to wait for a thread and to compute a response in it. A request that takes longer gets the status 503.
    drain_seconds : float, default 1
        Time after SIGTERM during which the server still accepts connections, but is not ready, so that load balancers
        can choose another server.

    Raises
    ------
    InputError, InputTypeError
        If a limit is not a finite number above 0 (`drain_seconds` may be 0), or a count or size is not an integer.

    Examples
    --------
    >>> Limits(batch=64).batch
    64
    """

    body: int = 16 * 2**20
    json: int = 2 * 2**20
    batch: int = 1024
    pixels: int = 25_000_000
    in_flight: int = 256
    buffered: int = 256 * 2**20
    connections: int = 4096
    receive_seconds: float = 10.0
    request_seconds: float = 30.0
    drain_seconds: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type is int:
                _checks.whole(value, each.name)
            elif not 0 < _checks.number(value, each.name) < math.inf and (value, each.name) != (0, "drain_seconds"):
                raise InputError(f"{each.name} is {value}; expected a finite number of seconds above 0.")


def checked_limits(limits: Limits | None) -> Limits:
    """Return the limits, by default `Limits()`; raise InputTypeError if they are something else."""
    if not (limits is None or isinstance(limits, Limits)):
        raise InputTypeError(f"limits is {_checks.short_repr(limits)}; expected Limits or None.")
    return limits or Limits()
