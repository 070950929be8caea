/* The number type of the kernels, and vectors of it, in plain C operators.
 *
 * Macros define a build: BUILD, the name of its CPU, and LANES, the numbers in a vector.
 * gcc and clang turn vector operators into instructions of that CPU. With other compilers, or with LENET_PLAIN, LANES
 * is 1 and `vreal` a plain number, for which the same kernels work.
 */
#ifndef LENET_SIMD_H
#define LENET_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if (defined(__GNUC__) || defined(__clang__)) && !defined(LENET_PLAIN)   /* clang for Windows lacks __GNUC__ */
#define GNU_C 1
#else
#define GNU_C 0
#endif
#if defined(__SSE2__) && GNU_C
#include <immintrin.h>
#elif defined(__aarch64__) && GNU_C
#include <arm_neon.h>
#endif

/* Functions declared `inline`, here or in Cython, are always inlined; no others are (-fno-inline). An inner function
 * takes constants, such as the rows of a tile, and its arrays become registers only in the function that calls it.
 * Outer functions stay separate: gcc spills the accumulators of one that it inlines into another.
 */
#if GNU_C
#define INLINE static inline __attribute__((always_inline))
#undef CYTHON_INLINE
#define CYTHON_INLINE inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#if defined(__clang__)
#define COMPILED_BY "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILED_BY "gcc " __VERSION__
#else
#define COMPILED_BY "MSVC"
#endif

typedef float real;
typedef uint32_t bits;
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define ROUNDER 12582912.0f          /* 1.5 * 2^23: adding it rounds to an integer, kept in the low bits */
#define EXP_RANGE 87.0f              /* exp of it is still a normal number, and so is exp of its negative */
#define LN2_HIGH 6.93359375e-01f
#define LN2_LOW -2.12194440e-04f

#if GNU_C && defined(LANES)
typedef real vreal __attribute__((vector_size(LANES * sizeof(real))));
typedef bits vbits __attribute__((vector_size(LANES * sizeof(real))));
/* A vector in memory may be unaligned. (A value must be aligned: gcc for aarch64 fails otherwise.) */
typedef real vmemory __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
#define VECTORS_IN_C 1
#else
#undef LANES
#define LANES 1
typedef real vreal;
typedef bits vbits;
typedef real vmemory;
#define VECTORS_IN_C 0
#endif

/* An operation of x86 on two vectors of floats that C has no operator for. */
#if defined(__AVX512F__) && VECTORS_IN_C
#define X86(name, a, b) (vreal)_mm512_##name##_ps((__m512)(a), (__m512)(b))
#elif defined(__AVX__) && VECTORS_IN_C
#define X86(name, a, b) (vreal)_mm256_##name##_ps((__m256)(a), (__m256)(b))
#elif defined(__SSE2__) && VECTORS_IN_C
#define X86(name, a, b) (vreal)_mm_##name##_ps((__m128)(a), (__m128)(b))
#endif

#if LANES == 16
#define LOW_LANES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_LANES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LANES_BEFORE 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
#define LANES_AFTER 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
#elif LANES == 8
#define LOW_LANES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_LANES 4, 12, 5, 13, 6, 14, 7, 15
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15
#define LANES_BEFORE 7, 8, 9, 10, 11, 12, 13, 14
#define LANES_AFTER 1, 2, 3, 4, 5, 6, 7, 8
#elif LANES == 4
#define LOW_LANES 0, 4, 1, 5
#define HIGH_LANES 2, 6, 3, 7
#define EVEN_LANES 0, 2, 4, 6
#define ODD_LANES 1, 3, 5, 7
#define LANES_BEFORE 3, 4, 5, 6
#define LANES_AFTER 1, 2, 3, 4
#else
#define LOW_LANES a
#define HIGH_LANES b
#define EVEN_LANES a
#define ODD_LANES b
#define LANES_BEFORE a
#define LANES_AFTER b
#endif
#if LANES == 1
#define SHUFFLE(a, b, lane) (lane)
#elif defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(...) __builtin_shufflevector(__VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (vbits){__VA_ARGS__})
#endif

