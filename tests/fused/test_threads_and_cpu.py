"""The choice of a build, the thread pool, and the effects of importing lenet."""

import os
import platform
import re
import sys
import sysconfig
import threading
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
from programs import output, run
from served import wait_for

from lenet import LeNet5
from lenet._fused import dispatch, threads
from lenet._fused.batches import PREDICT_CHUNK
from lenet.errors import ConfigurationError, InputTypeError

BUILDS = dispatch.available()


# ---- LENET_CPU -----------------------------------------------------------------------------------------

SHOW = "import lenet; lenet.show_config()"


def test_the_best_build_runs_by_default():
    out = output(SHOW)
    assert f"kernels  {next(iter(BUILDS))}: float32" in out
    assert f"choice   {', '.join(BUILDS)}" in out


@pytest.mark.parametrize("name", BUILDS)
def test_each_build_can_be_forced(name):
    assert f"kernels  {name} (LENET_CPU): float32" in output(SHOW, LENET_CPU=name)


def test_an_empty_setting_is_ignored():
    assert f"kernels  {next(iter(BUILDS))}: float32" in output(SHOW, LENET_CPU="", LENET_NUM_THREADS="")


def test_the_build_reports_its_target(build):
    facts = build.build()
    assert BUILDS[facts["cpu"]] is build
    assert facts["lanes"] == {"x86-64-v4": 16, "x86-64-v3": 8}.get(facts["cpu"], 4)


def test_a_build_without_vectors_says_so(monkeypatch, capsys):
    facts = {"cpu": "x86-64-v2", "lanes": 1, "compiler": "MSVC"}
    monkeypatch.setattr(dispatch, "kernels", lambda: types.SimpleNamespace(build=lambda: facts))
    dispatch.show_config()
    assert 'built without vector instructions; see "Windows" in docs/environments.md\n' in capsys.readouterr().out


def test_a_build_counts_its_multiply_adds(build):
    assert build.multiply_adds(100) == 100 * 12 * build.build()["lanes"]


@pytest.mark.parametrize("code", [SHOW, "import lenet; lenet.LeNet5()"])
def test_an_unknown_build_is_an_error(code):
    done = run(code, LENET_CPU="avx2")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("lenet.errors.ConfigurationError: LENET_CPU is 'avx2'")


@pytest.mark.parametrize("name", ["x86-64-v5", "avx2", "X86-64-V3", " "])
def test_an_unknown_build_is_refused_with_the_choices(monkeypatch, name):
    monkeypatch.setenv("LENET_CPU", name)
    with pytest.raises(ConfigurationError) as error:
        dispatch.chosen()
    choices = ", ".join(BUILDS)
    assert f"LENET_CPU is '{name}'; expected one of {choices}, the builds" in str(error.value)


@pytest.fixture
def level(monkeypatch):
    """Pretend that this CPU is of another x86-64 level."""

    def pretend(level):
        monkeypatch.setattr(dispatch._compiled, "BUILDS", {f"x86-64-v{n}": None for n in range(2, level + 1)})

    return pretend


@pytest.mark.parametrize(
    ("given", "builds"),
    [(4, ["x86-64-v4", "x86-64-v3", "x86-64-v2"]), (3, ["x86-64-v3", "x86-64-v2"]), (2, ["x86-64-v2"])],
)
def test_builds_by_level(level, monkeypatch, given, builds):
    monkeypatch.delenv("LENET_CPU", raising=False)
    level(given)
    assert list(dispatch.available()) == builds
    assert dispatch.chosen() == builds[0]


def test_a_build_that_this_cpu_does_not_run_is_an_error(level, monkeypatch):
    level(2)
    monkeypatch.setenv("LENET_CPU", "x86-64-v4")
    with pytest.raises(ConfigurationError, match="v4'; expected one of x86-64-v2"):
        dispatch.chosen()


