/* The number type of a build of the kernels and a vector of it, in plain C operators.
 *
 * A build is set by the macros BUILD, the CPU's name; LANES, how many numbers a vector holds; and
 * LENET_DOUBLE for float64. LENET_PLAIN does without vectors.
 * gcc and clang turn vector operators into the instructions of the CPU that the build is for; other
 * compilers get LANES = 1, where `vreal` is a plain number and the same kernels stay right.
 */
#ifndef LENET_SIMD_H
#define LENET_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__GNUC__)
#include <arm_neon.h>
#endif

/* What Cython writes for `cdef inline`. The kernels' inner functions take constants, such as the rows of a tile,
 * and their arrays become registers only where they are inlined: so it is an order, not a hint.
 */
#if defined(__GNUC__)
#undef CYTHON_INLINE
#define CYTHON_INLINE inline __attribute__((always_inline))
#endif

#ifdef LENET_DOUBLE
typedef double real;
typedef uint64_t bits;
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define ROUNDER 6755399441055744.0   /* 1.5 * 2^52: adding it rounds to an integer, kept in the low bits */
#define EXP_RANGE 708.0              /* exp of it is still a normal number, and so is exp of its negative */
#define EXP_TERMS 13
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#else
typedef float real;
typedef uint32_t bits;
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define ROUNDER 12582912.0f          /* 1.5 * 2^23 */
#define EXP_RANGE 87.0f
#define EXP_TERMS 7
#define LN2_HIGH 6.93359375e-01f
#define LN2_LOW -2.12194440e-04f
#endif

#if defined(__GNUC__) && !defined(LENET_PLAIN)
#ifndef LANES
#define LANES ((int)(16 / sizeof(real)))   /* 16 bytes: SSE and NEON */
#endif
typedef real vreal __attribute__((vector_size(LANES * sizeof(real))));
typedef bits vbits __attribute__((vector_size(LANES * sizeof(real))));
/* A vector in memory may begin at any number. (As a value it may not: gcc for aarch64 breaks off at that.) */
typedef real vmemory __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
#else
#undef LANES
#define LANES 1
typedef real vreal;
typedef bits vbits;
typedef real vmemory;
#endif

/* How many vectors wide a tile of a product is: with 6 rows and the operands it fills 16 or 32 registers. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define VECTORS 4
#else
#define VECTORS 2
#endif

static inline vreal vload(const real *p) { return *(const vmemory *)p; }
static inline void vstore(real *p, vreal v) { *(vmemory *)p = v; }

static inline vreal vset(real x)
{
    vreal zero = {0};
    return x - zero;   /* and not zero + x, which would turn -0 into 0 and so cost an addition */
}

/* a b + c, rounded once where the CPU can. It is spelt out, and the compiler forbidden to fuse anything of its
 * own accord (-ffp-contract=off), since it would fuse one copy of a loop and not another: then an image's
 * result would depend on its place in the batch.
 */
static inline vreal vmuladd(vreal a, vreal b, vreal c)
{
#if defined(__AVX512F__) && !defined(LENET_PLAIN) && !defined(LENET_DOUBLE)
    return (vreal)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__) && !defined(LENET_PLAIN) && !defined(LENET_DOUBLE)
    return (vreal)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__) && defined(__GNUC__) && !defined(LENET_PLAIN) && !defined(LENET_DOUBLE)
    return (vreal)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__aarch64__) && defined(__GNUC__) && !defined(LENET_PLAIN)
    return (vreal)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}

/* The first n lanes from or to memory, where a whole vector would reach beyond the array. */
static inline vreal vload_part(const real *p, ptrdiff_t n)
{
    real lanes[LANES] = {0};
    if (n == LANES) return vload(p);
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = p[i];
    return vload(lanes);
}

static inline void vstore_part(real *p, vreal v, ptrdiff_t n)
{
    real lanes[LANES];
    if (n == LANES) { vstore(p, v); return; }
    vstore(lanes, v);
    for (ptrdiff_t i = 0; i < n; i++) p[i] = lanes[i];
}

/* The sum over the lanes, halves first, so that the order of the additions is fixed. */
static inline real vsum(vreal v)
{
    real lanes[LANES];
    vstore(lanes, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* Copy a short row: for 4 numbers and more, moves that overlap in the middle and never leave the row. */
static inline void copy_row(real *to, const real *from, ptrdiff_t n)
{
#define MOVE(start, count) memcpy(to + (start), from + (start), (count) * sizeof(real))
    ptrdiff_t i = 0;
    if (n >= 16) {
        for (; i + 16 <= n; i += 16) MOVE(i, 16);
        if (i < n) MOVE(n - 16, 16);
    } else if (n >= 8) {
        MOVE(0, 8);
        MOVE(n - 8, 8);
    } else if (n >= 4) {
        MOVE(0, 4);
        MOVE(n - 4, 4);
    } else {
        for (; i < n; i++) to[i] = from[i];
    }
#undef MOVE
}

/* exp(x) for |x| <= EXP_RANGE: x = k ln2 + r with |r| <= ln2/2, exp(x) = 2^k exp(r).
 * exp(r) is its Taylor series; the first term left out is below 8e-9 (float) and 6e-18 (double) of the sum.
 * ln2 is subtracted in two parts (Cody and Waite), since k times its high part is exact.
 */
static inline vreal vexp(vreal x)
{
    static const real inverse_factorial[] = {
        1, 1, (real)(1. / 2), (real)(1. / 6), (real)(1. / 24), (real)(1. / 120), (real)(1. / 720),
        (real)(1. / 5040), (real)(1. / 40320), (real)(1. / 362880), (real)(1. / 3628800),
        (real)(1. / 39916800), (real)(1. / 479001600), (real)(1. / 6227020800.)};
    vreal shifted = vmuladd(x, vset((real)1.44269504088896340736), vset(ROUNDER));
    vreal k = shifted - vset(ROUNDER);
    vreal r = vmuladd(-k, vset(LN2_LOW), vmuladd(-k, vset(LN2_HIGH), x));
    vreal sum = vset(inverse_factorial[EXP_TERMS]);
    vbits exponent;
    vreal power;
    for (int term = EXP_TERMS - 1; term >= 0; term--) sum = vmuladd(sum, r, vset(inverse_factorial[term]));
    memcpy(&exponent, &shifted, sizeof exponent);
    exponent = (exponent + EXPONENT_BIAS) << MANTISSA_BITS;
    memcpy(&power, &exponent, sizeof power);
    return sum * power;
}

/* x, held within [-bound, bound]; NaN stays NaN. */
static inline vreal vclip(vreal x, real bound)
{
    real lanes[LANES];
    vstore(lanes, x);
    for (int i = 0; i < LANES; i++) {
        lanes[i] = lanes[i] > bound ? bound : lanes[i];
        lanes[i] = lanes[i] < -bound ? -bound : lanes[i];
    }
    return vload(lanes);
}

/* 1 / (1 + exp(-x)). Beyond EXP_RANGE x counts as EXP_RANGE: the result is 1, or
 * exp(-EXP_RANGE), which is within twice the smallest normal number of 0. */
static inline vreal vsigmoid(vreal x)
{
    return vset(1) / (vset(1) + vexp(-vclip(x, EXP_RANGE)));
}

#endif
