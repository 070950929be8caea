"""The commands that measure the published figures, the parsers of their output, and the derived figures."""

import json
import re
from collections.abc import Callable
from statistics import mean
from typing import NamedTuple

NUMBER = r"([-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?)"
Values = dict[str, float]  # each name ends with its unit: "accuracy (%)"
Reader = Callable[[str, float], Values]


class Part(NamedTuple):
    """A shell command, and a function that extracts the values from its output and its duration in seconds."""

    command: str
    read: Reader
    everyday: bool = True  # otherwise it takes long or has special requirements, and runs only if it is named


def number(pattern: str, output: str) -> float:
    """Return the number that stands for # in a pattern."""
    found = re.search(pattern.replace("#", NUMBER), output, re.DOTALL)
    if found is None:
        raise ValueError(f"The output has no {pattern!r}.")
    return as_number(found[1])


def as_number(text: str) -> float:
    """Return 1234.5 for 1,234.5, and 0.00002 for 2e-05."""
    text = text.replace(",", "")
    return float(text) if {".", "e"} & set(text) else int(text)


def numbers(patterns: dict[str, str]) -> Reader:
    """Return a function that finds each value by its pattern."""
    return lambda output, _: {name: number(pattern, output) for name, pattern in patterns.items()}


def rows(pattern: str, *names: str) -> Reader:
    """Return a function that finds rows; the pattern's group is the name of a row, and each # a value."""

    def read(output: str, _: float) -> Values:
        found = re.findall(pattern.replace("#", NUMBER), output, re.MULTILINE)
        return {
            f"{row}, {name}": as_number(cell) for row, *cells in found for name, cell in zip(names, cells, strict=True)
        }

    return read


def both(first: Reader, second: Reader) -> Reader:
    """Return a function that finds the values of two functions."""
    return lambda output, seconds: first(output, seconds) | second(output, seconds)


def training(output: str, seconds: float) -> Values:
    """Return the figures of `lenet train`."""
    report = output.partition("Test set")[2]
    return {
        "training images (images)": number("# images for training", output),
        "accuracy (%)": number("accuracy #%", report),
        "errors (errors)": number(r"\(# errors", report),
        "time (s)": round(seconds, 1),
    }


def seeds(output: str, _: float) -> Values:
    """Return the errors of the training runs, and their mean error rate on 10,000 images."""
    errors = [as_number(each) for each in re.findall(r"\(([\d,]+) errors", output)]
    values = {f"seed {seed} (errors)": count for seed, count in enumerate(errors)}
    return values | {"mean error (%)": round(mean(errors) / 100, 3)}


def shipped(output: str, _: float) -> Values:
    """Return the figures of the shipped weights."""
    return {
        "accuracy (%)": number("accuracy #%", output),
        "errors (errors)": number(r"\(# errors", output),
        "calibration error (%)": number("calibration error #%", output),
        "rejected for 0.1% errors (%)": number("least certain #%", output),
        "validation accuracy (%)": round(100 * number("val_accuracy +#", output), 2),
        "accuracy on scikit-learn's digits (%)": number("val_loss.*?accuracy #%", output),
    }


def corruptions(output: str, seconds: float) -> Values:
    """Return the figures of `lenet evaluate --corruptions --json`, and how long it took."""
    report = json.loads(output)
    values = {
        "clean, accuracy (%)": report["clean_accuracy"],
        "clean, calibration error (%)": report["clean_calibration_error"],
    }
    for name in ("mean", "published"):
        summary = report[name]
        values |= {
            f"{name}, accuracy (%)": summary["accuracy"],
            f"{name}, worst (%)": summary["worst_accuracy"],
            f"{name}, calibration error (%)": summary["calibration_error"],
            **{f"{name}, {each} (%)": accuracy for each, accuracy in summary["accuracies"].items()},
        }
    return {name: round(100 * value, 2) for name, value in values.items()} | {"time (s)": round(seconds, 1)}


def speed(output: str, _: float) -> Values:
    """Return the figures of `python -m benchmarks --json`."""
    run, values = json.loads(output), {}
    for work, timed in (("predict", run["predict"]), ("training step", run["train"])):
        for row in timed:
            batch, threads = row["batch"], row["threads"]
            name = f"{work}, {batch:,} image{'s' * (batch > 1)}, {threads} thread{'s' * (threads > 1)}"
            values |= {f"{name}, {library} (us)": round(us, 2) for library, us in row["microseconds"].items()}
            values[f"{name}, of the peak (%)"] = round(100 * row["share"], 1)
    one, many = run["floats"]
    values["1 float32 image, longer than uint8 (us)"] = round(one["float32"] - one["uint8"], 2)
    values["64 float32 images, longer than uint8 (%)"] = round(100 * (many["float32"] / many["uint8"] - 1), 1)
    return values | {f"build {row['build']}, 64 images (us)": round(row["microseconds"], 2) for row in run["builds"]}


