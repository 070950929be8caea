"""Collect every text of lenet that users see: `python -m tests.messages` prints them, grouped by module.

Python files are read by their syntax trees, Cython files and the page by a scan for literals. An f-string's
expressions appear in braces.
"""

import ast
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "lenet"
KINDS = {
    "error": "exceptions, and the server's answers",
    "usage": "usage errors of the command line",
    "warning": "warnings",
    "log": "log lines",
    "help": "help texts",
    "about": "descriptions of commands, routes, fields and metrics",
    "output": "lines printed",
    "page": "texts of the page",
    "part": "other texts, most of them parts of messages",
}
_BUILT_IN = {"AttributeError", "BadZipFile", "OSError", "TypeError", "ValueError"}
_METRICS = {"Counter", "Gauge", "Histogram"}
_LOG = {"debug", "info", "warning", "error", "exception", "critical"}
_WORDS = re.compile(r"[A-Za-z]+[,;:)]? [(\"'{]?[A-Za-z]")  # two words: a text, not a key or a format


@dataclass(frozen=True)
class Message:
    """A text, its kind, and its place."""

    module: str
    line: int
    kind: str
    text: str


def collect() -> list[Message]:
    """Return the messages of all modules, by module and line."""
    found: list[Message] = []
    for path in sorted(SOURCE.rglob("*")):
        module = path.relative_to(SOURCE).as_posix()
        if path.suffix == ".py" and "_pyinstaller" not in module:
            found += PythonFile(module, path.read_text("utf-8")).messages()
        elif path.suffix in (".pyx", ".pxi"):
            found += cython_messages(module, path.read_text("utf-8"))
        elif path.suffix == ".html":
            found += page_messages(module, path.read_text("utf-8"))
    return found


