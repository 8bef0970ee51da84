/*
 * simde_gaps_8.h - words for 8 floats a vector: AVX2, FMA, F16C.
 *
 * REQUIRES: included by simde_gaps.h and by nobody else.
 */
#ifndef OMENDB_SIMD_SIMDE_GAPS_8_H
#define OMENDB_SIMD_SIMDE_GAPS_8_H

namespace omendb::simd::OMENDB_SIMD_ISA
{

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

/* Bits set in each 64-bit lane. */
OMENDB_INLINE VecI
count_bits(VecI v)
{
	const VecI counts = simde_mm256_broadcastsi128_si256(
		simde_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
	const VecI bytes =
		simde_mm256_add_epi8(lookup(counts, low_nibbles(v)), lookup(counts, high_nibbles(v)));

	return simde_mm256_sad_epu8(bytes, zero_i());
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

/* As in simde_gaps_4.h. */
OMENDB_INLINE VecD
load_d(const float *p)
{
	return simde_mm256_cvtps_pd(simde_mm_loadu_ps(p));
}

OMENDB_INLINE VecD
load_d_partial(const float *p, size_t n)
{
	const simde__m128i first = simde_mm_cmpgt_epi32(simde_mm_set1_epi32(static_cast<int32_t>(n)),
													simde_mm_setr_epi32(0, 1, 2, 3));
	return simde_mm256_cvtps_pd(simde_mm_maskload_ps(p, first));
}

OMENDB_INLINE VecD
add_square(VecD sum, VecD x)
{
	return simde_mm256_fmadd_pd(x, x, sum);
}

OMENDB_INLINE simde__m128d
fold_to_2(VecD v)
{
	return simde_mm_add_pd(simde_mm256_castpd256_pd128(v), simde_mm256_extractf128_pd(v, 1));
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

/* As in simde_gaps_16.h, with two rows a vector. */
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

/*
 * A word of a tile is two dimensions of a row, widened: pairs of products of
 * bytes would saturate.
 */
typedef int16_t TileElement;
constexpr size_t kTileDims = 2;
constexpr size_t kTileSums = 6, kTilePanels = 2;

/* 8 dimensions of rows 0 and 4, as words. */
OMENDB_INLINE VecI
tile_rows(const int8_t *const *rows, size_t i)
{
	const simde__m128i low =
		simde_mm_loadl_epi64(reinterpret_cast<const simde__m128i *>(rows[0] + i));
	const simde__m128i high =
		simde_mm_loadl_epi64(reinterpret_cast<const simde__m128i *>(rows[4] + i));
	return simde_mm256_cvtepi8_epi16(simde_mm_unpacklo_epi64(low, high));
}

OMENDB_INLINE const TileElement *
tile_words(const int8_t *row, size_t n, TileElement *words)
{
	for (size_t i = 0; i < n; i += 16)
		store_i(words + i, simde_mm256_cvtepi8_epi16(simde_mm_loadu_si128(row + i)));
	return words;
}

/* One word in every lane. */
OMENDB_INLINE VecI
tile_word(const TileElement *p)
{
	int32_t word;

	__builtin_memcpy(&word, p, sizeof(word));
	return simde_mm256_set1_epi32(word);
}

OMENDB_INLINE VecI
tile_step(VecI sum, VecI column, VecI word)
{
	return simde_mm256_add_epi32(sum, simde_mm256_madd_epi16(column, word));
}

/* As in simde_gaps_16.h. */
OMENDB_INLINE size_t
compress(VecF values, size_t first, uint32_t mask, float *out, uint16_t *numbers)
{
	size_t count = 0;

	if (mask == 0)
		return 0;

	float lanes[kWidth];

	store_f(lanes, values);
	for (; mask != 0; mask &= mask - 1, count++)
	{
		const uint32_t i = static_cast<uint32_t>(__builtin_ctz(mask));

		const uint16_t number = static_cast<uint16_t>(first + i);

		__builtin_memcpy(out + count, lanes + i, sizeof(float));
		__builtin_memcpy(numbers + count, &number, sizeof(number));
	}
	return count;
}

/* `value` in the bytes that are `key`, else 0. */
OMENDB_INLINE VecI
mark_bytes(VecI v, uint8_t key, uint8_t value)
{
	return simde_mm256_and_si256(simde_mm256_cmpeq_epi8(v, set_u8(key)), set_u8(value));
}

/* Bits of a where the mask's are set, else of b. */
OMENDB_INLINE VecI
blend(VecI mask, VecI a, VecI b)
{
	return simde_mm256_or_si256(simde_mm256_and_si256(mask, a), simde_mm256_andnot_si256(mask, b));
}

OMENDB_INLINE VecF
floats_of(VecI v)
{
	return simde_mm256_castsi256_ps(v);
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
