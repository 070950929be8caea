"""Every measured figure of the README, the pages and the model card is a result in docs/results.json, rounded.

If a test fails after a new measurement, change the page. If it fails for a new figure, have benchmarks/parts.py measure
it, and list it here. Code blocks are not read: tests/docs/test_blocks.py runs them.
"""

import json
import re
import struct
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from benchmarks import chart, parts, results

ROOT = Path(__file__).parents[2]
CARD = "src/lenet/weights/pretrained/mnist.md"
PAGES = ["README.md", CARD, *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
RESULTS = results.load()
VALUES = results.flat(RESULTS)
CPUS = {  # as the pages call them
    "AMD EPYC (family 25, model 1)": "AMD EPYC (Zen 3)",
    "AMD EPYC (family 25, model 17)": "AMD EPYC (Zen 4)",
    "AMD EPYC (family 26, model 2)": "AMD EPYC (Zen 5)",
    "Intel(R) Xeon(R) Processor (family 6, model 167)": "Intel Xeon (Rocket Lake)",
    "Intel(R) Xeon(R) Processor (family 6, model 207)": "Intel Xeon (Emerald Rapids)",
}

# The results that a page states, by part and name. Each is there.
SHOWN = {
    "README.md": [
        "*/training images (images)", "d*/time (s)", "longer/time (s)", "seed/time (s)", "wild/time (s)",
        "digits/accuracy (%)", "default/accuracy (%)",
        "longer/accuracy (%)", "wild/accuracy (%)", "seed/accuracy (%)", "seeds/*", "shipped/accuracy (%)",
        "speed/predict, 1 image, 1 thread, * (us)", "speed/predict, 64 images, 1 thread, *",
        "speed/predict, 1,024 images, * (us)",
        "speed/training step, 4 images, 1 thread, * (us)", "speed/training step, 64 images, *",
        "speed/build x86-64-v[23]*", "speed/* longer *", "growth/1,000,000, time (s)",
        "growth/1,000,000, more memory (MB)",
    ],
    CARD: [
        "shipped/*", "reading/* accepted*", "fashion/accepted*", "reading/MNIST at *",
        "corruptions/published, accuracy (%)", "corruptions/published, worst (%)",
        "corruptions/published, calibration error (%)",
    ],
    "docs/embedding.md": ["freeze/*"],
    "docs/hosting.md": ["serving/memory at the start (MB)", "serving/memory after a picture (MB)"],
    "docs/how_it_reads.md": ["plateau/*"],
    "docs/interop.md": ["export/*"],
    "docs/model_card.md": ["ablation/*"],
    "docs/own_data.md": [
        "transfer/26*", "transfer/8*", "transfer/files*", "loading/20,000, a picture (us)",
        "loading/20,000, memory (MB)", "derived/longer*",
    ],
    "docs/paper.md": ["paper/*"],
    "docs/reading.md": [
        "transfer/scikit-learn's*", "transfer/MNIST*", "reading/MNIST at 0.2%*", "reading/scikit-learn's*",
    ],
    "docs/recognition.md": [
        "reading/strings*", "reading/digits*", "reading/12 megapixels*", "reading/words*", "ocr/*",
    ],
    "docs/scaling.md": ["dask/*", "mpi/*", "derived/one core*", "derived/ten*", "derived/a b*", "default/time (s)"],
    "docs/scope.md": ["derived/shipped weights' error rate (%)"],
    "docs/security/fuzzing.md": ["fuzz/*"],
    "docs/security/sanitizers.md": ["sanitizers/*", "soak/growth*", "soak/rate*", "soak/p50 (ms)", "soak/p99 (ms)"],
    "docs/seed.md": ["gradients/*", "derived/the notebook's *", "seed/accuracy (%)", "default/accuracy (%)"],
    "docs/serving.md": [
        "serving/FastAPI*", "serving/lenet*", "serving/* of FastAPI *", "serving/* at half *",
        "serving/memory at the end (MB)", "derived/server's growth (MB)",
    ],
}  # fmt: skip

# The figures that are no results: settings, limits, definitions, sizes by arithmetic, the paper's, and rough sizes.
OTHERS = {
    "README.md": "0.8%",
    CARD: "0.1%, 0.05%, 2%, 0.2%, 0.5%, 98%, 99.9%, 15%",
    "docs/embedding.md": "0.25 MB, 64 KB, 128 KB",
    "docs/environments.md": "1.25, 1.6, 3.1, 2.0, 13, 10.1, 4.9, 0.46, 0.51, 0.17",  # versions
    "docs/hosting.md": "0.3 GB, 0.35 GB, two seconds, 40 s, 45 s, 5 s, 1 s",
    "docs/how_it_reads.md": "ten times",
    "docs/index.md": "156, 2,416, 120, 48,120, 84, 10,164, 10, 850, 61,706",
    "docs/interop.md": "25 times, 10 seconds",
    "docs/kernels.md": (
        "2.3 KB, 4.6 KB, 5 KB, 16 KB, 1.6 KB, 2 KB, 11.5 KB, 23 KB, 33 KB, 32 KB, 48 KB, 192 KB, 43 KB, 1 MB, 5%, 100%"
    ),
    "docs/notebook.md": "439 MB, 55 MB",
    "docs/paper.md": (
        "0.5%, 0.95%, 0.8%, 156, 122,304, 12, 5,880, 1,516, 151,600, 32, 2,000, 120, 48,120, 84, 10,164, 10, 840, "
        "60,000, 340,908, 0.02, 0.2"
    ),
    "docs/reading.md": "90%, 0.2%",
    "docs/recognition.md": "99.9%, 0.1%, 1%, four times",
    "docs/refusals.md": "250 KB",
    "docs/scaling.md": "247 KB, 784 GB, USD 0.05, USD 0.02",
    "docs/security/faults.md": "2 s, 30 s, 0.2 ms",
    "docs/security/sanitizers.md": "97%",
    "docs/security/threat-model.md": "50, 1,000, 4,096, 100,000, 1,000,000, 64,000,000, 100, 1,000,000,000",
    "docs/serving.md": "10 s, 30 s, 1 s, 99%, 100, 16, 405, 409, 415, 500",
    "docs/usage.md": "30 s, 0, 1, 2, 130, 143",  # the others are exit codes
}
OTHERS = {page: text.split(", ") for page, text in OTHERS.items()}

UNITS = {  # what a unit measures, and its size
    "%": ("part", 1), "points": ("part", 1), "s": ("time", 1), "seconds": ("time", 1), "min": ("time", 60),
    "minutes": ("time", 60), "h": ("time", 3600), "hours": ("time", 3600), "ms": ("time", 1e-3), "us": ("time", 1e-6),
    "µs": ("time", 1e-6), "microseconds": ("time", 1e-6), "bytes": ("memory", 1), "KB": ("memory", 1e3),
    "MB": ("memory", 1e6), "GB": ("memory", 1e9), "USD": ("price", 1), "errors": ("errors", 1), "times": ("ratio", 1),
    "images/s": ("images", 1), "requests/s": ("requests", 1), "runs/s": ("runs", 1),
}  # fmt: skip
WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twenty": 20,
}  # fmt: skip
NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
UNIT = (
    r"(?P<unit>%|(?:[KMG]B|ms|us|µs|s|h|min|microseconds?|seconds?|minutes?|hours?|errors?|points?"
    r"|times(?= (?:as|faster|slower)\b))\b|(?:images|requests|runs)(?:/s| (?:a|per) second))"
)
MORE = rf"(?:(?:, | and | to | or ){NUMBER})*"  # 90, 98 and 87 errors
FIGURE = re.compile(
    rf"(?P<about>(?:about|some|around|nearly) )?(?:USD (?P<price>{NUMBER})"
    rf"|(?<![\w.,/-])(?P<number>{NUMBER}|(?:{'|'.join(WORDS)})\b)(?={MORE}[ -]?{UNIT}))"
)
STATUSES = {"400", "401", "403", "404", "408", "413", "501", "503"}  # of HTTP, in tables of errors
CELL = re.compile(rf"(?<=\|)[ *]*({NUMBER}(?:, {NUMBER})*)[ *]*(?=\|)")


