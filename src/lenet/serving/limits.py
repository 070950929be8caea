"""What a server takes from outside, and no more."""

import math
from dataclasses import dataclass, fields

from lenet import _checks
from lenet.errors import InputError


@dataclass(frozen=True)
class Limits:
    """The limits of a server; each worker process has them for itself.

    Parameters
    ----------
    body : int, default 16 MiB
        Bytes of a request's body, also when it was compressed: more is answered by 413.
    json : int, default 4 MiB
        Bytes of JSON in it, which are parsed at once: more is answered by 413. Tensors in binary do not count.
    batch : int, default 1024
        Images of an inference request: more is answered by 400.
    pixels : int, default 25,000,000
        Of a picture, whose reading takes some 15 bytes for each: more is answered by 400.
    in_flight : int, default 32
        Pictures, and as many large requests, that are computed or wait for it: more are answered by 503.
    buffered : int, default 256 MiB
        Bytes of all bodies that are held at a time: more is answered by 503.
    connections : int, default 4096
        Open connections: for one more, the one that has waited longest for its client is closed.
    receive_seconds : float, default 10
        From the first byte of a request to its last, after which a slow one is answered by 408; and for a client to
        take what waits for it where that is 64 KiB or more, after which the connection is cut.
    request_seconds : float, default 30
        To compute an answer: later, 503 is sent.

    Raises
    ------
    InputError, InputTypeError
        If one is not a positive number, or not a whole one where things are counted.

    Examples
    --------
    >>> Limits(batch=64).batch
    64
    """

    body: int = 16 * 2**20
    json: int = 4 * 2**20
    batch: int = 1024
    pixels: int = 25_000_000
    in_flight: int = 32
    buffered: int = 256 * 2**20
    connections: int = 4096
    receive_seconds: float = 10.0
    request_seconds: float = 30.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type is int:
                _checks.whole(value, each.name)
            elif not 0 < _checks.number(value, each.name) < math.inf:
                raise InputError(f"{each.name} is {value}, and a number of seconds above 0 is wanted.")
