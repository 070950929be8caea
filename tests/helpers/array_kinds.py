"""Arrays of every kind that callers may pass, made from a plain one.

A kind takes a plain array and returns what is given and the plain array that this means: the same result is wanted of
both. None instead of a meaning: it can only be refused. None instead of both: there is no such thing of that array.
"""

import tempfile

import numpy as np


class Subclass(np.ndarray):
    """An array like those of other libraries."""


class Lying(np.ndarray):
    """An array whose methods give false information about its numbers."""

    def min(self, *_, **__):
        return 0

    def max(self, *_, **__):
        return 0

    def astype(self, *_, **__):
        return np.zeros(self.shape)

    reshape = __getitem__ = astype


class Converted:
    """An object that NumPy converts by its `__array__`."""

    def __init__(self, convert):
        self.convert = convert

    def __array__(self, dtype=None, copy=None):
        return self.convert()


class Described:
    """An object that NumPy converts by its `__array_interface__`."""

    def __init__(self, array):
        self.array, self.__array_interface__ = array, array.__array_interface__


def memory_map(a):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, a.dtype, "w+", shape=a.shape)
    mapped[...] = a
    return mapped


def frame(library, a):
    """A data frame of a table, or a series of a vector."""
    if a.ndim > 2:
        return None
    return library.Series(a.copy()) if a.ndim == 1 else library.DataFrame(a.copy())


def pandas(a):
    import pandas

    return frame(pandas, a)


def polars(a):
    try:
        import polars
    except ImportError:
        return None
    return frame(polars, a)


def endless():
    """A list that contains itself."""
    made = []
    made.append(made)
    return made


def fails():
    raise RuntimeError("no array today")


# The same numbers in another form: they are to be taken.
FORMS = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "Fortran order": lambda a: np.asfortranarray(a),
    "backwards": lambda a: np.flip(np.flip(a).copy()),
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "part of a larger one": lambda a: np.pad(a, 1)[(slice(1, -1),) * a.ndim],
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "memory map": memory_map,
    "memory view": lambda a: memoryview(a),
    "matrix": lambda a: np.asmatrix(a) if a.ndim == 2 else None,
    "subclass": lambda a: a.view(Subclass),
    "lying subclass": lambda a: a.view(Lying),
    "converted": lambda a: Converted(lambda: a),
    "described": Described,
    "pandas": pandas,
    "polars": polars,
}

# The same numbers as another type, if it can represent them: accepted as these numbers, or rejected.
TYPES = ["int8", "int64", "uint64", ">i2", "bool", "float16", "longdouble", "object"]

# Values that are not numbers, or not the numbers that they contain.
NO_NUMBERS = {
    "masked": lambda a: np.ma.array(a),
    "list of masked": lambda a: [np.ma.array(row) for row in a],
    "list of lists of masked": lambda a: [[np.ma.array(row)] for row in a],
    "complex": lambda a: a.astype(complex),
    "datetime64": lambda a: a.astype(np.int64).astype("M8[s]"),
    "timedelta64": lambda a: a.astype(np.int64).astype("m8[ns]"),
    "text": lambda a: a.astype(str),
    "bytes": lambda a: a.astype(bytes),
    "raw bytes": lambda a: a.tobytes(),
    "objects of text": lambda a: a.astype(str).astype(object),
    "structured": lambda a: a.view([("value", a.dtype)]),
    "void": lambda a: a.view(f"V{a.itemsize}"),
    "mapping": lambda a: {0: a},
    "generator": lambda a: (row for row in a),
    "ragged": lambda a: [[1, 2], [3]],
    "endless": lambda a: endless(),
    "nothing": lambda a: None,
    "fails": lambda a: Converted(fails),
    "converted to a list": lambda a: Converted(a.tolist),
    "converted to a masked array": lambda a: Converted(lambda: np.ma.array(a)),
    "converted to complex": lambda a: Converted(lambda: a.astype(complex)),
}


def typed(dtype):
    def make(a):
        with np.errstate(over="ignore", invalid="ignore"):
            given = a.astype(dtype)
            back = given.astype(a.dtype)
        return given, back if (back == given).all() else None

    return make


def formed(form):
    def make(a):
        given = form(a)
        return (given, a) if given is not None else (None, None)

    return make


MUST_BE_TAKEN = {
    **{name: formed(form) for name, form in FORMS.items()},
    "broadcast": lambda a: (np.broadcast_to(a[:1], a.shape), np.repeat(a[:1], len(a), axis=0)),
}
MAY_BE_TAKEN = {
    **{name: typed(name) for name in TYPES},
    "lists": lambda a: (a.tolist(), a),
    "list of arrays": lambda a: (list(a), a),
    "0-d": lambda a: (a.reshape(-1)[0], np.array(a.reshape(-1)[0])),
    "empty": lambda a: (a[:0].astype(a.dtype.newbyteorder(">")), a[:0]),
}
MUST_BE_REFUSED = {name: (lambda a, make=make: (make(a), None)) for name, make in NO_NUMBERS.items()}
KINDS = MUST_BE_TAKEN | MAY_BE_TAKEN | MUST_BE_REFUSED
