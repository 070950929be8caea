"""The history of a training run as CSV, with a header and a line for each epoch."""

import csv
import io
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from lenet._files import read_at_most
from lenet.errors import InputError
from lenet.training.state import Epoch, check_numbers

MAX_BYTES = 2**24


def history_csv(history: list[Epoch]) -> str:
    """Return a history as CSV; missing values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [each.name for each in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in history)
    return text.getvalue()


def read_history(path: Path) -> list[Epoch]:
    """Read a file with at least one epoch; raise InputError if it is missing or damaged."""
    try:
        content = read_at_most(path, MAX_BYTES)
        if content is None:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        return _epochs(content.decode())
    except FileNotFoundError:
        raise InputError(f"{path} is missing; expected a run with at least one epoch. Train it first.") from None
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}). Restore it, or train again.") from None


def _epochs(text: str) -> list[Epoch]:
    rows: list[Epoch] = []
    for row in csv.DictReader(text.splitlines()):
        values: dict[str, Any] = {name: float(field) if field else None for name, field in row.items()}
        rows.append(Epoch(**values | {"epoch": len(rows) + 1}))
        check_numbers(rows[-1])
        if values.get("epoch") != len(rows):
            raise ValueError(f"its row {len(rows)} is not that of epoch {len(rows)}")
    if not rows:
        raise ValueError("it has no epochs")
    return rows
