/*
 * rotate-inl.h - the seeded rotation: four rounds of signs, a Hadamard
 * transform and a butterfly. Bit-identical.
 */
#ifndef OMENDB_SIMD_ROTATE_INL_H
#define OMENDB_SIMD_ROTATE_INL_H

#include "simd/common-inl.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

/* The stage of the transform that combines lanes i and i + 2^s, s < 4. */
template <int s>
OMENDB_INLINE void
hadamard_stage(VecF v[kParts])
{
	constexpr size_t distance = size_t{1} << s;

	if constexpr (distance < kWidth)
	{
		/* x + y in the lower lane, y' - x' = x - y in the upper; the product is exact. */
		const VecF signs = load_f(kLaneSigns[s]);

		for (size_t p = 0; p < kParts; p++)
			v[p] = fma(v[p], signs, swap_lanes<distance>(v[p]));
	}
	else
	{
		constexpr size_t step = distance / kWidth;

		for (size_t p = 0; p < kParts; p++)
			if ((p & step) == 0)
			{
				const VecF x = v[p], y = v[p + step];

				v[p] = add(x, y);
				v[p + step] = sub(x, y);
			}
	}
}

/* Part p of the 16 coordinates at x, with the signs that the 16 bits say. */
OMENDB_INLINE VecF
load_flipped(const float *x, const uint8_t *signs, size_t p)
{
	uint32_t bits;

	if constexpr (kWidth == 16)
		bits = static_cast<uint32_t>(signs[0]) | static_cast<uint32_t>(signs[1]) << 8;
	else
		bits = static_cast<uint32_t>(signs[p * kWidth / 8]) >> (p * kWidth % 8);
	return flip(load_f(x + p * kWidth), bits);
}

OMENDB_INLINE void
flip_signs(float *x, size_t n, const uint8_t *signs)
{
	for (size_t i = 0; i < n; i += 16)
		for (size_t p = 0; p < kParts; p++)
			store_f(x + i + p * kWidth, load_flipped(x + i, signs + i / 8, p));
}

/* Flip, scale, and the stages within 16 coordinates. */
OMENDB_INLINE void
hadamard_narrow(float *x, size_t n, const uint8_t *signs, float scale)
{
	for (size_t i = 0; i < n; i += 16)
	{
		VecF v[kParts];

		for (size_t p = 0; p < kParts; p++)
			v[p] = mul(load_flipped(x + i, signs + i / 8, p), set_f(scale));
		hadamard_stage<0>(v);
		hadamard_stage<1>(v);
		hadamard_stage<2>(v);
		hadamard_stage<3>(v);
		for (size_t p = 0; p < kParts; p++)
			store_f(x + i + p * kWidth, v[p]);
	}
}

/* The stages h and 2h in one pass over memory. */
OMENDB_INLINE void
hadamard_two_stages(float *x, size_t n, size_t h)
{
	for (size_t i = 0; i < n; i += 4 * h)
		for (float *p = x + i; p < x + i + h; p += kWidth)
		{
			const VecF a = load_f(p), b = load_f(p + h);
			const VecF c = load_f(p + 2 * h), d = load_f(p + 3 * h);
			const VecF ab = add(a, b), a_b = sub(a, b);
			const VecF cd = add(c, d), c_d = sub(c, d);

			store_f(p, add(ab, cd));
			store_f(p + h, add(a_b, c_d));
			store_f(p + 2 * h, sub(ab, cd));
			store_f(p + 3 * h, sub(a_b, c_d));
		}
}

/* (x, y) -> ((x + y) * factor, (x - y) * factor) for x_i and x_(i + half). */
OMENDB_INLINE void
butterfly(float *x, size_t half, float factor)
{
	const VecF f = set_f(factor);
	size_t i = 0;

	for (; i + kWidth <= half; i += kWidth)
	{
		const VecF a = load_f(x + i), b = load_f(x + half + i);

		store_f(x + i, mul(add(a, b), f));
		store_f(x + half + i, mul(sub(a, b), f));
	}
	/* Half of a multiple of 16: eight may be left of a vector of 16. */
	if (i < half)
	{
		const size_t rest = half - i;
		const VecF a = load_f_partial(x + i, rest), b = load_f_partial(x + half + i, rest);

		store_f_partial(x + i, mul(add(a, b), f), rest);
		store_f_partial(x + half + i, mul(sub(a, b), f), rest);
	}
}

/* The stages 16, 32, ... of the transform of n = 2^k coordinates. */
OMENDB_INLINE void
hadamard_wide(float *x, size_t n)
{
	size_t h = 16;

	for (; 4 * h <= n; h *= 4)
		hadamard_two_stages(x, n, h);
	if (h < n)
		butterfly(x, h, 1.0f);
}

/*
 * The transform's factor 2^(-k/2) is applied before its first stage. The
 * butterflies leave out their 1 / sqrt(2); the last makes up for all four by
 * 1/4, which is exact.
 */
static void
rotate(float *x, size_t n, const uint8_t *signs)
{
	size_t power = 16;
	float scale = 0.25f;

	while (2 * power <= n)
		power *= 2;
	for (size_t p = power; p >= 64; p /= 4)
		scale *= 0.5f;
	if ((power & 0xAAAAAAAA) != 0) /* k odd */
		scale *= 0.70710678118654752440f;

	for (int round = 0; round < 4; round++)
	{
		const size_t start = round % 2 == 0 ? 0 : n - power;
		const size_t others = start == 0 ? power : 0;
		const uint8_t *flips = signs + static_cast<size_t>(round) * n / 8;

		hadamard_narrow(x + start, power, flips + start / 8, scale);
		flip_signs(x + others, n - power, flips + others / 8);
		hadamard_wide(x + start, power);
		if (power < n)
			butterfly(x, n / 2, round == 3 ? 0.25f : 1.0f);
	}
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
