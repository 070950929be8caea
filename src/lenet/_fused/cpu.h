/* The x86-64 microarchitecture level of this CPU (x86-64 psABI, "Micro-Architecture Levels"); 0 elsewhere.
 * __builtin_cpu_supports also checks XGETBV. Other compilers build the baseline only, level 2.
 */
#ifndef LENET_CPU_H
#define LENET_CPU_H

static int lenet_x86_64_level(void)
{
#if defined(__GNUC__) && defined(__x86_64__) && !defined(LENET_PLAIN)
#define HAS(feature) (__builtin_cpu_supports(feature) != 0)
    __builtin_cpu_init();
    if (!(HAS("sse3") && HAS("ssse3") && HAS("sse4.1") && HAS("sse4.2") && HAS("popcnt"))) return 1;
    if (!(HAS("avx") && HAS("avx2") && HAS("fma"))) return 2;
    if (!(HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq") && HAS("avx512vl"))) return 3;
    return 4;
#undef HAS
#elif defined(__x86_64__) || defined(_M_X64)
    return 2;
#else
    return 0;
#endif
}

#endif
