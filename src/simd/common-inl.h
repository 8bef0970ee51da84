/*
 * common-inl.h - what several kernels share: sums of lanes, sources of
 * elements, constants.
 */
#ifndef OMENDB_SIMD_COMMON_INL_H
#define OMENDB_SIMD_COMMON_INL_H

#include "simd/simde_gaps.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

/* ---- scalars and sums of lanes ---- */

/* Memory access that assumes no alignment. */
OMENDB_INLINE float
load_one(const float *p)
{
	float x;
	__builtin_memcpy(&x, p, sizeof(x));
	return x;
}

OMENDB_INLINE float
square_root(float x)
{
	return simde_mm_cvtss_f32(simde_mm_sqrt_ps(simde_mm_set1_ps(x)));
}

/* The lanes of one vector: the upper half onto the lower, until one is left. */
OMENDB_INLINE float
sum_lanes(VecF v)
{
	const simde__m128 four = fold_to_4(v);
	const simde__m128 two = simde_mm_add_ps(four, simde_mm_movehl_ps(four, four));
	return simde_mm_cvtss_f32(simde_mm_add_ss(two, simde_mm_shuffle_ps(two, two, 1)));
}

/* 16 virtual lanes in the same order under every width. Bit-identical. */
OMENDB_INLINE float
sum_virtual_lanes(const VecF v[kParts])
{
	if constexpr (kParts == 1)
		return sum_lanes(v[0]);
	else if constexpr (kParts == 2)
		return sum_lanes(add(v[0], v[1]));
	else
		return sum_lanes(add(add(v[0], v[2]), add(v[1], v[3])));
}

/* The sums of the lanes of four vectors. */
OMENDB_INLINE simde__m128i
sum_lanes_of_four(const VecI v[4])
{
	const VecI ab = add32(unpack_lo32(v[0], v[1]), unpack_hi32(v[0], v[1]));
	const VecI cd = add32(unpack_lo32(v[2], v[3]), unpack_hi32(v[2], v[3]));
	return fold_to_4(add32(unpack_lo64(ab, cd), unpack_hi64(ab, cd)));
}

OMENDB_INLINE int32_t
sum_lanes(VecI v)
{
	const simde__m128i four = fold_to_4(v);
	const simde__m128i two = simde_mm_add_epi32(four, simde_mm_shuffle_epi32(four, 0x4E));
	return simde_mm_cvtsi128_si32(simde_mm_add_epi32(two, simde_mm_shuffle_epi32(two, 0xB1)));
}

/* ---- sources ---- */

/* load() gives kWidth elements as floats, load_partial() n, then zeros. */
struct Floats
{
	const float *p;

	OMENDB_INLINE_MEMBER VecF
	load(size_t i) const
	{
		return load_f(p + i);
	}

	OMENDB_INLINE_MEMBER VecF
	load_partial(size_t i, size_t n) const
	{
		return load_f_partial(p + i, n);
	}
};

struct Halves
{
	const uint16_t *p;

	OMENDB_INLINE_MEMBER VecF
	load(size_t i) const
	{
		return load_f16(p + i);
	}

	OMENDB_INLINE_MEMBER VecF
	load_partial(size_t i, size_t n) const
	{
		uint16_t copy[kWidth] = {0};
		__builtin_memcpy(copy, p + i, n * sizeof(uint16_t));
		return load_f16(copy);
	}
};

struct Bytes
{
	const int8_t *p;

	OMENDB_INLINE_MEMBER VecF
	load(size_t i) const
	{
		return load_i8(p + i);
	}

	OMENDB_INLINE_MEMBER VecF
	load_partial(size_t i, size_t n) const
	{
		int8_t copy[kWidth] = {0};
		__builtin_memcpy(copy, p + i, n);
		return load_i8(copy);
	}
};

/*
 * The product is rounded, so that the vector is the very one i8_to_f32 gives:
 * the residual stored beside a record was measured against that.
 */
struct ScaledBytes
{
	Bytes bytes;
	VecF scale;

	OMENDB_INLINE_MEMBER VecF
	load(size_t i) const
	{
		return mul(bytes.load(i), scale);
	}

	OMENDB_INLINE_MEMBER VecF
	load_partial(size_t i, size_t n) const
	{
		return mul(bytes.load_partial(i, n), scale);
	}
};

/* ---- constants ---- */

/*
 * 1.5 * 2^23: a float of magnitude below 2^22 added to it is rounded to an
 * integer, half to even, which then stands in the low bits of the sum.
 */
constexpr float kRounder = 12582912.0f;
constexpr int32_t kRounderBits = 0x4B400000;

/* Row s: -1 in the lanes with bit s set, else 1. */
static const float kLaneSigns[4][16] = {
	{1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
	{1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
	{1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
	{1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1},
};

/* For each of 64 bytes of codes its place in its column, and its column. */
static const uint8_t kByteOfColumn[64] = {
	0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 0,  1,  2,  3,  4,  5,
	6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
	12, 13, 14, 15, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
};
static const uint8_t kColumnOfByte[64] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
};

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
