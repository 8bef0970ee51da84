/*
 * simde_gaps_16.h - words for 16 floats a vector: AVX-512 F, BW, VL, DQ, VNNI.
 *
 * Native intrinsics: SIMDe 0.7.4 lacks many of these. REQUIRES: included by
 * simde_gaps.h and by nobody else.
 */
#ifndef OMENDB_SIMD_SIMDE_GAPS_16_H
#define OMENDB_SIMD_SIMDE_GAPS_16_H

namespace omendb::simd::OMENDB_SIMD_ISA
{

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

/* Bits set in each 64-bit lane. */
OMENDB_INLINE VecI
count_bits(VecI v)
{
	const VecI counts =
		_mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
	const VecI bytes =
		_mm512_add_epi8(lookup(counts, low_nibbles(v)), lookup(counts, high_nibbles(v)));

	return _mm512_sad_epu8(bytes, zero_i());
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

/* As in simde_gaps_4.h. */
OMENDB_INLINE VecD
load_d(const float *p)
{
	return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

OMENDB_INLINE VecD
load_d_partial(const float *p, size_t n)
{
	return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(static_cast<__mmask8>((1u << n) - 1), p));
}

OMENDB_INLINE VecD
add_square(VecD sum, VecD x)
{
	return _mm512_fmadd_pd(x, x, sum);
}

OMENDB_INLINE simde__m128d
fold_to_2(VecD v)
{
	const simde__m256d s = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
	return _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
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

/*
 * A word of a tile is four dimensions of a row, biased for VNNI; of the other
 * row they are taken as they are.
 */
typedef int8_t TileElement;
constexpr size_t kTileDims = 4;
constexpr size_t kTileSums = 6, kTilePanels = 4;

/* 16 dimensions of rows 0, 4, 8 and 12, as words. */
OMENDB_INLINE VecI
tile_rows(const int8_t *const *rows, size_t i)
{
	VecI v = _mm512_castsi128_si512(simde_mm_loadu_si128(rows[0] + i));

	v = _mm512_inserti32x4(v, simde_mm_loadu_si128(rows[4] + i), 1);
	v = _mm512_inserti32x4(v, simde_mm_loadu_si128(rows[8] + i), 2);
	v = _mm512_inserti32x4(v, simde_mm_loadu_si128(rows[12] + i), 3);
	return _mm512_xor_si512(v, _mm512_set1_epi8(-128));
}

OMENDB_INLINE const TileElement *
tile_words(const int8_t *row, size_t, TileElement *)
{
	return row;
}

/* One word in every lane. */
OMENDB_INLINE VecI
tile_word(const TileElement *p)
{
	int32_t word;

	__builtin_memcpy(&word, p, sizeof(word));
	return _mm512_set1_epi32(word);
}

OMENDB_INLINE VecI
tile_step(VecI sum, VecI column, VecI word)
{
	return _mm512_dpbusd_epi32(sum, column, word);
}

/*
 * The lanes of `values` in mask, and their numbers from `first` on, packed to
 * the front; whatever lies behind them in 16 places is overwritten.
 */
OMENDB_INLINE size_t
compress(VecF values, size_t first, uint32_t mask, float *out, uint16_t *numbers)
{
	const __mmask16 m = static_cast<__mmask16>(mask);
	const VecI lanes =
		_mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
						 _mm512_set1_epi32(static_cast<int32_t>(first)));

	_mm512_storeu_ps(out, _mm512_maskz_compress_ps(m, values));
	simde_mm256_storeu_si256(numbers, _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(m, lanes)));
	return static_cast<size_t>(__builtin_popcount(mask));
}

/* `value` in the bytes that are `key`, else 0. */
OMENDB_INLINE VecI
mark_bytes(VecI v, uint8_t key, uint8_t value)
{
	return _mm512_maskz_mov_epi8(_mm512_cmpeq_epi8_mask(v, set_u8(key)), set_u8(value));
}

/* Bits of a where the mask's are set, else of b. */
OMENDB_INLINE VecI
blend(VecI mask, VecI a, VecI b)
{
	return _mm512_ternarylogic_epi32(mask, a, b, 0xCA);
}

OMENDB_INLINE VecF
floats_of(VecI v)
{
	return _mm512_castsi512_ps(v);
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
