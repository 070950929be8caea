"""The tokens that clients must send: read them from the environment, and check that requests can contain them."""

from collections.abc import Mapping

from lenet._files import read_at_most
from lenet.errors import InputError, InputTypeError

TOKEN = "LENET_TOKEN"  # noqa: S105 # a name
CONTROL_TOKEN = "LENET_CONTROL_TOKEN"  # noqa: S105 # a name
MAX_TOKEN_BYTES = 4096


def token_of(environment: Mapping[str, str], variable: str = TOKEN) -> str | None:
    """Return the token in a variable, or in the file that VARIABLE_FILE names, without the line breaks at its end.

    Examples
    --------
    >>> token_of({"LENET_TOKEN": "sesame"})
    'sesame'
    """
    path = environment.get(f"{variable}_FILE")
    if path is None or variable in environment:
        return checked_token(environment.get(variable), variable)
    content, reason = None, ""
    try:
        content = read_at_most(path, MAX_TOKEN_BYTES)
    except OSError as error:
        reason = f" ({error.strerror or error})"
    if content is None or not content.isascii():
        raise InputError(
            f"{variable}_FILE is {path}{reason}; expected a file with at most {MAX_TOKEN_BYTES} bytes of ASCII."
        )
    return checked_token(content.decode().rstrip("\r\n"), f"The file in {variable}_FILE")


def checked_token(token: str | None, name: str) -> str | None:
    """Return a token; raise InputError or InputTypeError, which calls it `name`, unless requests can send it."""
    if not (token is None or isinstance(token, str)):
        raise InputTypeError(f"{name} is of type {type(token).__name__}; expected a string or None.")
    if token == "":
        raise InputError(f"{name} is empty; expected a token. Omit the setting to serve without one.")
    if token and not (token.isascii() and token.isprintable() and token == token.strip()):
        raise InputError(f"{name} has spaces around it or characters outside printable ASCII; use letters and digits.")
    return token