class PythonFile:
    """One module's syntax tree."""

    def __init__(self, module: str, text: str):
        self.module, self.tree = module, ast.parse(text)
        self.constants = {
            node.targets[0].id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        self.found: dict[tuple[int, str], Message] = {}
        self.seen: set[ast.AST] = set()

    def messages(self) -> list[Message]:
        """Return the messages, each literal once, under the first kind that fits."""
        nodes = list(ast.walk(self.tree))
        if self.module.startswith("cli/") and any(
            getattr(node, "name", "") == "add_arguments" for node in self.tree.body
        ):
            self._add("about", self.tree.body[0])
        for node in nodes:
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "description":
                        self._add("about", value)
            elif (
                isinstance(node, ast.AsyncFunctionDef)
                and self.module.startswith("serving/")
                and ast.get_docstring(node)
            ):
                if [argument.arg for argument in node.args.args][-1:] == ["request"]:  # a handler: a route's summary
                    self._add("about", node.body[0])
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "error.detail":
                self._add("error", node.value)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("COMMANDS", "DATA_HELP"):
                self._add("help", node.value)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ERRORS":
                self._add("about", node.value)
        self._skip_docstrings(nodes)
        for node in nodes:
            self._add("part", node)
        return sorted(self.found.values(), key=lambda message: message.line)

    def _call(self, call: ast.Call) -> None:
        name = ast.unparse(call.func)
        last = name.rpartition(".")[2]
        kind = None
        if last == "ArgumentTypeError" or name in ("parser.error",):
            kind = "usage"
        elif last in _BUILT_IN:
            kind = "part"  # another message quotes it
        elif last.endswith(("Error", "Exception")) or last in ("_reject", "error_type"):
            kind = "error"
        elif name == "warnings.warn":
            kind = "warning"
        elif name.startswith("LOG.") and last in _LOG:
            kind = "log"
        elif last in _METRICS or last == "query":
            kind = "about"
        elif last in ("print", "say", "_print"):
            kind = "output"
        if kind and kind != "part":
            for argument in call.args[:1] if kind == "log" else call.args:
                self._add(kind, argument)
        for keyword in call.keywords:
            if keyword.arg in ("help", "description", "epilog"):
                self._add("help" if keyword.arg == "help" else "about", keyword.value)

    def _add(self, kind: str, node: ast.AST) -> None:
        """Add the texts under a node, which no other kind may claim again."""
        if isinstance(node, ast.Expr):
            node = node.value
        if node in self.seen:
            return
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and self._is_text(node):
            text = self._text(node)
            self.seen |= set(ast.walk(node))
            if _WORDS.search(text) and (kind != "part" or not text.startswith("<")):
                text = " ".join(text.split()) if "\n" not in text.strip() or kind == "about" else text
                self.found[node.lineno, text] = Message(self.module, node.lineno, kind, text)
        elif kind != "part" and not isinstance(node, ast.Call | ast.Lambda | ast.Compare):
            for child in ast.iter_child_nodes(node):
                self._add(kind, child)

    def _is_text(self, node: ast.AST) -> bool:
        if isinstance(node, ast.BinOp):
            return isinstance(node.op, ast.Add) and (self._is_text(node.left) or self._is_text(node.right))
        return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))

    def _text(self, node: ast.AST) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(self._text(part) for part in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._text(node.left) + self._text(node.right)
        expression = node.value if isinstance(node, ast.FormattedValue) else node
        constant = self.constants.get(expression.id) if isinstance(expression, ast.Name) else None
        if constant is not None and self._is_text(constant):
            return self._text(constant)
        return "{" + ast.unparse(expression) + "}"

    def _skip_docstrings(self, nodes: list[ast.AST]) -> None:
        for node in nodes:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                self.seen.add(node.value)
            elif isinstance(node, ast.Call) and re.search(
                r"^(re\.|cast$|require$)|\.(split|TypeVar)$", ast.unparse(node.func)
            ):
                self.seen |= set(ast.walk(node))
            elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
                self.seen |= set(ast.walk(node.annotation))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
                self.seen |= set(ast.walk(node.returns))


def cython_messages(module: str, text: str) -> list[Message]:
    """Return the literals after `raise` in a Cython file."""
    pattern = r"raise \w+\(\s*f?((?:\"[^\"\n]*\"\s*f?)+)"
    return [
        Message(module, text.count("\n", 0, match.start()) + 1, "error", "".join(re.findall(r'"([^"\n]*)"', match[1])))
        for match in re.finditer(pattern, text)
    ]


class _PageTexts(HTMLParser):
    """Collects the text of elements, and the attributes that screen readers speak."""

    inline = frozenset({"a", "b", "code", "em", "kbd", "small", "span", "strong", "sub", "sup", "i", "br"})

    def __init__(self, module: str):
        super().__init__()
        self.module, self.found, self.text, self.line, self.code = module, list[Message](), "", 0, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("aria-label", "title", "placeholder", "alt", "content") and value and " " in value:
                self.found.append(Message(self.module, self.getpos()[0], "page", value))
        if tag in ("script", "style"):
            self.code = tag
        elif tag not in self.inline:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.code = ""
        elif tag not in self.inline:
            self.flush()

    def handle_data(self, data: str) -> None:
        if not self.code:
            self.line = self.line if self.text.strip() else self.getpos()[0]
            self.text += data

    def flush(self) -> None:
        text, self.text = " ".join(self.text.split()), ""
        if _WORDS.search(text) and not text.startswith("width="):
            self.found.append(Message(self.module, self.line, "page", text))


def page_messages(module: str, text: str) -> list[Message]:
    """Return the texts of an HTML file, and its script's literals of two words or more."""
    page = _PageTexts(module)
    page.feed(text)
    page.flush()
    start = text.index('<script type="module">')
    before = text.count("\n", 0, start)
    for number, line in enumerate(text[start:].split("\n"), start=before + 1):
        code = re.sub(r"^\s*(//|\*|/\*).*|\s//\s.*", "", line)
        for literal in re.findall(r"\"[^\"\n]*\"|`[^`\n]*`", code):
            if re.search(r"[A-Za-z}],? [a-z$]\w*", literal) and re.search(r"[A-Za-z]{2,} ", literal):
                page.found.append(Message(module, number, "page", literal[1:-1].replace("${", "{")))
    return sorted(page.found, key=lambda message: message.line)


def main() -> None:
    """Print all messages by module, and their number by kind."""
    messages, module = collect(), ""
    for message in messages:
        if message.module != module:
            module = message.module
            print(f"\n{module}")
        print(f"  {message.line:>4} {message.kind:<8}{message.text.replace(chr(10), chr(10) + ' ' * 15)}")
    print()
    for kind, description in KINDS.items():
        print(f"{sum(message.kind == kind for message in messages):>4} {kind:<8}{description}")


if __name__ == "__main__":
    main()
