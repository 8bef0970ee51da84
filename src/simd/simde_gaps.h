/*
 * simde_gaps.h - the words the kernel bodies are written in.
 *
 * A word is one SIMDe function under a name without the vector width, so that
 * a kernel body reads the same for 4, 8 and 16 floats a vector. Here are the
 * words that SIMDe has at every width; those that depend on it are in
 * simde_gaps_<width>.h, included at the end. Where SIMDe 0.7.4 has no 512-bit
 * function the native one stands in: the file for 16 floats is compiled only
 * where AVX-512 is native. The one for 4 serves x86-64 without extensions and
 * AArch64.
 *
 * The includer defines OMENDB_SIMD_ISA (a namespace) and OMENDB_SIMD_WIDTH
 * (floats per vector). Every function is static and always inlined: two copies
 * compiled with different flags must never meet in the linker.
 */
#ifndef OMENDB_SIMD_SIMDE_GAPS_H
#define OMENDB_SIMD_SIMDE_GAPS_H

#include <stddef.h>
#include <stdint.h>

#if OMENDB_SIMD_WIDTH == 16
/* GCC before 13 warns of its own headers here (GCC bug 105593). */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <simde/x86/avx512.h>
#define OMENDB_MM(op)     simde_mm512_##op
#define OMENDB_MM_ALL(op) simde_mm512_##op##_si512
#elif OMENDB_SIMD_WIDTH == 8
#include <simde/x86/avx2.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#define OMENDB_MM(op)     simde_mm256_##op
#define OMENDB_MM_ALL(op) simde_mm256_##op##_si256
#elif OMENDB_SIMD_WIDTH == 4
#include <simde/x86/sse2.h>
#include <simde/x86/ssse3.h>
#define OMENDB_MM(op)     simde_mm_##op
#define OMENDB_MM_ALL(op) simde_mm_##op##_si128
#else
#error "OMENDB_SIMD_WIDTH must be 4, 8 or 16"
#endif

#define OMENDB_INLINE        static inline __attribute__((always_inline))
#define OMENDB_INLINE_MEMBER inline __attribute__((always_inline))

namespace omendb::simd::OMENDB_SIMD_ISA
{

#if OMENDB_SIMD_WIDTH == 16
typedef simde__m512 VecF;
typedef simde__m512d VecD;
typedef simde__m512i VecI;
#elif OMENDB_SIMD_WIDTH == 8
typedef simde__m256 VecF;
typedef simde__m256d VecD;
typedef simde__m256i VecI;
#else
typedef simde__m128 VecF;
typedef simde__m128d VecD;
typedef simde__m128i VecI;
#endif

constexpr size_t kWidth = OMENDB_SIMD_WIDTH; /* floats per vector */
constexpr size_t kBytes = 4 * kWidth;        /* bytes per vector */
constexpr size_t kParts = 16 / kWidth;       /* vectors per 16 virtual lanes */

OMENDB_INLINE VecF
zero_f()
{
	return OMENDB_MM(setzero_ps)();
}

OMENDB_INLINE VecD
zero_d()
{
	return OMENDB_MM(setzero_pd)();
}

OMENDB_INLINE VecD
add(VecD a, VecD b)
{
	return OMENDB_MM(add_pd)(a, b);
}

OMENDB_INLINE VecF
set_f(float x)
{
	return OMENDB_MM(set1_ps)(x);
}

OMENDB_INLINE VecF
load_f(const float *p)
{
	return OMENDB_MM(loadu_ps)(p);
}

OMENDB_INLINE void
store_f(float *p, VecF v)
{
	OMENDB_MM(storeu_ps)(p, v);
}

/* Where x is no number, y (not on NEON). */
OMENDB_INLINE VecF
min_f(VecF x, VecF y)
{
	return OMENDB_MM(min_ps)(x, y);
}

OMENDB_INLINE VecF
add(VecF a, VecF b)
{
	return OMENDB_MM(add_ps)(a, b);
}

OMENDB_INLINE VecF
sub(VecF a, VecF b)
{
	return OMENDB_MM(sub_ps)(a, b);
}

OMENDB_INLINE VecF
mul(VecF a, VecF b)
{
	return OMENDB_MM(mul_ps)(a, b);
}

OMENDB_INLINE VecF
div(VecF a, VecF b)
{
	return OMENDB_MM(div_ps)(a, b);
}

/* For a NaN in a the result is b, on every instruction set. */
OMENDB_INLINE VecF
min(VecF a, VecF b)
{
	return OMENDB_MM(min_ps)(a, b);
}

OMENDB_INLINE VecF
max(VecF a, VecF b)
{
	return OMENDB_MM(max_ps)(a, b);
}

OMENDB_INLINE VecI
set_i(int32_t x)
{
	return OMENDB_MM(set1_epi32)(x);
}

OMENDB_INLINE VecI
set_u8(uint8_t x)
{
	return OMENDB_MM(set1_epi8)(static_cast<int8_t>(x));
}

OMENDB_INLINE VecI
add32(VecI a, VecI b)
{
	return OMENDB_MM(add_epi32)(a, b);
}

OMENDB_INLINE VecI
add16(VecI a, VecI b)
{
	return OMENDB_MM(add_epi16)(a, b);
}

OMENDB_INLINE VecI
add64(VecI a, VecI b)
{
	return OMENDB_MM(add_epi64)(a, b);
}

OMENDB_INLINE VecI
and_i(VecI a, VecI b)
{
	return OMENDB_MM_ALL(and)(a, b);
}

OMENDB_INLINE VecI
or_i(VecI a, VecI b)
{
	return OMENDB_MM_ALL(or)(a, b);
}

OMENDB_INLINE VecI
xor_i(VecI a, VecI b)
{
	return OMENDB_MM_ALL(xor)(a, b);
}

/* a^2 for |a| < 2^15: a product of 16-bit halves, the high half of one factor cleared. */
OMENDB_INLINE VecI
square_i(VecI a)
{
	const VecI low = OMENDB_MM(srli_epi32)(OMENDB_MM(slli_epi32)(a, 16), 16);
	return OMENDB_MM(madd_epi16)(a, low);
}

/* The sum of a pair of 16-bit lanes, of which the high one counts 256 times, less the latter. */
OMENDB_INLINE VecI
without_high(VecI pair, VecI high)
{
	return OMENDB_MM(sub_epi16)(pair, OMENDB_MM(slli_epi16)(high, 8));
}

OMENDB_INLINE VecI
high_bytes(VecI a)
{
	return OMENDB_MM(srli_epi16)(a, 8);
}

/* 16 bytes of table per 16 bytes of index; indices 0 to 15. */
OMENDB_INLINE VecI
lookup(VecI table, VecI index)
{
	return OMENDB_MM(shuffle_epi8)(table, index);
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#if OMENDB_SIMD_WIDTH == 16
#include "simd/simde_gaps_16.h"
#elif OMENDB_SIMD_WIDTH == 8
#include "simd/simde_gaps_8.h"
#else
#include "simd/simde_gaps_4.h"
#endif

#endif
