/*
 * simde_gaps.h - the words kernels-inl.h is written in.
 *
 * A word is one SIMDe function under a name without the vector width, so that
 * a kernel body reads the same for 4, 8 and 16 floats a vector. Where SIMDe
 * 0.7.4 has no 512-bit function the native one stands in: the 16-float section
 * is compiled only where AVX-512 is native. The 4-float section serves x86-64
 * without extensions and AArch64.
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
#define OMENDB_MM(op) simde_mm512_##op
#elif OMENDB_SIMD_WIDTH == 8
#include <simde/x86/avx2.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#define OMENDB_MM(op) simde_mm256_##op
#elif OMENDB_SIMD_WIDTH == 4
#include <simde/x86/sse2.h>
#include <simde/x86/ssse3.h>
#define OMENDB_MM(op) simde_mm_##op
#else
#error "OMENDB_SIMD_WIDTH must be 4, 8 or 16"
#endif

#define OMENDB_INLINE        static inline __attribute__((always_inline))
#define OMENDB_INLINE_MEMBER inline __attribute__((always_inline))

namespace omendb::simd::OMENDB_SIMD_ISA
{

#if OMENDB_SIMD_WIDTH == 16
typedef simde__m512 VecF;
typedef simde__m512i VecI;
#elif OMENDB_SIMD_WIDTH == 8
typedef simde__m256 VecF;
typedef simde__m256i VecI;
#else
typedef simde__m128 VecF;
typedef simde__m128i VecI;
#endif

constexpr size_t kWidth = OMENDB_SIMD_WIDTH; /* floats per vector */
constexpr size_t kBytes = 4 * kWidth;        /* bytes per vector */
constexpr size_t kParts = 16 / kWidth;       /* vectors per 16 virtual lanes */

/* ---- words that SIMDe has at every width ---- */

OMENDB_INLINE VecF
zero_f()
{
	return OMENDB_MM(setzero_ps)();
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

#if OMENDB_SIMD_WIDTH == 16

/* ---- 16 floats: AVX-512 F, BW, VL, DQ, VNNI ---- */

OMENDB_INLINE VecI
zero_i()
{
	return _mm512_setzero_si512();
}

OMENDB_INLINE VecI
load_i(const void *p)
{
	return _mm512_loadu_si512(p);
}

OMENDB_INLINE void
store_i(void *p, VecI v)
{
	_mm512_storeu_si512(p, v);
}

OMENDB_INLINE VecI
bits_of(VecF v)
{
	return _mm512_castps_si512(v);
}

OMENDB_INLINE VecF
clear_unless(VecF v, VecI mask)
{
	return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), mask));
}

