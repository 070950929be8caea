"""The compiled inner loops of the kernels consist of multiply-adds and write no memory in between.

An accumulator that found no register is written to the stack and read back in each turn, which takes several times as
long. It happens without a word when a tile is a little too large, or the compiler moves something into the loop.
"""

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from importlib import util

import pytest

from lenet._fused.dispatch import available, kernels

COMPILER = kernels().build()["compiler"]
if sys.platform != "linux" or not shutil.which("objdump") or not COMPILER.startswith("gcc"):
    pytest.skip("is about gcc's code, and needs binutils to read it", allow_module_level=True)
pytestmark = pytest.mark.uninstrumented

# Multiply-adds of a tile in the loop that a kernel spends its time in, for each build; loops may be unrolled.
TILES = {
    "x86-64-v4": {
        "c1_stage": 24, "c3_stage": 20, "c5_sums": 16, "f6_sums": 16, "matmul": 24,
        "s2_gradient": 12, "c3_weight_gradient": 25, "c1_weight_gradient": 15,
    },
    "x86-64-v3": {
        "c1_stage": 12, "c3_stage": 10, "c5_sums": 12, "f6_sums": 12, "matmul": 12,
        "s2_gradient": 12, "c3_weight_gradient": 10, "c1_weight_gradient": 10,
    },
    "x86-64-v2": {
        "c1_stage": 12, "c3_stage": 10, "c5_sums": 12, "f6_sums": 12, "matmul": 12,
        "s2_gradient": 12, "c3_weight_gradient": 10, "c1_weight_gradient": 10,
    },
}  # fmt: skip
MULTIPLY = re.compile(r"v?f?n?m(?:add\d+|ul)ps")
STORE = re.compile(r"v?mov[au]ps +%[xyz]mm\d+,[^%]*\(")


def functions(path):
    """Each function's instructions, (address, text), by the name that the kernel has in our source."""
    text = subprocess.run(
        [shutil.which("objdump"), "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
    )
    found = defaultdict(list)
    for block in text.stdout.split("\n\n"):
        name, _, body = block.partition("\n")
        match = re.search(r"<__pyx_f_5lenet_6_fused_\d+lenet5(?:_v\d)?_(\w+?)(?:\.[\w.]+)?>:", name)
        if match:
            lines = re.findall(r"^ *([0-9a-f]+):\s+(.*)$", body, re.MULTILINE)
            found[match[1]].append([(int(address, 16), instruction.strip()) for address, instruction in lines])
    return found


def innermost_loops(instructions):
    """The instructions between each backward jump and its target, where no other such jump lies within."""
    place = {address: number for number, (address, _) in enumerate(instructions)}
    jumps = []
    for number, (address, text) in enumerate(instructions):
        match = re.match(r"j\w+ +([0-9a-f]+)", text)
        if match and int(match[1], 16) <= address and int(match[1], 16) in place:
            jumps.append((place[int(match[1], 16)], number))
    for start, end in jumps:
        if not any((a, b) != (start, end) and start <= a and b <= end for a, b in jumps):
            yield [text for _, text in instructions[start : end + 1]]


def is_clean_tile(loop, tile):
    multiplies = sum(bool(MULTIPLY.match(text)) for text in loop)
    return multiplies > 0 and multiplies % tile == 0 and not any(STORE.match(text) for text in loop)


@pytest.fixture(scope="module", params=[name for name in available() if name in TILES])
def compiled(request):
    found = functions(util.find_spec(f"lenet._fused.{available()[request.param]}").origin)
    if not found:
        pytest.skip("the extension is stripped of its names")
    return request.param, found


@pytest.mark.parametrize("kernel", TILES["x86-64-v4"])
def test_the_inner_loop_keeps_its_accumulators_in_registers(compiled, kernel):
    build, found = compiled
    clean = [any(is_clean_tile(loop, TILES[build][kernel]) for loop in innermost_loops(copy)) for copy in found[kernel]]
    assert clean
    assert all(clean)


def test_every_kernel_is_there(compiled):
    build, found = compiled
    assert TILES[build].keys() <= found.keys()


def test_a_spill_is_seen():
    loop = ["vmovups (%rax),%zmm0", "vfmadd231ps %zmm0,%zmm1,%zmm2", "vmovaps %zmm2,0x40(%rsp)"]
    assert is_clean_tile(loop[:2], 1)
    assert not is_clean_tile(loop, 1)
    assert is_clean_tile(["mulps  %xmm1,%xmm2", "addps  %xmm2,%xmm3"], 1)
    assert not is_clean_tile(["mulps  %xmm1,%xmm2", "movaps %xmm2,-0x18(%rsp)"], 1)
