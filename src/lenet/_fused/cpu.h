/* The x86-64 microarchitecture level of this CPU (x86-64 psABI, "Micro-Architecture Levels"), as far as the builds in
 * setup.py use it; 0 elsewhere.
 * A level counts only if the operating system saves its registers (XCR0). macOS shows only later that it saves those of
 * AVX-512, so Macs have level 3 at most. Other compilers build the baseline only, level 2.
 */
#ifndef LENET_CPU_H
#define LENET_CPU_H

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__) && !defined(LENET_PLAIN)
#include <cpuid.h>

#define BIT(n) (1u << (n))
#define ALL(word, bits) (((word) & (bits)) == (bits))

static int lenet_x86_64_level(void)
{
    const unsigned v2_ecx1 = BIT(0) | BIT(9) | BIT(19) | BIT(20) | BIT(23); /* SSE3, SSSE3, SSE4.1, SSE4.2, POPCNT */
    const unsigned v3_ecx1 = BIT(12) | BIT(27) | BIT(28);                   /* FMA, OSXSAVE, AVX */
    const unsigned v3_ebx7 = BIT(5);                                        /* AVX2 */
    const unsigned v4_ebx7 = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31); /* AVX-512 F, DQ, CD, BW, VL */
    unsigned eax, ebx, ecx, edx, ecx1, xcr0;
    if (!__get_cpuid(1, &eax, &ebx, &ecx1, &edx) || !ALL(ecx1, v2_ecx1)) return 1;
    if (!ALL(ecx1, v3_ecx1) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 2;
    __asm__("xgetbv" : "=a"(xcr0), "=d"(edx) : "c"(0));
    if (!ALL(ebx, v3_ebx7) || !ALL(xcr0, 0x06u)) return 2; /* XMM and YMM */
    return ALL(ebx, v4_ebx7) && ALL(xcr0, 0xe6u) ? 4 : 3;  /* and the masks and ZMM */
}
#else
static int lenet_x86_64_level(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    return 2;
#else
    return 0;
#endif
}
#endif

#endif