#if defined(__clang__) && GNU_C
#define UNROLL _Pragma("clang loop unroll(full)")
#elif GNU_C
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

/* Tile sizes: accumulators and operands fill the registers, 32 of them or 16. */
#if defined(__AVX512F__)
#define VECTORS 4           /* of a row of a product */
#define DOT_ROWS 4          /* images that a dense layer computes at once */
#define C3_ROWS 2           /* of C3's products, and vectors of its maps */
#define C3_VECTORS 1
#define C3_WEIGHT_MAPS 3    /* maps of S2 for which the gradients of C3's filters are summed at once */
#define S2_VECTORS 1        /* of each map of the gradient of S2; at most 16 numbers */
#define C1_WEIGHT_MAPS 3    /* maps of C1 for which the gradients of its filters are summed at once */
#elif defined(__aarch64__)
#define VECTORS 4
#define DOT_ROWS 4
#define C3_ROWS 1
#define C3_VECTORS 4
#define C3_WEIGHT_MAPS 1
#define S2_VECTORS 4
#define C1_WEIGHT_MAPS 3
#else
#define VECTORS 2
#define DOT_ROWS 3
#define C3_ROWS 1
#define C3_VECTORS 2
#define C3_WEIGHT_MAPS 1
#define S2_VECTORS 2
#if defined(__FMA__)
#define C1_WEIGHT_MAPS 2
#else                       /* without FMA, each product occupies a register */
#define C1_WEIGHT_MAPS 1
#endif
#endif

#define MAX_SIGMOIDS 4      /* vectors of sigmoids computed at once */

/* Forget all numbers loaded from memory. Otherwise gcc keeps pixels that the next weights also need, runs out of
 * registers, and spills the accumulators. */
#if GNU_C
#define FORGET_LOADS() __asm__ volatile("" ::: "memory")
#else
#define FORGET_LOADS() ((void)0)
#endif

/* Return n, but hide its value from the compiler, which would otherwise unroll a short loop and repeat a whole tile. */
INLINE ptrdiff_t unknown(ptrdiff_t n)
{
#if GNU_C
    __asm__("" : "+r"(n));
#endif
    return n;
}

INLINE vreal vload(const real *p) { return *(const vmemory *)p; }
INLINE void vstore(real *p, vreal v) { *(vmemory *)p = v; }

INLINE vreal vset(real x)
{
    vreal zero = {0};
    return x - zero;   /* which is always x, so it costs nothing; zero + x would turn -0 into 0 */
}

/* The same for a constant. gcc for aarch64 would load it from memory each time, although 32 registers hold them all. */
INLINE vreal vconstant(real x)
{
    vreal v = vset(x);
#if defined(__aarch64__) && VECTORS_IN_C
    __asm__("" : "+w"(v));
#endif
    return v;
}

/* a * b + c, rounded once if the CPU can. The compiler must not fuse other operations (-ffp-contract=off): it would
 * fuse them in one copy of a loop and not in another, and an image's result would depend on its place in the batch.
 */
INLINE vreal vmuladd(vreal a, vreal b, vreal c)
{
#if defined(__AVX512F__) && VECTORS_IN_C
    return (vreal)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__) && VECTORS_IN_C
    return (vreal)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__) && VECTORS_IN_C
    return (vreal)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* Load or store only the first n lanes, at the end of an array; vload_part sets the other lanes to 0. */
#if defined(__AVX512F__) && VECTORS_IN_C
INLINE __mmask16 first_lanes(ptrdiff_t n)
{
    return (__mmask16)(n >= 16 ? 0xffff : n <= 0 ? 0 : (1u << n) - 1);
}

