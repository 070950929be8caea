"""Processes to kill: a server that has imported lenet forks one per task, in milliseconds."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.faults import tasks
from tests.faults.disk import failing


class Forks:
    """A server of processes.

    Parameters
    ----------
    library : Path
        What disk.build has made.
    folder : Path
        For what the processes print.
    """

    def __init__(self, library: Path, folder: Path):
        self.folder = folder
        root = Path(__file__).parents[2]
        environment = os.environ | {
            "LD_PRELOAD": ":".join(filter(None, [os.environ.get("LD_PRELOAD"), str(library)])),
            "LENET_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
        }  # fmt: skip
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "tests.faults.forks", str(folder)]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment,
                                        start_new_session=True)  # fmt: skip
        assert self.heard() == "ready"

    def say(self, line: str) -> None:
        """Send an order to the server."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        """Return the next message of the server."""
        return self.process.stdout.readline().strip()

    def start(self, task: str, *arguments: Any, cwd: Path, **faults: int) -> "Child":
        """Start a process that does one of the tasks in a folder, on a disk with faults; one at a time."""
        order = {"task": task, "arguments": [str(each) for each in arguments], "cwd": str(cwd), "faults": faults}
        self.say(json.dumps(order))
        return Child(self, int(self.heard()))

    def run(self, task: str, *arguments: Any, cwd: Path, **faults: int) -> "Child":
        """Start a process as `start` does, and wait for its end."""
        child = self.start(task, *arguments, cwd=cwd, **faults)
        child.wait()
        return child

    def stop(self) -> None:
        """Stop the server, and a child left by a failed test."""
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process.stdout.close()


class Child:
    """A process that does a task.

    Attributes
    ----------
    code : int or None
        The exit code; if negative, the signal that killed it.
    """

    def __init__(self, forks: Forks, pid: int):
        self.forks, self.pid, self.code = forks, pid, None

    def wait(self) -> int:
        """Return its exit code when it has ended."""
        if self.code is None:
            assert self.forks.heard() == "ended"
            self.forks.say("reap it")
            self.code = int(self.forks.heard())
        return self.code

    def kill(self) -> bool:
        """Send SIGKILL; return whether it arrived before the end."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    @property
    def out(self) -> str:
        """What it has printed."""
        return Path(self.forks.folder, "out").read_text()

    @property
    def err(self) -> str:
        """What it has printed on standard error."""
        return Path(self.forks.folder, "err").read_text()

    @property
    def disk(self) -> dict[str, Any]:
        """The disk's `log`, `calls` and `written`, if it got to its end."""
        return json.loads(Path(self.forks.folder, "disk").read_text())


def serve(folder: Path) -> None:
    """Fork a process for each order on standard input; print its number, and when it has ended its exit code."""
    tasks.prepare()
    print("ready", flush=True)
    for line in sys.stdin:
        for name in ("out", "err", "disk"):
            Path(folder, name).write_bytes(b"")  # now, or a killed process would seem to have the last output
        child = os.fork()
        if child == 0:
            os._exit(obey(json.loads(line), folder))
        print(child, flush=True)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        print("ended", flush=True)
        sys.stdin.readline()  # until then, the number is not reused, and may be sent a signal
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def obey(order: dict[str, Any], folder: Path) -> int:
    """Do a task in this process, and return its exit code."""
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, folder / "out", WRITE), (2, folder / "err", WRITE)):
        os.dup2(os.open(name, flags), number)
    os.chdir(order["cwd"])
    try:
        with failing(**order["faults"]) as disk:
            code = getattr(tasks, order["task"])(*order["arguments"])
        facts = {"log": disk.log.decode(), "calls": disk.calls, "written": disk.written}
        Path(folder, "disk").write_text(json.dumps(facts))
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    return code or 0


WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

if __name__ == "__main__":
    serve(Path(sys.argv[1]))
