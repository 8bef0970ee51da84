/*
 * simde_gaps_4.h - words for 4 floats a vector: SSE2, or what SIMDe makes of
 * it, and native NEON where that is better.
 *
 * REQUIRES: included by simde_gaps.h and by nobody else.
 */
#ifndef OMENDB_SIMD_SIMDE_GAPS_4_H
#define OMENDB_SIMD_SIMDE_GAPS_4_H

namespace omendb::simd::OMENDB_SIMD_ISA
{

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

/* Bits set in each 64-bit lane. Without a byte shuffle: of pairs, of fours, of bytes. */
OMENDB_INLINE VecI
count_bits(VecI v)
{
#if defined(__aarch64__)
	v = simde__m128i_from_neon_u8(vcntq_u8(simde__m128i_to_neon_u8(v)));
#else
	const VecI pairs = simde_mm_set1_epi8(0x55), fours = simde_mm_set1_epi8(0x33);

	v = simde_mm_sub_epi8(v, simde_mm_and_si128(simde_mm_srli_epi16(v, 1), pairs));
	v = simde_mm_add_epi8(simde_mm_and_si128(v, fours),
						  simde_mm_and_si128(simde_mm_srli_epi16(v, 2), fours));
	v = low_nibbles(simde_mm_add_epi8(v, simde_mm_srli_epi16(v, 4)));
#endif
	return simde_mm_sad_epu8(v, zero_i());
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

/* As many floats as there are doubles a vector. */
OMENDB_INLINE VecD
load_d(const float *p)
{
	return simde_mm_cvtps_pd(
		simde_mm_castsi128_ps(simde_mm_loadl_epi64(reinterpret_cast<const simde__m128i *>(p))));
}

/* The first n, 0 < n < kWidth / 2, then zeros. */
OMENDB_INLINE VecD
load_d_partial(const float *p, size_t)
{
	/* Not by a load of one float, which must be aligned. */
	float first;

	__builtin_memcpy(&first, p, sizeof(first));
	return simde_mm_cvtps_pd(simde_mm_set_ss(first));
}

/* sum + x^2, where the square is exact. */
OMENDB_INLINE VecD
add_square(VecD sum, VecD x)
{
	return simde_mm_add_pd(sum, simde_mm_mul_pd(x, x));
}

OMENDB_INLINE simde__m128d
fold_to_2(VecD v)
{
	return v;
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

/* As in simde_gaps_16.h, with one row a vector. */
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

/* As in simde_gaps_8.h; few registers, so few rows. */
typedef int16_t TileElement;
constexpr size_t kTileDims = 2;
constexpr size_t kTileSums = 2, kTilePanels = 4;

/* 8 dimensions of row 0, as words. */
OMENDB_INLINE VecI
tile_rows(const int8_t *const *rows, size_t i)
{
	const VecI v = simde_mm_loadl_epi64(reinterpret_cast<const simde__m128i *>(rows[0] + i));

	return simde_mm_srai_epi16(simde_mm_unpacklo_epi8(v, v), 8);
}

OMENDB_INLINE const TileElement *
tile_words(const int8_t *row, size_t n, TileElement *words)
{
	for (size_t i = 0; i < n; i += 8)
	{
		const int8_t *const rows[1] = {row};

		store_i(words + i, tile_rows(rows, i));
	}
	return words;
}

/* One word in every lane. */
OMENDB_INLINE VecI
tile_word(const TileElement *p)
{
	int32_t word;

	__builtin_memcpy(&word, p, sizeof(word));
	return set_i(word);
}

OMENDB_INLINE VecI
tile_step(VecI sum, VecI column, VecI word)
{
	return simde_mm_add_epi32(sum, simde_mm_madd_epi16(column, word));
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
	return simde_mm_and_si128(simde_mm_cmpeq_epi8(v, set_u8(key)), set_u8(value));
}

/* Bits of a where the mask's are set, else of b. */
OMENDB_INLINE VecI
blend(VecI mask, VecI a, VecI b)
{
	return simde_mm_or_si128(simde_mm_and_si128(mask, a), simde_mm_andnot_si128(mask, b));
}

OMENDB_INLINE VecF
floats_of(VecI v)
{
	return simde_mm_castsi128_ps(v);
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