LEVELS = {  # /proc/cpuinfo's names of the features that the x86-64 psABI adds at each level, if the builds use them
    2: {"pni", "ssse3", "sse4_1", "sse4_2", "popcnt"},
    3: {"avx", "avx2", "fma"},
    4: {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="reads Linux's /proc/cpuinfo")
def test_the_level_of_this_cpu_is_the_one_that_the_kernel_reports():
    flags = set(re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].split())
    level = 1
    while level < 4 and LEVELS[level + 1] <= flags:
        level += 1
    assert list(dispatch._compiled.BUILDS) == [f"x86-64-v{n}" for n in range(2, level + 1)]


def test_a_cpu_below_the_minimum_is_an_error(level):
    level(1)
    with pytest.raises(ConfigurationError, match="lacks x86-64-v2"):
        dispatch.available()


def test_another_architecture_has_its_one_build(monkeypatch):
    monkeypatch.setattr(dispatch._compiled, "BUILDS", {"aarch64": None})
    monkeypatch.delenv("LENET_CPU", raising=False)
    assert dispatch.chosen() == "aarch64"
    monkeypatch.setenv("LENET_CPU", "x86-64-v3")
    with pytest.raises(ConfigurationError, match="v3'; expected one of aarch64"):
        dispatch.chosen()


# ---- LENET_NUM_THREADS ---------------------------------------------------------------------------------


def test_the_environment_sets_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("LENET_NUM_THREADS", "5")
    assert threads.resolve_n_jobs(None) == 5
    assert threads.resolve_n_jobs(3) == 3


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1e3", " 2"])
def test_an_invalid_number_of_threads_is_an_error(monkeypatch, value):
    monkeypatch.setenv("LENET_NUM_THREADS", value)
    with pytest.raises(ConfigurationError, match=f"LENET_NUM_THREADS is {value!r}; expected an integer"):
        LeNet5(seed=0).predict(np.zeros((PREDICT_CHUNK + 1, 28, 28)))