INLINE vreal vload_part(const real *p, ptrdiff_t n) { return (vreal)_mm512_maskz_loadu_ps(first_lanes(n), p); }
INLINE void vstore_part(real *p, vreal v, ptrdiff_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), (__m512)v); }
#else
INLINE vreal vload_part(const real *p, ptrdiff_t n)
{
    if (n >= LANES) return vload(p);
#if defined(__AVX2__) && VECTORS_IN_C
    static const int32_t ones_then_zeros[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const int32_t *mask = ones_then_zeros + LANES - (n > 0 ? n : 0);
    return (vreal)_mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i *)mask));
#else
    real lanes[LANES] = {0};
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = p[i];
    return vload(lanes);
#endif
}

INLINE void vstore_part(real *p, vreal v, ptrdiff_t n)
{
    real lanes[LANES];
    if (n >= LANES) { vstore(p, v); return; }
    vstore(lanes, v);
    for (ptrdiff_t i = 0; i < n; i++) p[i] = lanes[i];
}
#endif

/* LANES pixels from 0 to 255. */
INLINE vreal vload_bytes(const unsigned char *p)
{
#if defined(__AVX512F__) && VECTORS_IN_C
    return (vreal)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
#elif defined(__AVX2__) && VECTORS_IN_C
    return (vreal)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
#elif defined(__SSE4_1__) && VECTORS_IN_C
    int32_t four;
    memcpy(&four, p, sizeof four);
    return (vreal)_mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
#else
    real lanes[LANES];
    for (int i = 0; i < LANES; i++) lanes[i] = p[i];
    return vload(lanes);
#endif
}

