"""No build computes with subnormal numbers left in its scratch memory: Intel CPUs process them slowly."""

import platform
import shutil
import subprocess
import sys

import pytest

LIBRARY = """
#include <stddef.h>
#include <stdint.h>
#include <xmmintrin.h>
extern void *__libc_malloc(size_t);

int filled;

/* Fill large blocks with a subnormal float, such as the upper half of a pointer. */
void *malloc(size_t size)
{
    uint32_t *block = __libc_malloc(size);
    if (block && size > 50000) {
        for (size_t i = 0; i < size / sizeof *block; i++) block[i] = 0x00005572;
        filled++;
    }
    return block;
}

/* Bit 1 of MXCSR: an operand was subnormal. */
void forget(void) { _mm_setcsr(_mm_getcsr() & ~2u); }
int met_one(void) { return _mm_getcsr() >> 1 & 1; }
"""

SCRIPT = """
import ctypes, sys
import numpy as np
import lenet
from lenet._compiled import BUILDS

library = ctypes.CDLL(sys.argv[1])
parameters = lenet.load_pretrained().parameters.flat
logits = np.empty((13, 10), np.float32)
labels, shares, gradient = np.zeros(13, np.int64), np.full(13, 1 / 13, np.float32), np.zeros_like(parameters)
exp_sums, target_logits = np.empty((2, 13), np.float32)
pixels = np.random.default_rng(0).integers(0, 256, (13, 28, 28), dtype=np.uint8)
in_float32 = (pixels / np.float32(255)).view(np.uint8)
filled = ctypes.c_int.in_dll(library, "filled")
for build in BUILDS.values():
    work = np.zeros(build.scratch_size(10), np.float32)
    for x in (pixels, in_float32):
        for mean, std in ((0.13, 0.31), (None, None)):
            library.forget()
            filled.value = 0
            build.logits(parameters, x, mean, std, logits)
            assert filled.value, "The scratch memory was not filled."
            print(library.met_one(), end="")
            library.forget()
            build.forward_backward(parameters, x, mean, std, labels, shares, logits, exp_sums, target_logits, gradient,
                                   work)
            print(library.met_one(), end="")
library.forget()
np.float32(1e-40) + np.zeros(20, np.float32)
print(library.met_one())
"""


@pytest.mark.landing
@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc" or not shutil.which("gcc"),
    reason="requires gcc and glibc on x86-64",
)
def test_no_operand_is_subnormal(tmp_path):
    source, library = tmp_path / "subnormals.c", tmp_path / "subnormals.so"
    source.write_text(LIBRARY)
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    command = ["env", f"LD_PRELOAD={library}", sys.executable, "-c", SCRIPT, library]
    met = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert met[-1] == "1", "The sum with a subnormal number was not seen."
    assert set(met[:-1]) == {"0"}, met
