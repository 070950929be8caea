"""The compiled inner loops of the kernels consist of multiply-adds and write no memory in between.

An accumulator that found no register is written to the stack and read back in each turn, which takes several times as
long. This happens without a warning if a tile is slightly too large, or the compiler moves something into the loop.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from toolchain import makes_programs_for_this_machine

from lenet import _compiled
from lenet._fused.dispatch import available, kernels

COMPILER = kernels().build()["compiler"]
READS = sys.platform == "linux" and shutil.which("objdump") and makes_programs_for_this_machine("gcc")
if not READS or not COMPILER.startswith("gcc"):
    pytest.skip("requires lenet built by gcc, and gcc and objdump for this machine", allow_module_level=True)

# Multiply-adds of a tile in the loop that a kernel spends its time in, for each build; loops may be unrolled.
TILES = {
    "x86-64-v4": {
        "c1_stage": 12, "c3_stage": 10, "c5_sums": 16, "f6_sums": 16, "matmul": 24,
        "s2_points_gradient": 6, "c3_filter_gradient": 15, "c1_filter_gradient": 18,
    },
    "x86-64-v3": {
        "c1_stage": 12, "c3_stage": 10, "c5_sums": 12, "f6_sums": 12, "matmul": 12,
        "s2_points_gradient": 12, "c3_filter_gradient": 10, "c1_filter_gradient": 12,
    },
    "x86-64-v2": {
        "c1_stage": 12, "c3_stage": 10, "c5_sums": 12, "f6_sums": 12, "matmul": 12,
        "s2_points_gradient": 12, "c3_filter_gradient": 10, "c1_filter_gradient": 6,
    },
    "aarch64": {
        "c1_stage": 12, "c3_stage": 20, "c5_sums": 16, "f6_sums": 16, "matmul": 24,
        "s2_points_gradient": 24, "c3_filter_gradient": 20, "c1_filter_gradient": 18,
    },
}  # fmt: skip
MULTIPLY = re.compile(r"v?f?n?m(?:add\d+|ul)ps|fmla\s")
STORE = re.compile(r"v?mov[au]ps +%[xyz]mm\d+,[^%]*\(|st[rpu]\w*\s+q")
JUMP = re.compile(r"(?:j\w+|b\.\w+|cbn?z\s+\w+,)\s+([0-9a-f]+)\b")
CROSS = "aarch64-linux-gnu-"  # Debian's names for the compiler and the binutils


def functions(path, prefix=""):
    """Each function's instructions, (address, text), by the name that the kernel has in our source."""
    text = subprocess.run(
        [shutil.which(f"{prefix}objdump"), "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
    )
    found = defaultdict(list)
    for block in text.stdout.split("\n\n"):
        name, _, body = block.partition("\n")
        match = re.search(r"<__pyx_f_5lenet_6_fused_7kernels_(\w+?)(?:\.[\w.]+)?>:", name)
        if match:
            lines = re.findall(r"^ *([0-9a-f]+):\s+(.*)$", body, re.MULTILINE)
            found[match[1]].append([(int(address, 16), instruction.strip()) for address, instruction in lines])
    return found


def innermost_loops(instructions):
    """The instructions between each backward jump and its target, where no other such jump lies within."""
    place = {address: number for number, (address, _) in enumerate(instructions)}
    jumps = []
    for number, (address, text) in enumerate(instructions):
        match = JUMP.match(text)
        if match and int(match[1], 16) <= address and int(match[1], 16) in place:
            jumps.append((place[int(match[1], 16)], number))
    for start, end in jumps:
        if not any((a, b) != (start, end) and start <= a and b <= end for a, b in jumps):
            yield [text for _, text in instructions[start : end + 1]]


def is_clean_tile(loop, tile):
    multiplies = sum(bool(MULTIPLY.match(text)) for text in loop)
    return multiplies > 0 and multiplies % tile == 0 and not any(STORE.match(text) for text in loop)


def widest(instructions):
    """The largest vector registers that a function uses: xmm, ymm or zmm."""
    return max(re.findall(r"[xyz]mm", " ".join(text for _, text in instructions)), default="")


@pytest.fixture(scope="module", params=[name for name in available() if name in TILES])
def compiled(request):
    """A build and its functions, which have the names of those of the other builds, but other registers."""
    found = functions(_compiled.__file__)
    if not found:
        pytest.skip("the extension is stripped of its names")
    registers = {"x86-64-v2": "xmm", "x86-64-v3": "ymm", "x86-64-v4": "zmm"}.get(request.param, "")
    return request.param, {
        name: [copy for copy in copies if widest(copy) == registers] for name, copies in found.items()
    }


def keeps_its_accumulators(found, build, kernel):
    """Whether each copy of the kernel has a loop of multiply-adds without a store."""
    tile = TILES[build][kernel]
    clean = [any(is_clean_tile(loop, tile) for loop in innermost_loops(copy)) for copy in found[kernel]]
    return clean and all(clean)


@pytest.mark.parametrize("kernel", TILES["x86-64-v4"])
def test_the_inner_loop_keeps_its_accumulators_in_registers(compiled, kernel):
    build, found = compiled
    assert keeps_its_accumulators(found, build, kernel)


def test_every_kernel_is_there(compiled):
    build, found = compiled
    assert all(found[kernel] for kernel in TILES[build])


def test_a_spill_is_seen():
    loop = ["vmovups (%rax),%zmm0", "vfmadd231ps %zmm0,%zmm1,%zmm2", "vmovaps %zmm2,0x40(%rsp)"]
    assert is_clean_tile(loop[:2], 1)
    assert not is_clean_tile(loop, 1)
    assert is_clean_tile(["mulps  %xmm1,%xmm2", "addps  %xmm2,%xmm3"], 1)
    assert not is_clean_tile(["mulps  %xmm1,%xmm2", "movaps %xmm2,-0x18(%rsp)"], 1)
    assert is_clean_tile(["fmla\tv1.4s, v2.4s, v3.s[0]", "ldr\tq2, [x1]"], 1)
    assert not is_clean_tile(["fmla\tv1.4s, v2.4s, v3.s[0]", "str\tq1, [sp, #16]"], 1)


# ---- aarch64, whose code any machine can compile -------------------------------------------------------


@pytest.fixture(scope="module")
def neon(tmp_path_factory):
    """The functions of the kernels for aarch64."""
    if not shutil.which(f"{CROSS}gcc"):
        pytest.skip("needs gcc for aarch64 (Debian: gcc-aarch64-linux-gnu)")
    from tests.mutation.building import build, copy_tree

    folder = tmp_path_factory.mktemp("neon")
    root = copy_tree(folder / "copy")
    debian = Path("/usr/include", os.uname().machine + "-linux-gnu", "python{}.{}".format(*sys.version_info))
    if debian.exists():  # Python's headers include that of the architecture by its path
        shutil.copytree(debian, folder / "include" / "aarch64-linux-gnu" / debian.name)
    environment = {
        "CC": f"{CROSS}gcc", "LDSHARED": f"{CROSS}gcc -shared", "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        "CFLAGS": f"-isystem {folder / 'include'}",
    }  # fmt: skip
    build(root, env=environment)
    return functions(next(root.glob("src/lenet/_compiled.*so")), CROSS)


@pytest.mark.release
@pytest.mark.parametrize("kernel", TILES["aarch64"])
def test_the_inner_loop_keeps_its_accumulators_in_registers_on_aarch64(neon, kernel):
    assert keeps_its_accumulators(neon, "aarch64", kernel)


@pytest.mark.release
@pytest.mark.parametrize(("kernel", "expected"), [("c1_stage", 12), ("c3_stage", 13), ("sigmoids", 1)])
def test_the_sigmoids_of_aarch64_keep_their_constants_in_registers(neon, kernel, expected):
    """The loop with a division loads 6 products for each pair, or a sum, and C3's bias, and loads nothing else."""
    loops = [loop for loop in innermost_loops(neon[kernel][0]) if any(re.match(r"fdiv\s+v", text) for text in loop)]
    (loop,) = loops
    count = {name: sum(bool(re.match(name, text)) for text in loop) for name in ("fdiv", "fmin", "fmax", "adrp")}
    loads = [text.partition("[")[0] for text in loop if re.match(r"ld[rp]\s+q", text)]
    number = 1 if kernel == "sigmoids" else 4
    assert count == {"fdiv": number, "fmin": number, "fmax": number, "adrp": 0}
    assert sum(registers.count("q") for registers in loads) == expected
