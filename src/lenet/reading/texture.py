"""Reject pictures of noise and textures."""

from lenet.errors import InputError

MAX_STROKES = 6000  # a page of writing has fewer


def reject_texture(count: int, limit: int, what: str) -> None:
    """Raise InputError if a count exceeds its limit: a picture of noise or a texture would take too long to read."""
    if count > limit:
        raise InputError(
            f"The picture has {count:,} {what}; expected at most {limit:,}. It shows noise or a texture: "
            "crop it to the writing."
        )