@pytest.mark.parametrize(
    ("setting", "number"), [("3", 3), ("3,2", 3), (" 5 ", 5), ("", None), ("0", None), ("many", None), ("-1", None)]
)
def test_omp_num_threads_is_the_default_unless_lenet_num_threads_is_set(monkeypatch, setting, number):
    monkeypatch.delenv("LENET_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert threads.resolve_n_jobs(None) == (number or threads.resolve_n_jobs(-1))
    assert threads.resolve_n_jobs(7) == 7
    monkeypatch.setenv("LENET_NUM_THREADS", "2")
    assert threads.resolve_n_jobs(None) == 2


def test_threads_are_the_cores_that_the_process_may_use(monkeypatch):
    monkeypatch.delenv("LENET_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", {0: {1, 4, 6}}.get, raising=False)  # 0 is this process
    assert threads.resolve_n_jobs(None) == threads.resolve_n_jobs(-1) == 3


# ---- chunks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [True, "2", 2.0, [2]])
def test_a_number_of_threads_is_an_integer(n_jobs):
    with pytest.raises(InputTypeError, match=r"^n_jobs is .*; expected an integer"):
        threads.resolve_n_jobs(n_jobs)


@pytest.mark.parametrize("n_jobs", [1, 2, 5])
@pytest.mark.parametrize(("length", "sizes"), [(0, []), (1, [1]), (4, [4]), (5, [4, 1]), (11, [4, 4, 3])])
def test_chunks_are_returned_in_order(n_jobs, length, sizes):
    numbers = range(3, 3 + length)
    chunks = threads.run_chunks(lambda chunk: chunk, numbers, 4, n_jobs)
    assert [chunk.stop - chunk.start for chunk in chunks] == sizes
    assert [n for chunk in chunks for n in range(chunk.start, chunk.stop)] == list(numbers)


def test_chunks_are_returned_in_order_whichever_ends_first():
    second_is_done = threading.Event()

    def work(chunk):
        if chunk.start == 0:
            second_is_done.wait(30)
        else:
            second_is_done.set()
        return chunk.start

    assert threads.run_chunks(work, range(3), 1, 2) == [0, 1, 2]


@pytest.mark.parametrize("jobs", [2, 3])
def test_chunks_run_side_by_side(jobs):
    """Each chunk waits for the others, so fewer threads would deadlock."""
    barrier = threading.Barrier(jobs, timeout=30)
    identities = threads.run_chunks(lambda _: (barrier.wait(), threading.get_ident())[1], range(jobs), 1, jobs)
    assert len(set(identities)) == jobs
    assert threading.get_ident() in identities


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
@pytest.mark.parametrize("place", [0, 3, 9])
def test_an_exception_in_a_chunk_reaches_the_caller_and_the_pool_keeps_working(n_jobs, error, place):
    def fail(chunk):
        if chunk.start == place:
            raise error("here")

    with pytest.raises(error, match="here"):
        threads.run_chunks(fail, range(10), 1, n_jobs)
    assert len(threads.run_chunks(lambda chunk: chunk, range(10), 1, n_jobs)) == 10


def begun_after_an_exception(n_jobs, fails_here):
    """How many chunks begin although one, in this thread or in another, has raised."""
    caller, failed, begun = threading.get_ident(), threading.Event(), []

    def work(chunk):
        if (threading.get_ident() == caller) == fails_here:
            failed.set()
            raise ValueError("stop")
        begun.append(chunk)
        failed.wait(30)
        threading.Event().wait(0.02)

    with pytest.raises(ValueError, match="stop"):
        threads.run_chunks(work, range(100), 1, n_jobs)
    return len(begun)


def test_no_chunk_starts_after_an_exception_in_the_calling_thread():
    assert begun_after_an_exception(2, fails_here=True) <= 2


def test_no_chunk_starts_after_an_exception_in_another_thread():
    assert begun_after_an_exception(2, fails_here=False) <= 2


@pytest.mark.parametrize("caller_fails", [True, False])
def test_no_thread_works_on_after_run_chunks_has_raised(caller_fails):
    """After the exception, no thread may write to memory that the caller frees or reuses."""
    caller, helpers, running = threading.get_ident(), [], []
    together = threading.Barrier(9, timeout=30)

    def work(_):
        here = threading.get_ident()
        if here != caller:
            helpers.append(here)
        together.wait()
        if here == (caller if caller_fails else helpers[0]):
            raise ValueError("stop")
        if here != caller:
            running.append(here)
            threading.Event().wait(0.2)
            running.remove(here)

    with pytest.raises(ValueError, match="stop"):
        threads.run_chunks(work, range(9), 1, 9)
    assert running == []


# ---- the pool ------------------------------------------------------------------------------------------


@pytest.fixture
def pool(monkeypatch):
    """A pool that has no threads yet."""
    monkeypatch.setattr(threads, "_pool", threads._Pool())
    return threads._pool


def idents(jobs):
    """The threads that run this many chunks, which wait for one another."""
    together = threading.Barrier(jobs, timeout=30)
    return set(threads.run_chunks(lambda _: (together.wait(), threading.get_ident())[1], range(jobs), 1, jobs))


def test_idle_threads_are_used_again(pool):
    seen = set()
    for _ in range(20):
        seen |= idents(3)
        wait_for(lambda: len(pool._idle) == len(pool._threads))
    assert len(seen) == 3


def test_threads_that_work_are_not_counted_on(pool):
    """A second call has its own thread."""
    together = threading.Barrier(4, timeout=30)
    first = threading.Thread(target=threads.run_chunks, args=(lambda _: together.wait(), range(2), 1, 2))
    first.start()
    wait_for(lambda: together.n_waiting == 2)
    assert threads.run_chunks(lambda _: together.wait() >= 0, range(2), 1, 2) == [True, True]
    first.join()


def test_the_number_of_threads_is_limited(pool):
    pool.MAX_THREADS = 2
    chunks = threads.run_chunks(lambda chunk: (threading.get_ident(), chunk.start), range(500), 1, 8)
    assert [start for _, start in chunks] == list(range(500))
    assert len(pool._threads) == 2


def test_without_helper_threads_the_caller_does_the_work(pool, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert set(threads.run_chunks(lambda _: threading.get_ident(), range(9), 1, 4)) == {threading.get_ident()}
    assert len(idents(3)) == 3


def test_the_pool_keeps_no_reference_to_finished_functions(pool):
    class Work:
        def __call__(self, _):
            together.wait()

    work, together = Work(), threading.Barrier(3, timeout=30)
    gone = weakref.ref(work)
    threads.run_chunks(work, range(3), 1, 3)
    del work
    wait_for(lambda: gone() is None)


def chunk_sizes(n, n_jobs, dtype=np.float32):
    x, out, sizes = np.arange(n), np.full(n, -1), []

    def fill(x, mean, std, out):
        assert (mean, std) == (0.25, 0.5)
        sizes.append(len(x))
        out[:] = x

    LeNet5(seed=0, dtype=dtype)._predictor._in_chunks(fill, x, 0.25, 0.5, out, n_jobs)
    assert out.tolist() == x.tolist()
    return sorted(sizes)


@pytest.mark.parametrize(
    ("n", "n_jobs", "sizes"),
    [
        (0, 2, [0]),
        (35, 2, [35]),
        (36, 2, [12, 12, 12]),
        (37, 2, [12, 12, 13]),
        (48, 1, [48]),
        (49, 1, [24, 25]),
        (64, 2, [12, 13, 13, 13, 13]),
        (125, 4, 5 * [12] + 5 * [13]),
        (128, 2, 8 * [16]),
        (1000, 2, 8 * [47] + 13 * [48]),
    ],
)
def test_chunks_have_12_to_48_images_and_differ_by_at_most_one(n, n_jobs, sizes):
    assert chunk_sizes(n, n_jobs) == sizes


@pytest.mark.parametrize(("n", "chunks"), [(48, 1), (49, 2), (1000, 21)])
def test_chunks_of_matrix_products_do_not_depend_on_the_number_of_threads(n, chunks):
    """In float64, the layers compute matrix products, whose rounding depends on their size."""
    alone = chunk_sizes(n, 1, np.float64)
    assert len(alone) == chunks
    assert chunk_sizes(n, 2, np.float64) == chunk_sizes(n, 8, np.float64) == alone


# ---- processes -----------------------------------------------------------------------------------------

FORK = f"""
import os, signal, threading, warnings
import numpy as np
import lenet
warnings.simplefilter("ignore", DeprecationWarning)     # Python 3.12 warns of threads and fork; the point is here
x = np.random.default_rng(0).random(({4 * PREDICT_CHUNK}, 28, 28), dtype=np.float32)
model = lenet.LeNet5(seed=0)
expected = model.logits(x, n_jobs=3)
for _ in range(5):
    child = os.fork()
    if child == 0:
        signal.alarm(30)    # a child that hangs is not left behind
        same = np.array_equal(model.logits(x, n_jobs=3), expected)
        os._exit(0 if same and threading.active_count() > 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(model.logits(x, n_jobs=3), expected)
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix forks")
def test_a_forked_child_predicts_with_threads_and_so_does_its_parent():
    assert output(FORK) == "fine\n"


SMALL_STACKS = """
import threading
import numpy as np
import lenet
from lenet.reading import read
from fingerprint import draw_images, fingerprint, make_model
images, model = draw_images(), make_model()
page = np.full((120, 160), 255, np.uint8)
page[40:80, 50:55] = page[40:80, 100:105] = 0      # 1 1
recipe = lenet.training.RECIPES["wild"].with_changes(epochs=1)


def results():
    trained = lenet.LeNet5(seed=0)
    lenet.train(trained, images, np.arange(len(images)) % 10, recipe, seed=0, n_jobs=2)
    floats = fingerprint(model, images / np.float32(255), n_jobs=2)
    found.append((fingerprint(model, images, n_jobs=2), floats, trained.parameters.flat.tobytes(), read(page).text))


found = []
read(page)      # imports OpenCV, whose stack lenet does not bound
threading.stack_size(65536)     # also that of the pool
thread = threading.Thread(target=results)
thread.start()
thread.join()
results()       # in the main thread
print(found[0] == found[1], found[0][3])
"""


@pytest.mark.landing
@pytest.mark.skipif(sys.platform != "linux", reason="64 KB of stack are measured on Linux")
def test_threads_with_64_kb_of_stack_predict_train_and_read():
    assert output(SMALL_STACKS) == "True 1 1\n"


NO_MEMORY = """
import resource
import numpy as np
import lenet
model, image, blocks = lenet.load_pretrained(), np.zeros((1, 28, 28), np.uint8), []
expected = model.logits(image, n_jobs=1)
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (0, limits[1]))
try:
    for _ in range(10_000):
        blocks.append(bytes(20_000))
    print("unlimited")
    raise SystemExit
except MemoryError:
    del blocks[::8]     # gaps for everything but the scratch memory of the kernels
try:
    model.logits(image, n_jobs=1)
except MemoryError as error:
    traceback = error.__traceback__
resource.setrlimit(resource.RLIMIT_AS, limits)
while traceback.tb_next:
    traceback = traceback.tb_next
print(traceback.tb_frame.f_code.co_name, np.array_equal(model.logits(image, n_jobs=1), expected))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer requires memory")
def test_predicting_without_memory_raises_an_error():
    printed = output(NO_MEMORY)
    if printed == "unlimited\n":
        pytest.skip("qemu ignores limits of memory")
    assert printed == "lenet._compiled.Build.logits True\n"


INTERRUPTED = """
import _thread, signal, threading, time
import numpy as np
import lenet
signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell's background jobs ignore Ctrl-C
model = lenet.LeNet5(seed=0)
x = np.broadcast_to(np.zeros((28, 28), np.uint8), (500_000, 28, 28))    # takes many seconds
threading.Timer(0.05, _thread.interrupt_main).start()
start = time.perf_counter()
try:
    model.predict(x, n_jobs=2)
except KeyboardInterrupt:
    print(time.perf_counter() - start)
assert len(model.predict(x[:300], n_jobs=2)) == 300
"""


def test_ctrl_c_takes_effect_immediately():
    assert float(output(INTERRUPTED)) < 1


IMPORTS = """
import sys, threading
import lenet, lenet.model, lenet.training.optim, lenet.weights, lenet.training
model = lenet.LeNet5(seed=0)
assert threading.active_count() == 1, threading.enumerate()
import numpy as np
model.predict(np.zeros((3, 28, 28)))
heavy = {"sklearn", "pandas", "matplotlib", "scipy", "rich", "PIL", "cv2", "joblib", "threadpoolctl"}
print(sorted(heavy & sys.modules.keys()), threading.active_count())
"""


def test_importing_and_predicting_start_no_thread_and_import_no_extra():
    assert output(IMPORTS, LENET_NUM_THREADS="4") == "[] 1\n"


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_the_extension_leaves_the_gil_off():
    """A module that does not declare itself for it turns it on, and warns."""
    done = run("import lenet._compiled, sys; print(sys._is_gil_enabled())", PYTHON_GIL="")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_importing_lenet_does_not_import_numpy():
    assert output("import sys, lenet; lenet.__version__; print('numpy' in sys.modules)") == "False\n"


@pytest.mark.landing
def test_all_public_names_resolve():
    names = output("import lenet; print(all(hasattr(lenet, name) for name in lenet.__all__), 'LeNet5' in dir(lenet))")
    assert names == "True True\n"


def test_an_unknown_name_is_an_attribute_error():
    done = run("import lenet; lenet.LeNet6")
    assert "AttributeError: module 'lenet' has no attribute 'LeNet6'" in done.stderr


def test_the_configuration_lists_the_number_of_threads(monkeypatch, capsys):
    monkeypatch.setenv("LENET_NUM_THREADS", "3")
    dispatch.show_config()
    assert "threads  3" in capsys.readouterr().out.splitlines()
