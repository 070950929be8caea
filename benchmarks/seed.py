"""Compare a notebook's gradients with central differences of its own loss: `python -m benchmarks.seed NOTEBOOK`.

The notebook is an .ipynb file, or a text file with a line "In [1]:" above each cell. It must train in a loop over NumPy
arrays that takes images from `X_train` and labels from `y_train`, sets `loss`, and then updates each parameter by
`parameter -= lr * gradient`. Here it gets four of scikit-learn's digits. Outside of the loop, only functions, constants
and the initial values of the parameters are run; skipped statements are reported on stderr.

The command runs the notebook's code: use it only on a notebook that you have read.
"""

import argparse
import ast
import contextlib
import io
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lenet

STEP = 1e-4
HEADER = """\
| gradient of | elements | norm, relative to the true one | cosine | largest element: notebook, central difference |
|---|---|---|---|---|"""
Array = NDArray[np.float64]


def cells(path: Path) -> Iterator[list[ast.stmt]]:
    """Yield the statements of each code cell; report lines of a text that are not code."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        for cell in json.loads(text)["cells"]:
            if cell["cell_type"] == "code":
                yield ast.parse("".join(cell["source"])).body
        return
    for part in re.split(r"^In \[[^\]]*\]:\n", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        for end in range(len(lines), -1, -1):
            with contextlib.suppress(SyntaxError):
                found = ast.parse("\n".join(lines[:end])).body
                break
        for line in filter(None, lines[end:]):
            print(f"not code: {line}", file=sys.stderr)
        yield found


def update(statement: ast.stmt) -> tuple[str, str] | None:
    """Return the names of a parameter and its gradient, if a statement is `parameter -= lr * gradient`."""
    match statement:
        case ast.AugAssign(ast.Name(parameter), ast.Sub(), ast.BinOp(_, ast.Mult(), ast.Name(gradient))):
            return parameter, gradient
    return None


def stored(statement: ast.stmt) -> set[str]:
    """Return the names that a statement assigns to."""
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


class Notebook:
    """A notebook after one forward and backward pass, before the update of its parameters.

    Attributes
    ----------
    names : dict of str to Any
        Everything its code has defined.
    updates : dict of str to str
        The name of each parameter's gradient.
    seconds : float
        How long the pass took.
    """

    def __init__(self, path: Path, x: Array, y: NDArray[Any]):
        statements = [statement for cell in cells(path) for statement in cell]
        nodes = (node for statement in statements for node in ast.walk(statement))
        loop = next((node for node in nodes if isinstance(node, ast.For) and any(map(update, node.body))), None)
        if loop is None or not any("loss" in stored(statement) for statement in loop.body):
            raise SystemExit(f"{path} has no loop that sets loss and updates parameters by parameter -= lr * gradient.")
        self.updates = dict(pair for pair in map(update, loop.body) if pair)
        first_update = next(k for k, statement in enumerate(loop.body) if update(statement))
        end_of_forward = next(k for k, statement in enumerate(loop.body) if "loss" in stored(statement)) + 1
        self._forward = loop.body[:end_of_forward]
        self.names: dict[str, Any] = {"np": np, "X_train": x, "y_train": y, **dict.fromkeys(stored(loop.target), 0)}
        np.random.seed(0)  # noqa: NPY002 - the notebook draws from it
        for statement in statements:
            self._define(statement, loop)
        began = time.perf_counter()
        self._run(loop.body[:first_update], self.names)
        self.seconds = time.perf_counter() - began

    def _define(self, statement: ast.stmt, loop: ast.For) -> None:
        """Run a statement if it is a definition; search the loops around the training loop for definitions."""
        match statement:
            case ast.For() if statement is loop:
                return
            case ast.For():
                for each in statement.body:
                    self._define(each, loop)
            case ast.FunctionDef() | ast.Assign(value=ast.Constant()):
                self._run([statement], self.names)
            case ast.Assign() if stored(statement) & self.updates.keys():
                self._run([statement], self.names)
            case _:
                print(f"not run: {ast.unparse(statement).partition(chr(10))[0]}", file=sys.stderr)

    @staticmethod
    def _run(statements: list[ast.stmt], names: dict[str, Any]) -> None:
        """Run statements of the notebook, which the user chose and has been told to read."""
        code = compile(ast.Module(statements, []), "notebook", "exec")  # nosemgrep: no-code-from-text
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, names)  # noqa: S102 # nosemgrep: no-code-from-text

    def differences(self, name: str, elements: NDArray[np.int64]) -> Array:
        """Return the central differences of the loss for some elements of a parameter."""
        found = []
        for element in elements:
            losses = []
            for step in (STEP, -STEP):
                moved = self.names[name].copy()
                moved.flat[element] += step
                names = {**self.names, name: moved}
                self._run(self._forward, names)
                losses.append(names["loss"])
            found.append((losses[0] - losses[1]) / (2 * STEP))
        return np.array(found)


def rows(notebook: Notebook, max_elements: int) -> Iterator[str]:
    """Yield the table row of each parameter."""
    rng = np.random.default_rng(0)
    for name, gradient in notebook.updates.items():
        elements = rng.permutation(notebook.names[name].size)[:max_elements]
        own, true = notebook.names[gradient].ravel()[elements], notebook.differences(name, elements)
        ratio = np.linalg.norm(own) / np.linalg.norm(true)
        cosine = own @ true / np.linalg.norm(own) / np.linalg.norm(true)
        k = np.abs(true).argmax()
        counted = f"{len(elements):,} of {notebook.names[name].size:,}"
        yield f"| `{name}` | {counted} | {ratio:.2f} | {cosine:.4f} | {own[k]:.2g}, {true[k]:.2g} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seed", description=__doc__.partition("\n")[0])
    parser.add_argument("notebook", type=Path, help="the notebook, whose code is run: read it first")
    parser.add_argument("--elements", type=int, default=50, help="elements to check per parameter; default: 50")
    options = parser.parse_args()
    digits = lenet.data.load_digits()
    notebook = Notebook(options.notebook, digits.X_train[:4, np.newaxis] / 255, digits.y_train[:4].astype(int))
    print(HEADER)
    for row in rows(notebook, options.elements):
        print(row, flush=True)
    print(f"\nForward and backward, these four images take {notebook.seconds:.2f} s.")


if __name__ == "__main__":
    main()