def export(output: str, _: float) -> Values:
    """Return the sizes of the model in C; the stack is that of all its functions."""
    return {
        "source (bytes)": number(r"# digits\.c\n", output),
        "compiled (bytes)": number(r"filename\s+\d+\s+\d+\s+\d+\s+#", output),
        "stack (bytes)": sum(int(each) for each in re.findall(r"^digits\.c:\S+\t(\d+)", output, re.MULTILINE)),
    }


READING = {
    "random walks accepted (%)": "random walks: #%",
    "random walks accepted by predict (%)": "random walks: .*? predict #%",
    "straight strokes accepted (%)": "straight strokes: #%",
    "straight strokes accepted by predict (%)": "straight strokes: .*? predict #%",
    "uniform noise accepted (%)": "uniform noise: #%",
    "uniform noise accepted by predict (%)": "uniform noise: .*? predict #%",
    "normal noise accepted (%)": "normal noise: #%",
    "normal noise accepted by predict (%)": "normal noise: .*? predict #%",
    "blanks accepted (%)": "blanks: #%",
    "blanks accepted by predict (%)": "blanks: .*? predict #%",
    "digits as they are (%)": "digits as they are: #%",
    "digits as pictures (%)": "digits as pictures: #%",
    "MNIST at 0.1%, rejected (%)": "MNIST's test digits, reject_at=0.001: #%",
    "MNIST at 0.1%, errors of the others (%)": "MNIST's test digits, reject_at=0.001: .*? rejected, #%",
    "MNIST at 0.2%, rejected (%)": "MNIST's test digits, reject_at=0.002: #%",
    "MNIST at 0.2%, errors of the others (%)": "MNIST's test digits, reject_at=0.002: .*? rejected, #%",
    "scikit-learn's digits at 0.2%, rejected (%)": "scikit-learn's test digits, reject_at=0.002: #%",
    "scikit-learn's digits at 0.2%, errors of the others (%)": "scikit-learn's .*? rejected, #%",
    "strings (%)": "strings: #%",
    "strings with at most 1% wrong (%)": "at most 1% wrong, #%",
    "strings without only_digits (%)": "without only_digits: #%",
    "digits on pages (%)": "12 pages of 30 lines: #%",
    "words with digits (%)": "words: #%",
    "words turned (%)": "in all; #%",
    "12 megapixels (s)": "12 megapixels, one thread: # s",
    "12 megapixels (MB)": "12 megapixels, one thread: .*? s, # MB",
}
SERVING = {
    "JSON, of FastAPI (times)": "JSON: # times",
    "64 images, of FastAPI (times)": "64 images: # times",
    "JSON at half its rate, p50 (ms)": "JSON at .*?p50 # ms",
    "JSON at half its rate, p99 (ms)": "JSON at .*?p99 # ms",
    "binary at half its rate, p50 (ms)": "binary at .*?p50 # ms",
    "binary at half its rate, p99 (ms)": "binary at .*?p99 # ms",
    "memory at the start (MB)": "memory: # MB",
    "memory after a picture (MB)": "at the start, # MB",
    "memory after a fifth of the requests (MB)": "memory after each round: #",
    "memory at the end (MB)": "memory after that: # MB",
}
TRANSFER = {
    "files of symbols, accuracy (%)": "320 files: #% of",
    "files of symbols, time (s)": "others right, # s",
    "scikit-learn's digits, before (%)": "5 of each: #% before",
    "scikit-learn's digits, after (%)": r"5 of each: [\d.]+% before, #%",
    "MNIST, before (%)": "MNIST's test digits: #%",
    "MNIST, after (%)": r"MNIST's test digits: [\d.]+% before, #%",
}
PAPER = {
    "1998, without distortions (%)": r"\| without distortions \| [\d.]+ \| #",
    "1998, seed 0 (%)": r"\| without distortions \| [\d.]+ \| [\d.]+ \(#",
    "1998, seed 1 (%)": r"\| without distortions \| [\d.]+ \| [\d.]+ \([\d.]+, #",
    "1998, seed 2 (%)": r"\| without distortions \| [\d.]+ \| [\d.]+ \([\d.]+, [\d.]+, #",
    "today, without distortions (%)": r"\| without distortions \|[^|]*\|[^|]*\| #",
    "today, seed 0 (%)": r"\| without distortions \|[^|]*\|[^|]*\| [\d.]+ \(#",
    "today, seed 1 (%)": r"\| without distortions \|[^|]*\|[^|]*\| [\d.]+ \([\d.]+, #",
    "today, seed 2 (%)": r"\| without distortions \|[^|]*\|[^|]*\| [\d.]+ \([\d.]+, [\d.]+, #",
    "1998, with distortions (%)": r"\| with distortions \| [\d.]+ \| # ",
    "1998, after 5 epochs (%)": r"\| after epoch 5 \|  \| # ",
    "1998, after 12 epochs (%)": r"\| after epoch 12 \|  \| # ",
    "1998, 15,000 images (%)": r"\| 15,000 images \|  \| # ",
    "1998, rejected (%)": r"LeNet-4\) \| # ",
}
SOAK = {
    "growth over predictions (MB)": "predictions: [^\n]* then # MB",
    "growth over requests (MB)": "requests, [^\n]* then # MB",
    "rate (requests/s)": "requests, # a second",
    "p50 (ms)": "p50 # ms",
    "p99 (ms)": "p99 # ms",
    "p99 of p50 (times)": "ms, # times that",
}
DASK = {
    "one process (s)": "one process: # s",
    "two workers (s)": "two workers: # s",
    "speed of two workers (times)": "two workers: # times",
    "one killed (s)": "killed half way: # s",
}
MPI = {
    "one rank (ms)": "# ms by one rank",
    "two ranks (ms)": "# ms by two",
    "speed of two ranks (times)": "by two: # times",
    "all-reduce (us)": "between two: # microseconds",
}
FREEZE = {"--onedir (bytes)": r"#\s+dist/folder\n", "--onefile (bytes)": r"#\s+dist/read_pgm\n"}
SANITIZERS = {
    "address (tests)": "address:.*?# passed",
    "checked (tests)": "checked:.*?# passed",
    "memcheck (tests)": "memcheck:.*?# passed",
    "thread (tests)": "thread:.*?# passed",
}

