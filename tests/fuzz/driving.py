"""Run one target in a separate process: `python -m tests.fuzz.driving NAME FOLDER OPTION...`.

Bytes come from libFuzzer, by atheris, which sees what Python code of ours they reach; the options are libFuzzer's. The
targets of `SEEDED` are given one seed after the other. Findings are written to the folder, and end the process.
"""

import faulthandler
import itertools
import os
import secrets
import sys
import time
from pathlib import Path

from tests.fuzz import SEEDED, target, timed

INSTRUMENTED = ["lenet", "starlette.formparsers", "python_multipart"]
MEMORY = 1024  # MiB
LOST = 600  # MiB: atheris loses some bytes at every comparison, so that a process ends there, and another one goes on
GOES_ON = 73  # the exit status then
HANG = 120  # seconds, after which there is no more waiting for the end of what takes too long


def under_atheris(name, folder, options):
    """Run a target on libFuzzer's inputs; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        module = target(name)

    def mutate(data, most, seed):
        try:
            return module.mutate(data, most, seed, atheris.Mutate)[:most]
        except Exception:  # they are not of the form that it knows
            return atheris.Mutate(data, most)

    run, numbers = timed(module.run), itertools.count(1)

    def run_one(data):
        run(data)
        number = next(numbers)
        if number % 100 == 0 and _memory() > LOST:
            _tell(number)
            os._exit(GOES_ON)

    limits = [f"-timeout={HANG}", f"-report_slow_units={HANG}", f"-rss_limit_mb={MEMORY}"]
    arguments = [name, f"-artifact_prefix={folder}/{name}-", "-print_final_stats=1", *limits, *options]
    own = {"custom_mutator": mutate} if hasattr(module, "mutate") else {}
    atheris.Setup(arguments, run_one, **own)
    atheris.Fuzz()


def _tell(runs):
    """Print the number of inputs, as libFuzzer does."""
    print(f"stat::number_of_executed_units: {runs}", file=sys.stderr, flush=True)


def _memory():
    """Return the MiB that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def over_seeds(name, folder, options):
    """Run a target on random seeds until the time is up or there were enough inputs."""
    given = dict(option.lstrip("-").split("=") for option in options if option.startswith("-"))
    most, seconds = int(given.get("runs", -1)), float(given.get("max_total_time", 0))
    module, runs, began = target(name), 0, time.monotonic()
    try:
        for seed in itertools.count(secrets.randbits(48)):
            if 0 <= most <= runs or 0 < seconds < time.monotonic() - began:
                break
            faulthandler.dump_traceback_later(HANG, exit=True, file=sys.__stderr__)
            data = seed.to_bytes(8, "big")
            finding = Path(folder, f"{name}-{data.hex()}")
            finding.write_bytes(data)  # before, as there may be nothing behind
            runs += module.run(data)
            assert _memory() < MEMORY, "so much memory is in use"
            finding.unlink()
    finally:
        faulthandler.cancel_dump_traceback_later()
        _tell(runs)


if __name__ == "__main__":
    name, folder, *options = sys.argv[1:]
    (over_seeds if name in SEEDED else under_atheris)(name, folder, options)
