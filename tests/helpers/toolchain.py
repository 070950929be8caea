"""The compilers of this machine."""

import platform
import shutil
import subprocess


def makes_programs_for_this_machine(compiler: str) -> bool:
    """Return whether a compiler is installed, and its programs run here.

    Under qemu, compilers make programs for the machine that runs qemu.
    """
    if shutil.which(compiler) is None:
        return False
    target = subprocess.run([compiler, "-dumpmachine"], check=True, capture_output=True, text=True).stdout
    return target.partition("-")[0] == platform.machine()