PARTS = {
    "digits": Part("lenet train digits", training),
    "default": Part("lenet train mnist", training),
    "longer": Part("lenet train mnist --epochs 40", training),
    "seed": Part("lenet train mnist --recipe seed", training),
    "wild": Part("lenet train mnist --recipe wild", training, everyday=False),
    "seeds": Part("for seed in 0 1 2 3 4; do lenet train mnist --seed $seed; done", seeds, everyday=False),
    "shipped": Part("lenet evaluate mnist; lenet info mnist; lenet evaluate digits", shipped),
    "corruptions": Part("lenet evaluate mnist --corruptions --json", corruptions),
    "ablation": Part(
        "python -m benchmarks.ablation",
        rows(r"^\| ([\w -]+ \| the [\w ]+) \| #% \| #% \| #% ", "clean (%)", "corrupted (%)", "worst (%)"),
        everyday=False,
    ),
    "speed": Part("python -m benchmarks --json", speed),
    "growth": Part(
        "python -m benchmarks.growth",
        rows(r"^\| ([\d,]+) \| # \| # \| [\d.]+ \| #", "time (s)", "an image (us)", "more memory (MB)"),
    ),
    "reading": Part("python -m benchmarks.reading", numbers(READING)),
    "ocr": Part(
        "python -m benchmarks.ocr",
        rows(
            r"^\| (\w+) \| #% \| #% \| # \| #% \| #",
            *("strings (%)", "digits of the strings (%)", "a string (s)", "digits of the pages (%)", "a page (s)"),
        ),
        everyday=False,
    ),
    "fashion": Part(
        "python -m benchmarks.reading --fashion",
        numbers({"accepted (%)": "Fashion-MNIST: #%", "accepted by predict (%)": "Fashion-MNIST: .*? predict #%"}),
        everyday=False,
    ),
    "loading": Part(
        "python -m benchmarks.loading",
        rows(
            r"^([\d,]+) files: # pictures a second on \d+ cores; each takes # us of a core; together # MB, # MB",
            *("rate (pictures/s)", "a picture (us)", "memory (MB)", "images (MB)"),
        ),
    ),
    "transfer": Part(
        "python -m benchmarks.transfer",
        both(
            rows(
                r"^\| (\d+ \w+, \d+ of each) \| #% \| #% \| #% \|",
                *("from scratch (%)", "from scratch, 800 epochs (%)", "from mnist (%)"),
            ),
            numbers(TRANSFER),
        ),
    ),
    "serving": Part(
        "python -m benchmarks.serving",
        both(
            rows(r"^(\w+, \w.+?)  +# +# us", "rate (requests/s)", "CPU time (us)"),
            numbers(SERVING),
        ),
    ),
    "paper": Part(
        "python -m benchmarks.paper 1998-0 1998-1 1998-2 1998-distorted 1998-15000 today-0 today-1 today-2",
        numbers(PAPER),
        everyday=False,
    ),
    "soak": Part("python -m benchmarks.soak", numbers(SOAK)),
    "dask": Part("python -m benchmarks.scale --only dask", numbers(DASK)),
    "mpi": Part("python -m benchmarks.scale --only mpi", numbers(MPI)),
    "export": Part(
        "lenet export mnist digits.c; wc -c digits.c; cc -O2 -fstack-usage -c digits.c; size digits.o; cat digits.su",
        export,
    ),
    "freeze": Part(
        "pyinstaller --onefile examples/read_pgm.py; pyinstaller --name folder examples/read_pgm.py; du -sb dist/*",
        numbers(FREEZE),
        everyday=False,
    ),
    "gradients": Part(
        'python -m benchmarks.seed "$NOTEBOOK"',
        both(
            numbers({"a batch of 4 (s)": "four images take # s"}),
            rows(
                r"^\| `(\w+)` \| [^|]+ \| # \| # \| #, #",
                *("length (times)", "cosine (cosine)", "largest in the notebook ()", "its central difference ()"),
            ),
        ),
        everyday=False,
    ),
    "plateau": Part(
        "python -m docs.draw_how_it_reads",
        rows("^(standardised.*): the loss is below 2 after # epochs", "to a loss of 2 (epochs)"),
        everyday=False,
    ),
    "sanitizers": Part(
        "for name in address checked memcheck; do echo $name: ; python -m tests.sanitizers $name; done; "
        "echo thread: ; python -m tests.sanitizers.thread",
        numbers(SANITIZERS),
        everyday=False,
    ),
    "fuzz": Part(
        "python -m tests.fuzz --all --seconds 3600",
        rows(r"^(\w+): # runs, # a second, .*? # findings", "runs (runs)", "speed (runs/s)", "findings (findings)"),
        everyday=False,
    ),
}

