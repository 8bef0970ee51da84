/*
 * bits-inl.h - distances between strings of bits. Exact.
 *
 * Counts are kept in 64-bit lanes; no string has 2^31 bits, so that their low
 * halves are enough in the end.
 */
#ifndef OMENDB_SIMD_BITS_INL_H
#define OMENDB_SIMD_BITS_INL_H

#include "simd/common-inl.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

OMENDB_INLINE VecI
load_bits(const uint8_t *p, size_t n)
{
	return n >= kBytes ? load_i(p) : load_bytes_partial(reinterpret_cast<const int8_t *>(p), n);
}

static uint32_t
hamming(const uint8_t *a, const uint8_t *b, size_t n)
{
	VecI s0 = zero_i(), s1 = zero_i();
	size_t i = 0;

	for (; i + 2 * kBytes <= n; i += 2 * kBytes)
	{
		s0 = add64(s0, count_bits(xor_i(load_i(a + i), load_i(b + i))));
		s1 = add64(s1, count_bits(xor_i(load_i(a + i + kBytes), load_i(b + i + kBytes))));
	}
	for (; i < n; i += kBytes)
		s0 = add64(s0, count_bits(xor_i(load_bits(a + i, n - i), load_bits(b + i, n - i))));
	return static_cast<uint32_t>(sum_lanes(add64(s0, s1)));
}

static void
jaccard(const uint8_t *a, const uint8_t *b, size_t n, uint32_t out[2])
{
	VecI both = zero_i(), either = zero_i();

	for (size_t i = 0; i < n; i += kBytes)
	{
		const VecI x = load_bits(a + i, n - i), y = load_bits(b + i, n - i);

		both = add64(both, count_bits(and_i(x, y)));
		either = add64(either, count_bits(or_i(x, y)));
	}
	out[0] = static_cast<uint32_t>(sum_lanes(both));
	out[1] = static_cast<uint32_t>(sum_lanes(either));
}

#if OMENDB_SIMD_WIDTH == 16

/*
 * The same with VPOPCNTDQ, which a CPU with the other parts of AVX-512 may lack:
 * a second table has these.
 */
#define OMENDB_VPOPCNTDQ __attribute__((target("avx512vpopcntdq")))

OMENDB_VPOPCNTDQ static uint32_t
hamming_vpopcntdq(const uint8_t *a, const uint8_t *b, size_t n)
{
	VecI s0 = zero_i(), s1 = zero_i();
	size_t i = 0;

	for (; i + 2 * kBytes <= n; i += 2 * kBytes)
	{
		const VecI x = xor_i(load_i(a + i), load_i(b + i));
		const VecI y = xor_i(load_i(a + i + kBytes), load_i(b + i + kBytes));

		s0 = add64(s0, _mm512_popcnt_epi64(x));
		s1 = add64(s1, _mm512_popcnt_epi64(y));
	}
	for (; i < n; i += kBytes)
	{
		const VecI x = xor_i(load_bits(a + i, n - i), load_bits(b + i, n - i));

		s0 = add64(s0, _mm512_popcnt_epi64(x));
	}
	return static_cast<uint32_t>(sum_lanes(add64(s0, s1)));
}

OMENDB_VPOPCNTDQ static void
jaccard_vpopcntdq(const uint8_t *a, const uint8_t *b, size_t n, uint32_t out[2])
{
	VecI both = zero_i(), either = zero_i();

	for (size_t i = 0; i < n; i += kBytes)
	{
		const VecI x = load_bits(a + i, n - i), y = load_bits(b + i, n - i);

		both = add64(both, _mm512_popcnt_epi64(and_i(x, y)));
		either = add64(either, _mm512_popcnt_epi64(or_i(x, y)));
	}
	out[0] = static_cast<uint32_t>(sum_lanes(both));
	out[1] = static_cast<uint32_t>(sum_lanes(either));
}

#endif

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
