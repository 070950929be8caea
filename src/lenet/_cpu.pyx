"""What this CPU and its operating system can run. Compiled without any CPU flags, so that it runs anywhere."""

cdef extern from "_cpu.h" nogil:
    int lenet_x86_64_level()


def x86_64_level() -> int:
    """Return the highest x86-64 microarchitecture level that runs here, 1 to 4, or 0 on another CPU.

    The levels are those of the x86-64 psABI. The compiler's detection also asks the operating system
    whether it saves the wide registers.
    """
    return lenet_x86_64_level()