PER_HOUR, PER_GB = 0.05, 0.02  # USD: an hour of a core, a month of a gigabyte
Of = Callable[[str], float]  # returns a value by part and name


def at_64_ranks(of: Of, batch: int) -> tuple[float, float]:
    """Return the milliseconds of a step on one rank and on 64, if an all-reduce takes as long as between two."""
    one = of("mpi/one rank (ms)") * batch / 256
    return one, one / 64 + of("mpi/all-reduce (us)") / 1e3


def derived(of: Of) -> Values:
    """Return the figures that are derived from others."""
    one_core, two_cores = (of(f"dask/{name} (s)") / 1e6 for name in ("one process", "two workers"))
    one, ranks = at_64_ranks(of, 4096)
    values = {
        "one core (images/s)": 1e6 / of("speed/predict, 1,024 images, 1 thread, lenet (us)"),
        "longer, relative to default (times)": of("longer/time (s)") / of("default/time (s)"),
        "the notebook's five epochs (h)": 75_000 * of("gradients/a batch of 4 (s)") / 3600,
        "shipped weights' error rate (%)": 100 - of("shipped/accuracy (%)"),
        "server's growth (MB)": of("serving/memory at the end (MB)")
        - of("serving/memory after a fifth of the requests (MB)"),
        "a billion images, one core (h)": 1e9 * one_core / 3600,
        "a billion images, two cores (min)": 1e9 * two_cores / 60,
        "a billion images, one core (USD)": 1e9 * one_core / 3600 * PER_HOUR,
        "a billion images, a month of storage (USD)": 784 * PER_GB,
        "ten cores' input in a second (GB)": 10 * 784e-9 / one_core,
        "a batch of 256, 64 ranks, without the all-reduce (ms)": of("mpi/one rank (ms)") / 64,
        "a batch of 256, 64 ranks (times)": of("mpi/one rank (ms)") / at_64_ranks(of, 256)[1],
        "a batch of 4,096, one rank (ms)": one,
        "a batch of 4,096, 64 ranks (ms)": ranks,
        "a batch of 4,096, 64 ranks (times)": one / ranks,
    }
    return {name: float(f"{value:.3g}") for name, value in values.items()}