class Figure:
    """A number on a page, and the interval of all that is rounded to it."""

    def __init__(self, number, unit=None, about=False):
        self.text = (
            f"USD {number}" if unit == "USD" else f"{number}%" if unit == "%" else f"{number} {unit or ''}".strip()
        )
        self.kind, self.size = UNITS[unit] if unit else (None, 1)
        digits = str(WORDS.get(number, number)).replace(",", "")
        places = len(digits.partition(".")[2])
        if about and not places:  # about 200,000 may be 212,766
            places = len(digits.rstrip("0")) - len(digits)
        self.value, self.room = float(digits), 0.5 * 10.0**-places * (1 + 1e-9)

    def is_rounded(self, name):
        """Whether this is the value of a result; a number alone in a cell may have its unit in the heading."""
        kind, size = UNITS.get(unit_of(name), (None, 1))
        factor = size / self.size if self.kind else 1
        return (self.kind in (None, kind)) and abs(VALUES[name] * factor - self.value) <= self.room


def unit_of(name):
    return re.search(r"\(([^()]*)\)$", name)[1]


def figures(text):
    """The figures of a page outside of its code, formulas and targets of links."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)|\$[^$\n]*\$", "`", text)
    text = re.sub(r"(?<=[^|\n])\n(?=[^|\n])", " ", text)  # a line for each paragraph
    found = []
    for match in FIGURE.finditer(text):
        unit = re.sub(r" (?:a|per) second", "/s", match["unit"] or "USD")
        unit = unit if unit in UNITS else f"{unit}s"  # error, second
        found.append(Figure(match["price"] or match["number"], unit, bool(match["about"])))
    return found + [Figure(n) for cell in CELL.findall(text) for n in cell.split(", ") if n not in STATUSES]


def chosen(page):
    """The names of the results that a page states."""
    return [name for name in VALUES if any(fnmatchcase(name, pattern) for pattern in SHOWN.get(page, ()))]


def unsourced(page, text):
    """The figures of a page that are neither results nor others."""
    return [
        figure.text
        for figure in figures(text)
        if figure.text not in OTHERS.get(page, ()) and not any(figure.is_rounded(name) for name in chosen(page))
    ]


def absent(page, text):
    """The results without a figure of their own, and the others that are not on the page."""
    found, others = figures(text), OTHERS.get(page, ())
    candidates = [figure for figure in found if figure.text not in others]
    stated = {}  # the name of the result that a figure states

    def place(name, tried):
        for k in [k for k, figure in enumerate(candidates) if k not in tried and figure.is_rounded(name)]:
            tried.add(k)
            if k not in stated or place(stated[k], tried):
                stated[k] = name
                return True
        return False

    missing = [name for name in chosen(page) if not place(name, set())]
    return missing + [other for other in others if other not in {figure.text for figure in found}]


@pytest.mark.parametrize("page", PAGES)
def test_the_figures_of_a_page_are_results(page):
    text = (ROOT / page).read_text("utf-8")
    assert unsourced(page, text) == []
    assert absent(page, text) == []
    times = [name for name in chosen(page) if UNITS.get(unit_of(name), [""])[0] == "time"]
    for part in {name.partition("/")[0] for name in times} - {"derived"}:
        assert CPUS[RESULTS[part]["cpu"]] in " ".join(text.split())


def test_a_page_is_listed_that_exists_and_a_result_that_is_there():
    assert {*SHOWN, *OTHERS} <= {*PAGES}
    for page, patterns in SHOWN.items():
        for pattern in patterns:
            assert any(fnmatchcase(name, pattern) for name in VALUES), f"{page}: {pattern}"


# ---- tables whose rows and columns say which result a cell is ----------------------------------------------


def tables(text):
    """The rows of each table, as lists of cells."""
    for found in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        yield [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in found.splitlines()]


README = (ROOT / "README.md").read_text("utf-8")


def test_the_table_of_runs_has_the_results_of_its_commands():
    (table,) = [rows for rows in tables(README) if rows[0][0] == "command"]
    by_command = {result["command"]: name for name, result in RESULTS.items()}
    assert table[0][1:] == ["training images", "test accuracy", "time"]
    for command, images, accuracy, seconds in table[2:]:
        part = by_command[re.match("`(.+?)`", command)[1]]
        assert Figure(images).is_rounded(f"{part}/training images (images)")
        assert figures(accuracy)[0].is_rounded(f"{part}/accuracy (%)")
        assert figures(seconds)[0].is_rounded(f"{part}/time (s)")


def test_the_table_of_speeds_has_the_results_of_its_rows_and_columns():
    (table,) = [rows for rows in tables(README) if rows[0][1:2] == ["lenet"]]
    work = "predict"
    for row, *cells in table[2:]:
        work = "training step" if "training step" in row else work
        batch, threads = re.search(r"([\d,]+) image", row)[1], 1 + ("two threads" in row)
        for library, cell in zip(table[0][1:], cells, strict=True):
            start = (
                f"speed/{work}, {batch} image{'s' * (batch != '1')}, {threads} thread{'s' * (threads > 1)}, {library}"
            )
            names = [name for name in VALUES if name.startswith(start)]
            assert len(names) == (cell != ""), start
            assert all(Figure(cell).is_rounded(name) for name in names), start


def test_the_chart_shows_the_results_of_one_run():
    png, at, texts = results.CHART.read_bytes(), 8, {}
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        if kind == b"tEXt":
            key, _, value = png[at + 8 : at + 8 + length].partition(b"\0")
            texts[key] = value
        at += 12 + length
    expected = {name: value for name, value in RESULTS["speed"]["values"].items() if chart.KEY.fullmatch(name)}
    assert json.loads(texts[b"Description"]) == expected


# ---- the file ----------------------------------------------------------------------------------------------


def test_derived_results_are_up_to_date():
    assert RESULTS["derived"]["values"] == parts.derived(VALUES.__getitem__)


def test_each_result_says_how_and_where_it_was_measured():
    for name, result in RESULTS.items():
        if name != "derived":
            assert name in parts.PARTS
            assert {"command", "cpu", "cores", "commit", "date", "values"} == {*result}
            assert result["cpu"] in CPUS


# ---- the comparison itself ---------------------------------------------------------------------------------

SENTENCE = "Training takes {time} and reaches {accuracy}. The paper reports 0.95%, and the plateau lasts three epochs."


@pytest.mark.parametrize(
    ("time", "accuracy", "wrong", "left"),
    [
        ("10 s", "99.10%", [], []),
        ("ten seconds", "99.1%", [], []),
        ("about 10 seconds", "99%", [], []),
        ("11 s", "99.10%", ["11 s"], ["part/time (s)"]),
        ("10 s", "99.11%", ["99.11%"], ["part/accuracy (%)"]),
        ("10 s, 4 s of them to start,", "99.10%", ["4 s"], []),
        ("10 ms", "99.10%", ["10 ms"], ["part/time (s)"]),
        ("a while", "99.10%", [], ["part/time (s)"]),
    ],
)
def test_a_changed_and_a_new_figure_are_found(monkeypatch, time, accuracy, wrong, left):
    monkeypatch.setitem(SHOWN, "page", ["part/*"])
    monkeypatch.setitem(OTHERS, "page", ["0.95%"])
    monkeypatch.setattr(
        sys.modules[__name__], "VALUES", {"part/time (s)": 9.96, "part/accuracy (%)": 99.1, "other/time (s)": 4}
    )
    text = SENTENCE.format(time=time, accuracy=accuracy)
    assert unsourced("page", text) == wrong
    assert absent("page", text) == left


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90, 98 and 87 errors", ["90 errors", "98 errors", "87 errors"]),
        ("2.4 us, 3 MB and 1,000 images per second", ["2.4 us", "3 MB", "1,000 images/s"]),
        ("costs USD 0.07, a 10-second job", ["USD 0.07", "10 seconds"]),
        ("`--timeout 10 s`, [time](2 s), $3 s$, 5x5, LeNet-5, 1.74 times as fast, four times a day", ["1.74 times"]),
        ("| row | 4.6 | -0.13, 0.02 | 7 s | |\n| 5 | | | | |", ["7 s", "4.6", "-0.13", "0.02", "5"]),
        ("```sh\nsleep 3  # 3 s\n```\nwaits an eighth of a second", []),
        ("a line that ends with 12\nseconds", ["12 seconds"]),
    ],
)
def test_figures_are_found_in_prose_and_tables(text, found):
    assert [figure.text for figure in figures(text)] == found
