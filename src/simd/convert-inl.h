/*
 * convert-inl.h - float32 to and from float16 and int8. Bit-identical.
 */
#ifndef OMENDB_SIMD_CONVERT_INL_H
#define OMENDB_SIMD_CONVERT_INL_H

#include "simd/common-inl.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

static void
f32_to_f16(const float *x, uint16_t *h, size_t n)
{
	size_t i = 0;

	for (; i + kWidth <= n; i += kWidth)
		store_f16(h + i, load_f(x + i));
	if (i < n)
	{
		uint16_t copy[kWidth];

		store_f16(copy, load_f_partial(x + i, n - i));
		__builtin_memcpy(h + i, copy, (n - i) * sizeof(uint16_t));
	}
}

template <class Source>
OMENDB_INLINE void
expand(const Source source, float *x, size_t n)
{
	size_t i = 0;

	for (; i + kWidth <= n; i += kWidth)
		store_f(x + i, source.load(i));
	if (i < n)
		store_f_partial(x + i, source.load_partial(i, n - i), n - i);
}

static void
f16_to_f32(const uint16_t *h, float *x, size_t n)
{
	expand(Halves{h}, x, n);
}

static void
i8_to_f32(const int8_t *c, float scale, float *x, size_t n)
{
	expand(ScaledBytes{Bytes{c}, set_f(scale)}, x, n);
}

/* 16 elements; clamped before rounding, which is the same as after. A NaN becomes -127. */
OMENDB_INLINE void
quantize_16(const float *x, VecF inverse, int8_t *c, VecI sums[kParts])
{
	VecI integers[kParts];

	for (size_t p = 0; p < kParts; p++)
	{
		VecF v = mul(load_f(x + p * kWidth), inverse);

		v = min(max(v, set_f(-127.0f)), set_f(127.0f));
		integers[p] = sub32(bits_of(add(v, set_f(kRounder))), set_i(kRounderBits));
		sums[p] = add32(sums[p], square_i(integers[p]));
	}
	store_low_bytes(c, integers);
}

static void
quantize_i8(const float *x, float inverse, int8_t *c, size_t n, int32_t *sumsq)
{
	const VecF factor = set_f(inverse);
	VecI sums[kParts];
	size_t i = 0;

	for (size_t p = 0; p < kParts; p++)
		sums[p] = zero_i();
	for (; i + 16 <= n; i += 16)
		quantize_16(x + i, factor, c + i, sums);
	if (i < n)
	{
		float rest[16] = {0};
		int8_t codes[16];

		__builtin_memcpy(rest, x + i, (n - i) * sizeof(float));
		quantize_16(rest, factor, codes, sums);
		__builtin_memcpy(c + i, codes, n - i);
	}
	for (size_t p = 1; p < kParts; p++)
		sums[0] = add32(sums[0], sums[p]);
	*sumsq = sum_lanes(sums[0]);
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