/* The minimum and the maximum of each pair of lanes; NaN if b is NaN. */
#ifdef X86
INLINE vreal vmin(vreal a, vreal b) { return X86(min, a, b); }
INLINE vreal vmax(vreal a, vreal b) { return X86(max, a, b); }
#elif defined(__aarch64__) && VECTORS_IN_C
INLINE vreal vmin(vreal a, vreal b) { return (vreal)vminq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE vreal vmax(vreal a, vreal b) { return (vreal)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
#else
INLINE vreal vmin(vreal a, vreal b)
{
    real x[LANES], y[LANES];
    vstore(x, a);
    vstore(y, b);
    for (int i = 0; i < LANES; i++) x[i] = x[i] < y[i] ? x[i] : y[i];
    return vload(x);
}

INLINE vreal vmax(vreal a, vreal b)
{
    real x[LANES], y[LANES];
    vstore(x, a);
    vstore(y, b);
    for (int i = 0; i < LANES; i++) x[i] = x[i] > y[i] ? x[i] : y[i];
    return vload(x);
}
#endif

/* ---- permutations of lanes ---- */

/* a0 b0 a1 b1 ... from the lower halves of a and b, and the same from their upper halves. */
INLINE vreal vinterleave_low(vreal a, vreal b) { return SHUFFLE(a, b, LOW_LANES); }
INLINE vreal vinterleave_high(vreal a, vreal b) { return SHUFFLE(a, b, HIGH_LANES); }

/* The even-numbered lanes of a and then b, and the odd-numbered ones. */
INLINE vreal veven(vreal a, vreal b) { return SHUFFLE(a, b, EVEN_LANES); }
INLINE vreal vodd(vreal a, vreal b) { return SHUFFLE(a, b, ODD_LANES); }

/* The last lane of a and all but the last of b; and all but the first lane of a and the first of b. */
INLINE vreal vbefore(vreal a, vreal b) { return SHUFFLE(a, b, LANES_BEFORE); }
INLINE vreal vafter(vreal a, vreal b) { return SHUFFLE(a, b, LANES_AFTER); }

/* The transpose of a square of LANES vectors, in place: log2(LANES) rounds, each a perfect shuffle of the rows. */
INLINE void vtranspose(vreal *rows)
{
    vreal before[LANES];
    UNROLL for (int round = 1; round < LANES; round *= 2) {
        UNROLL for (int i = 0; i < LANES; i++) before[i] = rows[i];
        UNROLL for (int i = 0; i < LANES / 2; i++) {
            rows[2 * i] = vinterleave_low(before[i], before[i + LANES / 2]);
            rows[2 * i + 1] = vinterleave_high(before[i], before[i + LANES / 2]);
        }
    }
}

/* The sums over the lanes of LANES vectors, as one vector: halves first, so that the order of the additions is fixed
 * and the same for each sum. Overwrites `vectors`. */
INLINE vreal vsums(vreal *vectors)
{
    UNROLL for (int half = LANES / 2; half > 0; half /= 2)
        UNROLL for (int i = 0; i < half; i++)
            vectors[i] = vinterleave_low(vectors[i], vectors[i + half]) + vinterleave_high(vectors[i], vectors[i + half]);
    return vectors[0];
}

/* The sum over the lanes, halves first, so that the order of the additions is fixed. */
INLINE real vsum(vreal v)
{
    real lanes[LANES];
    vstore(lanes, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* Copy a short row: for 4 numbers and more, moves that overlap in the middle and never leave the row. */
INLINE void copy_row(real *to, const real *from, ptrdiff_t n)
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

/* exp(-x) = power * rest for n vectors, with |x| <= EXP_RANGE: with -x = k ln2 - r and |r| <= ln2/2, power is 2^k and
 * rest is exp(-r), the polynomial of degree 5 with the least relative error, 9.2e-8, of those that are 1 at 0.
 * ln2 is added in two parts (Cody and Waite), since k times its high part is exact.
 *
 * Each step is done for all vectors before the next: a step waits for the one before, and a CPU reorders only a limited
 * number of instructions.
 */
INLINE void vexps_negative(const int n, const vreal *x, vreal *power, vreal *rest)
{
    static const real coefficients[] = {
        1, -0.999999706313f, 0.499991478411f, -0.166676381272f, 0.0418981596185f, -0.00829027211208f};
    const int degree = (int)(sizeof coefficients / sizeof *coefficients) - 1;
    vreal r[MAX_SIGMOIDS];
    vbits biased[MAX_SIGMOIDS];   /* k + EXPONENT_BIAS, in the low bits */
#define EACH UNROLL for (int i = 0; i < n; i++)
    EACH power[i] = vmuladd(x[i], vconstant((real)-1.44269504088896340736), vconstant(ROUNDER + EXPONENT_BIAS));
    EACH memcpy(&biased[i], &power[i], sizeof biased[i]);
    EACH power[i] -= vconstant(ROUNDER + EXPONENT_BIAS);
    EACH r[i] = vmuladd(power[i], vconstant(LN2_HIGH), x[i]);
    EACH r[i] = vmuladd(power[i], vconstant(LN2_LOW), r[i]);
    EACH rest[i] = vconstant(coefficients[degree]);
    UNROLL for (int term = degree - 1; term >= 0; term--)
        EACH rest[i] = vmuladd(rest[i], r[i], vconstant(coefficients[term]));
    EACH biased[i] <<= MANTISSA_BITS;
    EACH memcpy(&power[i], &biased[i], sizeof power[i]);
#undef EACH
}

/* exp(-x) for |x| <= EXP_RANGE. */
INLINE vreal vexp_negative(vreal x)
{
    vreal power, rest;
    vexps_negative(1, &x, &power, &rest);
    return power * rest;
}

/* x = 1 / (1 + exp(-x)) for n vectors. x is clipped to +-EXP_RANGE, where the result is 1, or at most twice the
 * smallest normal number. NaN stays NaN. */
INLINE void vsigmoids(const int n, vreal *x)
{
    vreal power[MAX_SIGMOIDS], rest[MAX_SIGMOIDS];
    UNROLL for (int i = 0; i < n; i++) x[i] = vmax(vconstant(-EXP_RANGE), vmin(vconstant(EXP_RANGE), x[i]));
    vexps_negative(n, x, power, rest);
    UNROLL for (int i = 0; i < n; i++) x[i] = vconstant(1) / vmuladd(rest[i], power[i], vconstant(1));
}

INLINE vreal vsigmoid(vreal x)
{
    vsigmoids(1, &x);
    return x;
}

#endif
