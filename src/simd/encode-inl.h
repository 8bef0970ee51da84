/*
 * encode-inl.h - RaBitQ codes of a residual, and their sums. Bit-identical.
 */
#ifndef OMENDB_SIMD_ENCODE_INL_H
#define OMENDB_SIMD_ENCODE_INL_H

#include "simd/common-inl.h"
#include "simd/kernels.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

struct ResidualSums
{
	VecF n2[kParts], z_dot_r[kParts], z_dot_c[kParts];

	OMENDB_INLINE_MEMBER void
	clear()
	{
		for (size_t p = 0; p < kParts; p++)
			n2[p] = z_dot_r[p] = z_dot_c[p] = zero_f();
	}

	OMENDB_INLINE_MEMBER void
	add_square(size_t p, VecF r)
	{
		n2[p] = add(n2[p], mul(r, r));
	}

	OMENDB_INLINE_MEMBER void
	add_level(size_t p, VecF z, VecF r, VecF c)
	{
		z_dot_r[p] = add(z_dot_r[p], mul(z, r));
		z_dot_c[p] = add(z_dot_c[p], mul(z, c));
	}

	OMENDB_INLINE_MEMBER void
	add_squares(const float *o, const float *c, size_t from, size_t to)
	{
		for (size_t i = from; i < to; i += 16)
			for (size_t p = 0; p < kParts; p++)
			{
				const size_t j = i + p * kWidth;

				add_square(p, sub(load_f(o + j), load_f(c + j)));
			}
	}
};

OMENDB_INLINE void
store_16_bits(uint8_t *p, uint32_t bits)
{
	p[0] = static_cast<uint8_t>(bits);
	p[1] = static_cast<uint8_t>(bits >> 8);
}

/* bits = 1: everything in one pass. */
OMENDB_INLINE void
encode_signs(const float *o, const float *c, size_t code_n, uint8_t *plane, ResidualSums *sums)
{
	for (size_t i = 0; i < code_n; i += 16)
	{
		uint32_t bits = 0;

		for (size_t p = 0; p < kParts; p++)
		{
			const VecF center = load_f(c + i + p * kWidth);
			const VecF r = sub(load_f(o + i + p * kWidth), center);
			uint32_t mask;
			const VecF z = half_sign(r, &mask);

			bits |= mask << (p * kWidth);
			sums->add_square(p, r);
			sums->add_level(p, z, r, center);
		}
		store_16_bits(plane + i / 8, bits);
	}
}

/* How residuals are cut into levels; see Max's uniform quantiser (research 1.7). */
struct Levels
{
	float step;    /* 1 when every residual goes to the level above 0 */
	VecI keep;     /* all ones, or zeros in that case */
	float lowest;  /* -2^(bits-1) */
	uint32_t bits; /* 2 to 4 */
};

OMENDB_INLINE Levels
levels_for(float n2, size_t n, uint32_t bits)
{
	const float k = bits == 2 ? 0.996f : bits == 3 ? 0.586f : 0.335f;
	const float step = k * square_root(n2) / square_root(static_cast<float>(n));
	const bool usable = step > 0.0f && step <= 3.40282347e38f;
	const float lowest = -static_cast<float>(1u << (bits - 1));

	return Levels{usable ? step : 1.0f, set_i(usable ? -1 : 0), lowest, bits};
}

/*
 * The level floor(r / step), clamped; *z is its middle in units of step.
 * Returns u. The clamp comes first: its bounds are integers, so that is the
 * same, and the conversion to integer stays in range.
 */
OMENDB_INLINE VecI
quantize_level(const Levels &levels, VecF r, VecF *z)
{
	VecF x = clear_unless(div(r, set_f(levels.step)), levels.keep);

	x = min(max(x, set_f(levels.lowest)), set_f(-levels.lowest - 1.0f));
	const VecI level = floor_i(x);
	*z = add(to_float(level), set_f(0.5f));
	return add32(level, set_i(static_cast<int32_t>(-levels.lowest)));
}

OMENDB_INLINE void
encode_levels(const float *o, const float *c, size_t code_n, const Levels &levels, uint8_t *planes,
			  ResidualSums *sums)
{
	for (size_t i = 0; i < code_n; i += 16)
	{
		uint32_t bits[4] = {0, 0, 0, 0};

		for (size_t p = 0; p < kParts; p++)
		{
			const VecF center = load_f(c + i + p * kWidth);
			const VecF r = sub(load_f(o + i + p * kWidth), center);
			VecF z;
			const VecI u = quantize_level(levels, r, &z);

			for (uint32_t b = 0; b < 4; b++)
				bits[b] |= bit_mask(u, b) << (p * kWidth);
			sums->add_level(p, z, r, center);
		}
		for (uint32_t b = 0; b < levels.bits; b++)
			store_16_bits(planes + b * (code_n / 8) + i / 8, bits[b]);
	}
}

static void
encode_residual(const float *o, const float *c, size_t n, size_t code_n, uint32_t bits,
				uint8_t *planes, OmendbResidualSums *out)
{
	ResidualSums sums;

	sums.clear();
	if (bits == 1)
	{
		encode_signs(o, c, code_n, planes, &sums);
		sums.add_squares(o, c, code_n, n);
		out->n2 = sum_virtual_lanes(sums.n2);
	}
	else
	{
		sums.add_squares(o, c, 0, n);
		out->n2 = sum_virtual_lanes(sums.n2);
		encode_levels(o, c, code_n, levels_for(out->n2, n, bits), planes, &sums);
	}
	out->z_dot_r = sum_virtual_lanes(sums.z_dot_r);
	out->z_dot_c = sum_virtual_lanes(sums.z_dot_c);
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