OMENDB_INLINE VecI
low_nibbles(VecI v)
{
	return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

OMENDB_INLINE VecI
high_nibbles(VecI v)
{
	return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}

OMENDB_INLINE VecI
shift_right_8(VecI v)
{
	return _mm512_srli_epi32(v, 8);
}

OMENDB_INLINE VecF
abs(VecF v)
{
	return _mm512_abs_ps(v);
}

OMENDB_INLINE VecF
fma(VecF a, VecF b, VecF c)
{
	return _mm512_fmadd_ps(a, b, c);
}

OMENDB_INLINE VecF
load_f_partial(const float *p, size_t n)
{
	return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}

OMENDB_INLINE void
store_f_partial(float *p, VecF v, size_t n)
{
	_mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
}

OMENDB_INLINE VecI
load_bytes_partial(const int8_t *p, size_t n)
{
	return _mm512_maskz_loadu_epi8(_cvtu64_mask64((UINT64_C(1) << n) - 1), p);
}

OMENDB_INLINE VecF
to_float(VecI v)
{
	return _mm512_cvtepi32_ps(v);
}

OMENDB_INLINE VecI
floor_i(VecF v)
{
	return _mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

OMENDB_INLINE VecF
load_i8(const int8_t *p)
{
	const simde__m128i bytes = simde_mm_loadu_si128(p);
	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

OMENDB_INLINE VecF
load_f16(const uint16_t *p)
{
	return _mm512_cvtph_ps(simde_mm256_loadu_si256(p));
}

OMENDB_INLINE void
store_f16(uint16_t *p, VecF v)
{
	simde_mm256_storeu_si256(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

OMENDB_INLINE VecF
load_bf16(const uint16_t *p)
{
	const VecI wide = _mm512_cvtepu16_epi32(simde_mm256_loadu_si256(p));
	return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* The low byte of each of 16 integers. */
OMENDB_INLINE void
store_low_bytes(void *p, const VecI v[kParts])
{
	simde_mm_storeu_si128(p, _mm512_cvtepi32_epi8(v[0]));
}

OMENDB_INLINE uint32_t
less_mask(VecF a, VecF b)
{
	return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

/* Bit b of every lane. */
OMENDB_INLINE uint32_t
bit_mask(VecI v, uint32_t b)
{
	return _mm512_test_epi32_mask(v, _mm512_set1_epi32(1 << b));
}

/* +0.5 where v >= 0, else -0.5; *mask has the former's lanes. */
OMENDB_INLINE VecF
half_sign(VecF v, uint32_t *mask)
{
	const __mmask16 m = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GE_OQ);
	*mask = m;
	return _mm512_mask_blend_ps(m, _mm512_set1_ps(-0.5f), _mm512_set1_ps(0.5f));
}

/* Flip the signs of the lanes whose bit is set. */
OMENDB_INLINE VecF
flip(VecF v, uint32_t bits)
{
	return _mm512_mask_xor_ps(v, static_cast<__mmask16>(bits), v, _mm512_set1_ps(-0.0f));
}

/* Lane i receives lane i ^ distance. */
template <int distance>
OMENDB_INLINE VecF
swap_lanes(VecF v)
{
	if constexpr (distance == 1)
		return _mm512_permute_ps(v, 0xB1);
	else if constexpr (distance == 2)
		return _mm512_permute_ps(v, 0x4E);
	else if constexpr (distance == 4)
		return _mm512_shuffle_f32x4(v, v, 0xB1);
	else
		return _mm512_shuffle_f32x4(v, v, 0x4E);
}

/* 8 lanes: i + (i + 8); then 4: i + (i + 4). */
OMENDB_INLINE simde__m128
fold_to_4(VecF v)
{
	const simde__m256 s = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
	return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

OMENDB_INLINE simde__m128i
fold_to_4(VecI v)
{
	const simde__m256i s =
		_mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
	return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

/*
 * VNNI multiplies unsigned by signed bytes: b enters as b + 128, so the sum
 * is 128 times the sum of a too large, which dot_i8_bias() collects.
 */
constexpr bool kDotBiased = true;

OMENDB_INLINE VecI
dot_i8_step(VecI sum, VecI a, VecI b)
{
	return _mm512_dpbusd_epi32(sum, _mm512_xor_si512(b, _mm512_set1_epi8(-128)), a);
}

OMENDB_INLINE VecI
dot_i8_bias(VecI bias, VecI a)
{
	return _mm512_dpbusd_epi32(bias, _mm512_set1_epi8(-128), a);
}

OMENDB_INLINE VecI
sub32(VecI a, VecI b)
{
	return _mm512_sub_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_lo32(VecI a, VecI b)
{
	return _mm512_unpacklo_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_hi32(VecI a, VecI b)
{
	return _mm512_unpackhi_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_lo64(VecI a, VecI b)
{
	return _mm512_unpacklo_epi64(a, b);
}

OMENDB_INLINE VecI
unpack_hi64(VecI a, VecI b)
{
	return _mm512_unpackhi_epi64(a, b);
}

/*
 * Four vectors of 16-bit sums a to d: add the four 16-byte rows of each, widen
 * the 8 sums of a, then of b, c, d, and add them to the 32 integers of total.
 */
OMENDB_INLINE void
add_rows(VecI total[32 / kWidth], VecI a, VecI b, VecI c, VecI d)
{
	const VecI ab =
		_mm512_add_epi16(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xEE));
	const VecI cd =
		_mm512_add_epi16(_mm512_shuffle_i32x4(c, d, 0x44), _mm512_shuffle_i32x4(c, d, 0xEE));
	const VecI all =
		_mm512_add_epi16(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xDD));
	total[0] = add32(total[0], _mm512_cvtepu16_epi32(_mm512_castsi512_si256(all)));
	total[1] = add32(total[1], _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(all, 1)));
}

#elif OMENDB_SIMD_WIDTH == 8

/* ---- 8 floats: AVX2, FMA, F16C ---- */

OMENDB_INLINE VecI
zero_i()
{
	return simde_mm256_setzero_si256();
}

OMENDB_INLINE VecI
load_i(const void *p)
{
	return simde_mm256_loadu_si256(p);
}

OMENDB_INLINE void
store_i(void *p, VecI v)
{
	simde_mm256_storeu_si256(p, v);
}

OMENDB_INLINE VecI
bits_of(VecF v)
{
	return simde_mm256_castps_si256(v);
}

OMENDB_INLINE VecF
clear_unless(VecF v, VecI mask)
{
	return simde_mm256_and_ps(v, simde_mm256_castsi256_ps(mask));
}

OMENDB_INLINE VecI
low_nibbles(VecI v)
{
	return simde_mm256_and_si256(v, simde_mm256_set1_epi8(15));
}

OMENDB_INLINE VecI
high_nibbles(VecI v)
{
	return simde_mm256_and_si256(simde_mm256_srli_epi16(v, 4), simde_mm256_set1_epi8(15));
}

OMENDB_INLINE VecI
shift_right_8(VecI v)
{
	return simde_mm256_srli_epi32(v, 8);
}

OMENDB_INLINE VecF
abs(VecF v)
{
	return simde_mm256_andnot_ps(simde_mm256_set1_ps(-0.0f), v);
}

OMENDB_INLINE VecF
fma(VecF a, VecF b, VecF c)
{
	return simde_mm256_fmadd_ps(a, b, c);
}

OMENDB_INLINE simde__m256i
first_lanes(size_t n)
{
	return simde_mm256_cmpgt_epi32(simde_mm256_set1_epi32(static_cast<int32_t>(n)),
								   simde_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

OMENDB_INLINE VecF
load_f_partial(const float *p, size_t n)
{
	return simde_mm256_maskload_ps(p, first_lanes(n));
}

OMENDB_INLINE void
store_f_partial(float *p, VecF v, size_t n)
{
	simde_mm256_maskstore_ps(p, first_lanes(n), v);
}

OMENDB_INLINE VecI
load_bytes_partial(const int8_t *p, size_t n)
{
	int8_t copy[kBytes] = {0};
	__builtin_memcpy(copy, p, n);
	return load_i(copy);
}

OMENDB_INLINE VecF
to_float(VecI v)
{
	return simde_mm256_cvtepi32_ps(v);
}

OMENDB_INLINE VecI
floor_i(VecF v)
{
	return simde_mm256_cvttps_epi32(simde_mm256_floor_ps(v));
}

OMENDB_INLINE VecF
load_i8(const int8_t *p)
{
	const simde__m128i bytes = simde_mm_loadl_epi64(reinterpret_cast<const simde__m128i *>(p));
	return simde_mm256_cvtepi32_ps(simde_mm256_cvtepi8_epi32(bytes));
}

OMENDB_INLINE VecF
load_f16(const uint16_t *p)
{
	return simde_mm256_cvtph_ps(simde_mm_loadu_si128(p));
}

OMENDB_INLINE void
store_f16(uint16_t *p, VecF v)
{
	simde_mm_storeu_si128(p, simde_mm256_cvtps_ph(v, SIMDE_MM_FROUND_TO_NEAREST_INT));
}

OMENDB_INLINE VecF
load_bf16(const uint16_t *p)
{
	const VecI wide = simde_mm256_cvtepu16_epi32(simde_mm_loadu_si128(p));
	return simde_mm256_castsi256_ps(simde_mm256_slli_epi32(wide, 16));
}

/* The low byte of each of 16 integers. */
OMENDB_INLINE void
store_low_bytes(void *p, const VecI v[kParts])
{
	const VecI low = simde_mm256_set1_epi32(255);
	const VecI words = simde_mm256_packus_epi32(simde_mm256_and_si256(v[0], low),
												simde_mm256_and_si256(v[1], low));
	const VecI in_order = simde_mm256_permute4x64_epi64(words, 0xD8);
	simde_mm_storeu_si128(p, simde_mm_packus_epi16(simde_mm256_castsi256_si128(in_order),
												   simde_mm256_extracti128_si256(in_order, 1)));
}

OMENDB_INLINE uint32_t
less_mask(VecF a, VecF b)
{
	const VecF m = simde_mm256_cmp_ps(a, b, SIMDE_CMP_LT_OQ);
	return static_cast<uint32_t>(simde_mm256_movemask_ps(m));
}

/* Bit b of every lane. */
OMENDB_INLINE uint32_t
bit_mask(VecI v, uint32_t b)
{
	const VecI top = simde_mm256_sll_epi32(v, simde_mm_cvtsi32_si128(static_cast<int32_t>(31 - b)));
	return static_cast<uint32_t>(simde_mm256_movemask_ps(simde_mm256_castsi256_ps(top)));
}

/* +0.5 where v >= 0, else -0.5; *mask has the former's lanes. */
OMENDB_INLINE VecF
half_sign(VecF v, uint32_t *mask)
{
	const VecF m = simde_mm256_cmp_ps(v, simde_mm256_setzero_ps(), SIMDE_CMP_GE_OQ);
	*mask = static_cast<uint32_t>(simde_mm256_movemask_ps(m));
	return simde_mm256_blendv_ps(simde_mm256_set1_ps(-0.5f), simde_mm256_set1_ps(0.5f), m);
}

/* Flip the signs of the lanes whose bit is set. */
OMENDB_INLINE VecF
flip(VecF v, uint32_t bits)
{
	const VecI top = simde_mm256_sllv_epi32(simde_mm256_set1_epi32(static_cast<int32_t>(bits)),
											simde_mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24));
	const VecF sign = simde_mm256_and_ps(simde_mm256_castsi256_ps(top), simde_mm256_set1_ps(-0.0f));
	return simde_mm256_xor_ps(v, sign);
}

/* Lane i receives lane i ^ distance. */
template <int distance>
OMENDB_INLINE VecF
swap_lanes(VecF v)
{
	if constexpr (distance == 1)
		return simde_mm256_permute_ps(v, 0xB1);
	else if constexpr (distance == 2)
		return simde_mm256_permute_ps(v, 0x4E);
	else
		return simde_mm256_permute2f128_ps(v, v, 1);
}

/* 4 lanes: i + (i + 4). */
OMENDB_INLINE simde__m128
fold_to_4(VecF v)
{
	return simde_mm_add_ps(simde_mm256_castps256_ps128(v), simde_mm256_extractf128_ps(v, 1));
}

OMENDB_INLINE simde__m128i
fold_to_4(VecI v)
{
	return simde_mm_add_epi32(simde_mm256_castsi256_si128(v), simde_mm256_extracti128_si256(v, 1));
}

constexpr bool kDotBiased = false;

/* |a| times b with a's sign: with inputs in [-127, 127] no pair sum saturates. */
OMENDB_INLINE VecI
dot_i8_step(VecI sum, VecI a, VecI b)
{
	const VecI pairs =
		simde_mm256_maddubs_epi16(simde_mm256_abs_epi8(a), simde_mm256_sign_epi8(b, a));
	return simde_mm256_add_epi32(sum, simde_mm256_madd_epi16(pairs, simde_mm256_set1_epi16(1)));
}

OMENDB_INLINE VecI
dot_i8_bias(VecI bias, VecI)
{
	return bias;
}

OMENDB_INLINE VecI
sub32(VecI a, VecI b)
{
	return simde_mm256_sub_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_lo32(VecI a, VecI b)
{
	return simde_mm256_unpacklo_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_hi32(VecI a, VecI b)
{
	return simde_mm256_unpackhi_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_lo64(VecI a, VecI b)
{
	return simde_mm256_unpacklo_epi64(a, b);
}

OMENDB_INLINE VecI
unpack_hi64(VecI a, VecI b)
{
	return simde_mm256_unpackhi_epi64(a, b);
}

/* As for 16 floats, with two rows a vector. */
OMENDB_INLINE void
add_rows(VecI total[32 / kWidth], VecI a, VecI b, VecI c, VecI d)
{
	const VecI ab = add16(simde_mm256_permute2x128_si256(a, b, 0x20),
						  simde_mm256_permute2x128_si256(a, b, 0x31));
	const VecI cd = add16(simde_mm256_permute2x128_si256(c, d, 0x20),
						  simde_mm256_permute2x128_si256(c, d, 0x31));
	total[0] = add32(total[0], simde_mm256_cvtepu16_epi32(simde_mm256_castsi256_si128(ab)));
	total[1] = add32(total[1], simde_mm256_cvtepu16_epi32(simde_mm256_extracti128_si256(ab, 1)));
	total[2] = add32(total[2], simde_mm256_cvtepu16_epi32(simde_mm256_castsi256_si128(cd)));
	total[3] = add32(total[3], simde_mm256_cvtepu16_epi32(simde_mm256_extracti128_si256(cd, 1)));
}

#else

/* ---- 4 floats: SSE2, or what SIMDe makes of it ---- */

OMENDB_INLINE VecI
zero_i()
{
	return simde_mm_setzero_si128();
}

OMENDB_INLINE VecI
load_i(const void *p)
{
	return simde_mm_loadu_si128(p);
}

OMENDB_INLINE void
store_i(void *p, VecI v)
{
	simde_mm_storeu_si128(p, v);
}

OMENDB_INLINE VecI
bits_of(VecF v)
{
	return simde_mm_castps_si128(v);
}

OMENDB_INLINE VecF
clear_unless(VecF v, VecI mask)
{
	return simde_mm_and_ps(v, simde_mm_castsi128_ps(mask));
}

OMENDB_INLINE VecI
low_nibbles(VecI v)
{
	return simde_mm_and_si128(v, simde_mm_set1_epi8(15));
}

OMENDB_INLINE VecI
high_nibbles(VecI v)
{
	return simde_mm_and_si128(simde_mm_srli_epi16(v, 4), simde_mm_set1_epi8(15));
}

OMENDB_INLINE VecI
shift_right_8(VecI v)
{
	return simde_mm_srli_epi32(v, 8);
}

OMENDB_INLINE VecF
abs(VecF v)
{
	return simde_mm_andnot_ps(simde_mm_set1_ps(-0.0f), v);
}

/* Only for distances: here it rounds twice. */
OMENDB_INLINE VecF
fma(VecF a, VecF b, VecF c)
{
#if defined(__aarch64__)
	return simde__m128_from_neon_f32(vfmaq_f32(
		simde__m128_to_neon_f32(c), simde__m128_to_neon_f32(a), simde__m128_to_neon_f32(b)));
#else
	return simde_mm_add_ps(simde_mm_mul_ps(a, b), c);
#endif
}

OMENDB_INLINE VecF
load_f_partial(const float *p, size_t n)
{
	float copy[kWidth] = {0};
	__builtin_memcpy(copy, p, n * sizeof(float));
	return load_f(copy);
}

OMENDB_INLINE void
store_f_partial(float *p, VecF v, size_t n)
{
	float copy[kWidth];
	store_f(copy, v);
	__builtin_memcpy(p, copy, n * sizeof(float));
}

OMENDB_INLINE VecI
load_bytes_partial(const int8_t *p, size_t n)
{
	int8_t copy[kBytes] = {0};
	__builtin_memcpy(copy, p, n);
	return load_i(copy);
}

OMENDB_INLINE VecF
to_float(VecI v)
{
	return simde_mm_cvtepi32_ps(v);
}

/* |v| < 2^31: truncate, and take one off where that went up. */
OMENDB_INLINE VecI
floor_i(VecF v)
{
	const VecI t = simde_mm_cvttps_epi32(v);
	const VecF above = simde_mm_cmpgt_ps(simde_mm_cvtepi32_ps(t), v);
	return simde_mm_add_epi32(t, simde_mm_castps_si128(above));
}

OMENDB_INLINE VecF
load_i8(const int8_t *p)
{
	int32_t four;
	__builtin_memcpy(&four, p, sizeof(four));
	VecI v = simde_mm_cvtsi32_si128(four);
	v = simde_mm_unpacklo_epi8(v, v);
	v = simde_mm_unpacklo_epi16(v, v);
	return simde_mm_cvtepi32_ps(simde_mm_srai_epi32(v, 24));
}

#if defined(__aarch64__)

OMENDB_INLINE VecF
load_f16(const uint16_t *p)
{
	float16x4_t h;
	__builtin_memcpy(&h, p, sizeof(h));
	return simde__m128_from_neon_f32(vcvt_f32_f16(h));
}

OMENDB_INLINE void
store_f16(uint16_t *p, VecF v)
{
	const float16x4_t h = vcvt_f16_f32(simde__m128_to_neon_f32(v));
	__builtin_memcpy(p, &h, sizeof(h));
}

#else

/* mask ? a : b */
OMENDB_INLINE VecI
select(VecI mask, VecI a, VecI b)
{
	return simde_mm_or_si128(simde_mm_and_si128(mask, a), simde_mm_andnot_si128(mask, b));
}

/* No step meets a denormal float, so the control word's FTZ and DAZ do not matter. */
OMENDB_INLINE VecF
load_f16(const uint16_t *p)
{
	const VecI h = simde_mm_unpacklo_epi16(
		simde_mm_loadl_epi64(reinterpret_cast<const simde__m128i *>(p)), simde_mm_setzero_si128());
	const VecI magnitude = simde_mm_and_si128(h, set_i(0x7FFF));
	const VecI sign = simde_mm_slli_epi32(simde_mm_xor_si128(h, magnitude), 16);
	const VecI shifted = simde_mm_slli_epi32(magnitude, 13);

	const VecI normal = simde_mm_add_epi32(shifted, set_i(112 << 23));
	const VecI tiny = simde_mm_castps_si128(
		simde_mm_sub_ps(simde_mm_castsi128_ps(simde_mm_add_epi32(shifted, set_i(113 << 23))),
						simde_mm_castsi128_ps(set_i(113 << 23))));
	const VecI special = simde_mm_or_si128(shifted, set_i(0x7F800000));
	const VecI quiet =
		simde_mm_and_si128(simde_mm_cmpgt_epi32(magnitude, set_i(0x7C00)), set_i(0x400000));

	VecI r = select(simde_mm_cmplt_epi32(magnitude, set_i(0x0400)), tiny, normal);
	r = select(simde_mm_cmpgt_epi32(magnitude, set_i(0x7BFF)), simde_mm_or_si128(special, quiet),
			   r);
	return simde_mm_castsi128_ps(simde_mm_or_si128(r, sign));
}

OMENDB_INLINE void
store_f16(uint16_t *p, VecF v)
{
	const VecI x = simde_mm_castps_si128(v);
	const VecI magnitude = simde_mm_and_si128(x, set_i(0x7FFFFFFF));
	const VecI sign = simde_mm_srai_epi32(simde_mm_xor_si128(x, magnitude), 16);

	/* Add half an ulp, or one bit less when the kept part is even; rebias. */
	const VecI odd = simde_mm_and_si128(simde_mm_srli_epi32(magnitude, 13), set_i(1));
	const VecI biased = simde_mm_add_epi32(magnitude, set_i(0xFFF - (112 << 23)));
	const VecI normal = simde_mm_srli_epi32(simde_mm_add_epi32(biased, odd), 13);

	/* Adding 0.5 aligns a half denormal's last place with the float's. */
	const VecI half = set_i(126 << 23);
	const VecI tiny =
		simde_mm_sub_epi32(simde_mm_castps_si128(simde_mm_add_ps(simde_mm_castsi128_ps(magnitude),
																 simde_mm_castsi128_ps(half))),
						   half);

	/* A NaN keeps the top of its payload and becomes quiet, as F16C does it. */
	const VecI payload = simde_mm_or_si128(
		simde_mm_and_si128(simde_mm_srli_epi32(magnitude, 13), set_i(0x3FF)), set_i(0x200));
	const VecI is_nan = simde_mm_cmpgt_epi32(magnitude, set_i(0x7F800000));
	const VecI special = simde_mm_or_si128(set_i(0x7C00), simde_mm_and_si128(is_nan, payload));

	VecI r = select(simde_mm_cmplt_epi32(magnitude, set_i(113 << 23)), tiny, normal);
	r = select(simde_mm_cmpgt_epi32(magnitude, set_i((143 << 23) - 1)), special, r);
	r = simde_mm_or_si128(r, sign);
	simde_mm_storel_epi64(reinterpret_cast<simde__m128i *>(p), simde_mm_packs_epi32(r, r));
}

#endif

OMENDB_INLINE VecF
load_bf16(const uint16_t *p)
{
	return simde_mm_castsi128_ps(simde_mm_unpacklo_epi16(
		simde_mm_setzero_si128(), simde_mm_loadl_epi64(reinterpret_cast<const simde__m128i *>(p))));
}

/* The low byte of each of 16 integers. */
OMENDB_INLINE void
store_low_bytes(void *p, const VecI v[kParts])
{
	const VecI low = set_i(255);
	const VecI a =
		simde_mm_packs_epi32(simde_mm_and_si128(v[0], low), simde_mm_and_si128(v[1], low));
	const VecI b =
		simde_mm_packs_epi32(simde_mm_and_si128(v[2], low), simde_mm_and_si128(v[3], low));
	simde_mm_storeu_si128(p, simde_mm_packus_epi16(a, b));
}

OMENDB_INLINE uint32_t
less_mask(VecF a, VecF b)
{
	return static_cast<uint32_t>(simde_mm_movemask_ps(simde_mm_cmplt_ps(a, b)));
}

/* Bit b of every lane. */
OMENDB_INLINE uint32_t
bit_mask(VecI v, uint32_t b)
{
	const VecI top = simde_mm_sll_epi32(v, simde_mm_cvtsi32_si128(static_cast<int32_t>(31 - b)));
	return static_cast<uint32_t>(simde_mm_movemask_ps(simde_mm_castsi128_ps(top)));
}

/* +0.5 where v >= 0, else -0.5; *mask has the former's lanes. */
OMENDB_INLINE VecF
half_sign(VecF v, uint32_t *mask)
{
	const VecF m = simde_mm_cmpge_ps(v, simde_mm_setzero_ps());
	*mask = static_cast<uint32_t>(simde_mm_movemask_ps(m));
	return simde_mm_or_ps(simde_mm_set1_ps(0.5f), simde_mm_andnot_ps(m, simde_mm_set1_ps(-0.0f)));
}

/* Flip the signs of the lanes whose bit is set. */
OMENDB_INLINE VecF
flip(VecF v, uint32_t bits)
{
	const VecI lane = simde_mm_setr_epi32(1, 2, 4, 8);
	const VecI set =
		simde_mm_cmpeq_epi32(simde_mm_and_si128(set_i(static_cast<int32_t>(bits)), lane), lane);
	return simde_mm_xor_ps(v, simde_mm_and_ps(simde_mm_castsi128_ps(set), simde_mm_set1_ps(-0.0f)));
}

/* Lane i receives lane i ^ distance. */
template <int distance>
OMENDB_INLINE VecF
swap_lanes(VecF v)
{
	if constexpr (distance == 1)
		return simde_mm_shuffle_ps(v, v, 0xB1);
	else
		return simde_mm_shuffle_ps(v, v, 0x4E);
}

OMENDB_INLINE simde__m128
fold_to_4(VecF v)
{
	return v;
}

OMENDB_INLINE simde__m128i
fold_to_4(VecI v)
{
	return v;
}

constexpr bool kDotBiased = false;

OMENDB_INLINE VecI
dot_i8_step(VecI sum, VecI a, VecI b)
{
#if defined(__aarch64__)
	const int8x16_t x = simde__m128i_to_neon_i8(a);
	const int8x16_t y = simde__m128i_to_neon_i8(b);
	int32x4_t s = simde__m128i_to_neon_i32(sum);
	s = vpadalq_s16(s, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
	s = vpadalq_s16(s, vmull_high_s8(x, y));
	return simde__m128i_from_neon_i32(s);
#else
	const VecI a_lo = simde_mm_srai_epi16(simde_mm_unpacklo_epi8(a, a), 8);
	const VecI a_hi = simde_mm_srai_epi16(simde_mm_unpackhi_epi8(a, a), 8);
	const VecI b_lo = simde_mm_srai_epi16(simde_mm_unpacklo_epi8(b, b), 8);
	const VecI b_hi = simde_mm_srai_epi16(simde_mm_unpackhi_epi8(b, b), 8);
	return simde_mm_add_epi32(
		sum, simde_mm_add_epi32(simde_mm_madd_epi16(a_lo, b_lo), simde_mm_madd_epi16(a_hi, b_hi)));
#endif
}

OMENDB_INLINE VecI
dot_i8_bias(VecI bias, VecI)
{
	return bias;
}

OMENDB_INLINE VecI
sub32(VecI a, VecI b)
{
	return simde_mm_sub_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_lo32(VecI a, VecI b)
{
	return simde_mm_unpacklo_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_hi32(VecI a, VecI b)
{
	return simde_mm_unpackhi_epi32(a, b);
}

OMENDB_INLINE VecI
unpack_lo64(VecI a, VecI b)
{
	return simde_mm_unpacklo_epi64(a, b);
}

OMENDB_INLINE VecI
unpack_hi64(VecI a, VecI b)
{
	return simde_mm_unpackhi_epi64(a, b);
}

/* As for 16 floats, with one row a vector. */
OMENDB_INLINE void
add_rows(VecI total[32 / kWidth], VecI a, VecI b, VecI c, VecI d)
{
	const VecI rows[4] = {a, b, c, d};

	for (size_t i = 0; i < 4; i++)
	{
		total[2 * i] = add32(total[2 * i], simde_mm_unpacklo_epi16(rows[i], zero_i()));
		total[2 * i + 1] = add32(total[2 * i + 1], simde_mm_unpackhi_epi16(rows[i], zero_i()));
	}
}

#endif

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
