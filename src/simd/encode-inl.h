/*
 * encode-inl.h - RaBitQ codes of residuals, their sums, and their way into the
 * lanes of a FastScan block. Bit-identical.
 */
#ifndef OMENDB_SIMD_ENCODE_INL_H
#define OMENDB_SIMD_ENCODE_INL_H

#include "base/attributes.h"
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

	template <class Source>
	OMENDB_INLINE_MEMBER void
	add_squares(const Source o, const float *c, size_t from, size_t to)
	{
		for (size_t i = from; i < to; i += 16)
			for (size_t p = 0; p < kParts; p++)
			{
				const size_t j = i + p * kWidth;

				add_square(p, sub(o.load(j), load_f(c + j)));
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
template <class Source>
OMENDB_INLINE void
encode_signs(const Source o, const float *c, size_t n, size_t code_n, uint8_t *plane,
			 OmendbResidualSums *out)
{
	ResidualSums sums;

	sums.clear();
	for (size_t i = 0; i < code_n; i += 16)
	{
		uint32_t bits = 0;

		for (size_t p = 0; p < kParts; p++)
		{
			const VecF center = load_f(c + i + p * kWidth);
			const VecF r = sub(o.load(i + p * kWidth), center);
			uint32_t mask;
			const VecF z = half_sign(r, &mask);

			bits |= mask << (p * kWidth);
			sums.add_square(p, r);
			sums.add_level(p, z, r, center);
		}
		store_16_bits(plane + i / 8, bits);
	}
	sums.add_squares(o, c, code_n, n);
	out->n2 = sum_virtual_lanes(sums.n2);
	out->z_dot_r = sum_virtual_lanes(sums.z_dot_r);
	out->z_dot_c = sum_virtual_lanes(sums.z_dot_c);
}

/* How residuals are cut into levels; see Max's uniform quantiser (research 1.7). */
OMENDB_INLINE float
step_for(float n2, size_t n, uint32_t bits)
{
	const float k = bits == 2 ? 0.996f : bits == 3 ? 0.586f : 0.335f;

	return k * square_root(n2) / square_root(static_cast<float>(n));
}

/*
 * The level floor(r * inverse), clamped; *z is its middle in units of the step.
 * Returns u. The clamp comes first: its bounds are integers, so that is the
 * same, and the conversion to integer stays in range.
 */
template <uint32_t bits>
OMENDB_INLINE VecI
quantize_level(VecF r, VecF inverse, VecF *z)
{
	constexpr int32_t lowest = -(1 << (bits - 1));
	const VecF x = min(max(mul(r, inverse), set_f(lowest)), set_f(-lowest - 1));
	const VecI level = floor_i(x);

	*z = add(to_float(level), set_f(0.5f));
	return add32(level, set_i(-lowest));
}

/* bits > 1, the length known: inverse = 1 / step. */
template <uint32_t bits, class Source>
OMENDB_INLINE void
encode_levels(const Source o, const float *c, size_t code_n, float inverse, uint8_t *planes,
			  ResidualSums *sums)
{
	const size_t plane = code_n / 8;

	for (size_t i = 0; i < code_n; i += 16)
	{
		uint32_t masks[bits] = {0};

		for (size_t p = 0; p < kParts; p++)
		{
			const VecF center = load_f(c + i + p * kWidth);
			const VecF r = sub(o.load(i + p * kWidth), center);
			VecF z;
			const VecI u = quantize_level<bits>(r, set_f(inverse), &z);

			for (uint32_t b = 0; b < bits; b++)
				masks[b] |= bit_mask(u, b) << (p * kWidth);
			sums->add_level(p, z, r, center);
		}
		for (uint32_t b = 0; b < bits; b++)
			store_16_bits(planes + b * plane + i / 8, masks[b]);
	}
}

/* There is no step: every residual goes to the level above 0. */
template <class Source>
static void
encode_nothing(const Source o, const float *c, size_t code_n, uint32_t bits, uint8_t *planes,
			   ResidualSums *sums)
{
	const size_t plane = code_n / 8;

	__builtin_memset(planes, 0, (bits - 1) * plane);
	__builtin_memset(planes + (bits - 1) * plane, 0xFF, plane);
	for (size_t i = 0; i < code_n; i += 16)
		for (size_t p = 0; p < kParts; p++)
		{
			const VecF center = load_f(c + i + p * kWidth);

			sums->add_level(p, set_f(0.5f), sub(o.load(i + p * kWidth), center), center);
		}
}

/* ---- rows ---- */

struct FloatRows
{
	const void *const *rows;

	OMENDB_INLINE_MEMBER Floats
	operator[](size_t i) const
	{
		return Floats{static_cast<const float *>(rows[i])};
	}
};

struct HalfRows
{
	const void *const *rows;

	OMENDB_INLINE_MEMBER Halves
	operator[](size_t i) const
	{
		return Halves{static_cast<const uint16_t *>(rows[i])};
	}
};

struct ByteRows
{
	const void *const *rows;
	const float *scales;

	OMENDB_INLINE_MEMBER ScaledBytes
	operator[](size_t i) const
	{
		return ScaledBytes{Bytes{static_cast<const int8_t *>(rows[i])}, set_f(scales[i])};
	}
};

/*
 * The lengths of all rows come first: from a row's length to its step is a long
 * way, a root and two divisions, that the rows between go on behind.
 */
template <uint32_t bits, class Rows>
static void
encode_all(const Rows rows, size_t count, const float *c, size_t n, size_t code_n, uint8_t *planes,
		   size_t stride, OmendbResidualSums *out)
{
	if constexpr (bits == 1)
	{
		for (size_t i = 0; i < count; i++)
			encode_signs(rows[i], c, n, code_n, planes + i * stride, out + i);
		return;
	}
	for (size_t i = 0; i < count; i++)
	{
		ResidualSums sums;

		sums.clear();
		sums.add_squares(rows[i], c, 0, n);
		out[i].n2 = sum_virtual_lanes(sums.n2);
	}
	for (size_t i = 0; i < count; i++)
	{
		const float inverse = 1.0f / step_for(out[i].n2, n, bits);
		ResidualSums sums;

		sums.clear();
		if (inverse > 0.0f && inverse <= 3.40282347e38f)
			encode_levels<bits>(rows[i], c, code_n, inverse, planes + i * stride, &sums);
		else
			encode_nothing(rows[i], c, code_n, bits, planes + i * stride, &sums);
		out[i].z_dot_r = sum_virtual_lanes(sums.z_dot_r);
		out[i].z_dot_c = sum_virtual_lanes(sums.z_dot_c);
	}
}

template <class Rows>
OMENDB_INLINE void
encode_all(const Rows rows, size_t count, const float *c, size_t n, size_t code_n, uint32_t bits,
		   uint8_t *planes, size_t stride, OmendbResidualSums *sums)
{
	if (bits == 1)
		encode_all<1>(rows, count, c, n, code_n, planes, stride, sums);
	else if (bits == 2)
		encode_all<2>(rows, count, c, n, code_n, planes, stride, sums);
	else if (bits == 3)
		encode_all<3>(rows, count, c, n, code_n, planes, stride, sums);
	else
		encode_all<4>(rows, count, c, n, code_n, planes, stride, sums);
}

static void
encode_rows(OmendbElement element, const void *const *rows, const float *scales, size_t count,
			const float *c, size_t n, size_t code_n, uint32_t bits, uint8_t *planes, size_t stride,
			OmendbResidualSums *sums)
{
	if (element == OMENDB_INT8)
		encode_all(ByteRows{rows, scales}, count, c, n, code_n, bits, planes, stride, sums);
	else if (element == OMENDB_FLOAT16)
		encode_all(HalfRows{rows}, count, c, n, code_n, bits, planes, stride, sums);
	else
		encode_all(FloatRows{rows}, count, c, n, code_n, bits, planes, stride, sums);
}

static void
encode_residual(const float *o, const float *c, size_t n, size_t code_n, uint32_t bits,
				uint8_t *planes, OmendbResidualSums *sums)
{
	const void *const row = o;

	encode_all(FloatRows{&row}, 1, c, n, code_n, bits, planes, 0, sums);
}

/* ---- lanes ---- */

/*
 * Write one lane's nibbles, four columns at a time. A reader without a lock may
 * meet the others' bytes being written, with what they hold already.
 */
template <uint32_t shift>
OMENDB_TORN_WRITES_ARE_FINE static void
put_nibbles(uint8_t *codes, uint32_t byte, const uint8_t *plane, size_t bytes)
{
	const VecI own = mark_bytes(load_i(kByteOfColumn), static_cast<uint8_t>(byte), 15u << shift);

	for (size_t i = 0; i < bytes; i += 2)
	{
		uint32_t bits = plane[i] | static_cast<uint32_t>(plane[i + 1]) << 8;

		bits = (bits | bits << 8) & 0x00FF00FF;
		bits = ((bits | bits << 4) & 0x0F0F0F0F) << shift;

		const VecI nibbles = set_i(static_cast<int32_t>(bits));

		for (size_t k = 0; k < 64; k += kBytes, codes += kBytes)
			store_i(codes, blend(own, lookup(nibbles, load_i(kColumnOfByte + k)), load_i(codes)));
	}
}

/* Without a byte shuffle a byte at a time is as good. */
template <uint32_t shift>
OMENDB_TORN_WRITES_ARE_FINE static void
put_nibbles_singly(uint8_t *codes, uint32_t byte, const uint8_t *plane, size_t bytes)
{
	constexpr uint32_t kept = 0xF0 >> shift;

	codes += byte;
	for (size_t i = 0; i < bytes; i += 2, codes += 64)
	{
		/* Loads before stores: the compiler cannot know them to be apart. */
		const uint32_t bits = plane[i] | static_cast<uint32_t>(plane[i + 1]) << 8;
		const uint32_t c0 = codes[0] & kept, c1 = codes[16] & kept;
		const uint32_t c2 = codes[32] & kept, c3 = codes[48] & kept;

		codes[0] = static_cast<uint8_t>(c0 | (bits & 15) << shift);
		codes[16] = static_cast<uint8_t>(c1 | (bits >> 4 & 15) << shift);
		codes[32] = static_cast<uint8_t>(c2 | (bits >> 8 & 15) << shift);
		codes[48] = static_cast<uint8_t>(c3 | (bits >> 12 & 15) << shift);
	}
}

OMENDB_TORN_WRITES_ARE_FINE static void
put_lane(uint8_t *codes, uint32_t lane, const uint8_t *plane, size_t bytes)
{
	const uint32_t t = lane % 16;
	const uint32_t byte = t < 8 ? 2 * t : 2 * (t - 8) + 1;

	if constexpr (kWidth >= 8)
	{
		if (lane < 16)
			put_nibbles<0>(codes, byte, plane, bytes);
		else
			put_nibbles<4>(codes, byte, plane, bytes);
	}
	else
	{
		if (lane < 16)
			put_nibbles_singly<0>(codes, byte, plane, bytes);
		else
			put_nibbles_singly<4>(codes, byte, plane, bytes);
	}
}

/*
 * Eight bytes of 16 rows, transposed: out[i] has byte i of rows 0, 8, 1, 9, ...
 * First rows k and k + 8 byte by byte, then a matrix of 8 x 8 such pairs.
 */
OMENDB_INLINE void
transpose_16_rows(const uint8_t *rows, size_t stride, simde__m128i out[8])
{
	simde__m128i a[8], b[8];

#pragma GCC unroll 8
	for (size_t k = 0; k < 8; k++)
	{
		const void *first = rows + k * stride, *second = rows + (k + 8) * stride;

		a[k] =
			simde_mm_unpacklo_epi8(simde_mm_loadl_epi64(static_cast<const simde__m128i *>(first)),
								   simde_mm_loadl_epi64(static_cast<const simde__m128i *>(second)));
	}
#pragma GCC unroll 4
	for (size_t k = 0; k < 8; k += 2)
	{
		b[k] = simde_mm_unpacklo_epi16(a[k], a[k + 1]);
		b[k + 1] = simde_mm_unpackhi_epi16(a[k], a[k + 1]);
	}
#pragma GCC unroll 2
	for (size_t k = 0; k < 8; k += 4)
	{
		a[k] = simde_mm_unpacklo_epi32(b[k], b[k + 2]);
		a[k + 1] = simde_mm_unpackhi_epi32(b[k], b[k + 2]);
		a[k + 2] = simde_mm_unpacklo_epi32(b[k + 1], b[k + 3]);
		a[k + 3] = simde_mm_unpackhi_epi32(b[k + 1], b[k + 3]);
	}
#pragma GCC unroll 4
	for (size_t k = 0; k < 4; k++)
	{
		out[2 * k] = simde_mm_unpacklo_epi64(a[k], a[k + 4]);
		out[2 * k + 1] = simde_mm_unpackhi_epi64(a[k], a[k + 4]);
	}
}

static void
pack_lanes(const uint8_t *planes, size_t stride, size_t bytes, uint8_t *codes)
{
	const simde__m128i low = simde_mm_set1_epi8(15);

	for (size_t i = 0; i < bytes; i += 8)
	{
		const size_t left = bytes - i;
		simde__m128i a[8], b[8];

		transpose_16_rows(planes + i, stride, a);
		transpose_16_rows(planes + 16 * stride + i, stride, b);
#pragma GCC unroll 8
		for (size_t k = 0; k < 8; k++)
		{
			if (k >= left)
				break;
			const simde__m128i even =
				simde_mm_or_si128(simde_mm_and_si128(a[k], low),
								  simde_mm_andnot_si128(low, simde_mm_slli_epi16(b[k], 4)));
			const simde__m128i odd =
				simde_mm_or_si128(simde_mm_and_si128(simde_mm_srli_epi16(a[k], 4), low),
								  simde_mm_andnot_si128(low, b[k]));

			simde_mm_storeu_si128(codes, even);
			simde_mm_storeu_si128(codes + 16, odd);
			codes += 32;
		}
	}
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
