/*
 * kernels-inl.h - the kernel bodies, once for all instruction sets.
 *
 * Included by kernels_<isa>.cpp, which defines OMENDB_SIMD_ISA and
 * OMENDB_SIMD_WIDTH; the words used here are those of simde_gaps.h. The result
 * is one table, omendb::simd::<isa>::kTable.
 *
 * Bodies marked "bit-identical" work on 16 virtual lanes (element i belongs to
 * lane i mod 16) in kParts vectors, add in one fixed order, and use fma() only
 * where the product is exact. The others are free to use the width.
 */
#ifndef OMENDB_SIMD_KERNELS_INL_H
#define OMENDB_SIMD_KERNELS_INL_H

#include "simd/kernels.h"
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

/* ---- distances ---- */

/* Sources: load() gives kWidth elements as floats, load_partial() n, then zeros. */
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

/* Terms: what is summed over pairs of elements; a Sum has kWidth lanes. */
struct OneSum
{
	typedef VecF Sum;

	static OMENDB_INLINE_MEMBER Sum
	none()
	{
		return zero_f();
	}

	static OMENDB_INLINE_MEMBER Sum
	merge(Sum a, Sum b)
	{
		return add(a, b);
	}
};

struct SquaredDifference : OneSum
{
	static OMENDB_INLINE_MEMBER Sum
	step(Sum sum, VecF a, VecF b)
	{
		const VecF d = sub(a, b);
		return fma(d, d, sum);
	}
};

struct AbsoluteDifference : OneSum
{
	static OMENDB_INLINE_MEMBER Sum
	step(Sum sum, VecF a, VecF b)
	{
		return add(sum, abs(sub(a, b)));
	}
};

struct Product : OneSum
{
	static OMENDB_INLINE_MEMBER Sum
	step(Sum sum, VecF a, VecF b)
	{
		return fma(a, b, sum);
	}
};

struct ThreeProducts
{
	struct Sum
	{
		VecF ab, aa, bb;
	};

	static OMENDB_INLINE_MEMBER Sum
	none()
	{
		return Sum{zero_f(), zero_f(), zero_f()};
	}

	static OMENDB_INLINE_MEMBER Sum
	merge(Sum x, Sum y)
	{
		return Sum{add(x.ab, y.ab), add(x.aa, y.aa), add(x.bb, y.bb)};
	}

	static OMENDB_INLINE_MEMBER Sum
	step(Sum sum, VecF a, VecF b)
	{
		return Sum{fma(a, b, sum.ab), fma(a, a, sum.aa), fma(b, b, sum.bb)};
	}
};

/*
 * Sum of Term over n elements. Four independent sums hide the latency of the
 * addition; with at least 16 lanes in all, no lane adds more than n / 16 + 1
 * terms, from which the bound in kernels.h follows. (Four variables and not an
 * array: GCC keeps an array in memory.)
 */
template <class Term, class A, class B>
OMENDB_INLINE typename Term::Sum
reduce(const A a, const B b, size_t n)
{
	constexpr size_t w = kWidth;
	typename Term::Sum s0 = Term::none(), s1 = s0, s2 = s0, s3 = s0;
	size_t i = 0;

	for (; i + 4 * w <= n; i += 4 * w)
	{
		s0 = Term::step(s0, a.load(i), b.load(i));
		s1 = Term::step(s1, a.load(i + w), b.load(i + w));
		s2 = Term::step(s2, a.load(i + 2 * w), b.load(i + 2 * w));
		s3 = Term::step(s3, a.load(i + 3 * w), b.load(i + 3 * w));
	}

	/* Each of the vectors left goes to a sum of its own. */
	if (i + w <= n)
	{
		s0 = Term::step(s0, a.load(i), b.load(i));
		i += w;
	}
	if (i + w <= n)
	{
		s1 = Term::step(s1, a.load(i), b.load(i));
		i += w;
	}
	if (i + w <= n)
	{
		s2 = Term::step(s2, a.load(i), b.load(i));
		i += w;
	}
	if (i < n)
		s3 = Term::step(s3, a.load_partial(i, n - i), b.load_partial(i, n - i));
	return Term::merge(Term::merge(s0, s1), Term::merge(s2, s3));
}

static float
l2_f32(const float *a, const float *b, size_t n)
{
	return sum_lanes(reduce<SquaredDifference>(Floats{a}, Floats{b}, n));
}

static float
dot_f32(const float *a, const float *b, size_t n)
{
	return sum_lanes(reduce<Product>(Floats{a}, Floats{b}, n));
}

static float
l1_f32(const float *a, const float *b, size_t n)
{
	return sum_lanes(reduce<AbsoluteDifference>(Floats{a}, Floats{b}, n));
}

static float
sumsq_f32(const float *a, size_t n)
{
	return sum_lanes(reduce<Product>(Floats{a}, Floats{a}, n));
}

static void
cosine_f32(const float *a, const float *b, size_t n, float out[3])
{
	const ThreeProducts::Sum sum = reduce<ThreeProducts>(Floats{a}, Floats{b}, n);

	out[0] = sum_lanes(sum.ab);
	out[1] = sum_lanes(sum.aa);
	out[2] = sum_lanes(sum.bb);
}

static float
l2_f32_i8(const float *q, const int8_t *c, float scale, size_t n)
{
	const ScaledBytes record = {Bytes{c}, set_f(scale)};

	return sum_lanes(reduce<SquaredDifference>(Floats{q}, record, n));
}

static float
l2_f32_f16(const float *q, const uint16_t *h, size_t n)
{
	return sum_lanes(reduce<SquaredDifference>(Floats{q}, Halves{h}, n));
}

static float
dot_f32_i8(const float *q, const int8_t *c, size_t n)
{
	return sum_lanes(reduce<Product>(Floats{q}, Bytes{c}, n));
}

static float
dot_f32_f16(const float *q, const uint16_t *h, size_t n)
{
	return sum_lanes(reduce<Product>(Floats{q}, Halves{h}, n));
}

/* ---- int8 against int8 ---- */

/* Lanes that sum to what dot_i8_step() adds in excess. */
OMENDB_INLINE VecI
dot_bias(const int8_t *a, size_t n)
{
	VecI bias = zero_i();

	if constexpr (kDotBiased)
	{
		size_t i = 0;

		for (; i + kBytes <= n; i += kBytes)
			bias = dot_i8_bias(bias, load_i(a + i));
		if (i < n)
			bias = dot_i8_bias(bias, load_bytes_partial(a + i, n - i));
	}
	return bias;
}

static int32_t
dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	VecI sums[2] = {zero_i(), zero_i()};
	VecI bias = zero_i();
	size_t i = 0;

	for (; i + 2 * kBytes <= n; i += 2 * kBytes)
		for (size_t k = 0; k < 2; k++)
		{
			const VecI x = load_i(a + i + k * kBytes);
			sums[k] = dot_i8_step(sums[k], x, load_i(b + i + k * kBytes));
			bias = dot_i8_bias(bias, x);
		}
	if (i + kBytes <= n)
	{
		const VecI x = load_i(a + i);
		sums[0] = dot_i8_step(sums[0], x, load_i(b + i));
		bias = dot_i8_bias(bias, x);
		i += kBytes;
	}
	if (i < n)
	{
		const VecI x = load_bytes_partial(a + i, n - i);
		sums[1] = dot_i8_step(sums[1], x, load_bytes_partial(b + i, n - i));
		bias = dot_i8_bias(bias, x);
	}
	return sum_lanes(sub32(add32(sums[0], sums[1]), bias));
}

/* Four rows against a; each row starts at minus the bias. */
OMENDB_INLINE simde__m128i
dot_i8_four(const int8_t *a, const int8_t *const b[4], size_t n, VecI bias)
{
	VecI sums[4];
	size_t i = 0;

	for (int k = 0; k < 4; k++)
		sums[k] = sub32(zero_i(), bias);
	for (; i + kBytes <= n; i += kBytes)
	{
		const VecI x = load_i(a + i);

		for (int k = 0; k < 4; k++)
			sums[k] = dot_i8_step(sums[k], x, load_i(b[k] + i));
	}
	if (i < n)
	{
		const VecI x = load_bytes_partial(a + i, n - i);

		for (int k = 0; k < 4; k++)
			sums[k] = dot_i8_step(sums[k], x, load_bytes_partial(b[k] + i, n - i));
	}
	return sum_lanes_of_four(sums);
}

static void
dot_i8_many(const int8_t *a, const int8_t *const *b, size_t count, size_t n, int32_t *out)
{
	const VecI bias = dot_bias(a, n);
	size_t i = 0;

	for (; i + 4 <= count; i += 4)
		simde_mm_storeu_si128(out + i, dot_i8_four(a, b + i, n, bias));
	if (i < count)
	{
		const int8_t *rest[4];
		int32_t sums[4];

		for (size_t k = 0; k < 4; k++)
			rest[k] = b[i + k < count ? i + k : i];
		simde_mm_storeu_si128(sums, dot_i8_four(a, rest, n, bias));
		__builtin_memcpy(out + i, sums, (count - i) * sizeof(int32_t));
	}
}

/* ---- conversions; bit-identical ---- */

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

/*
 * 1.5 * 2^23: a float of magnitude below 2^22 added to it is rounded to an
 * integer, half to even, which then stands in the low bits of the sum.
 */
constexpr float kRounder = 12582912.0f;
constexpr int32_t kRounderBits = 0x4B400000;

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

/* ---- rotation; bit-identical ---- */

/* Row s: -1 in the lanes with bit s set, else 1. */
static const float kLaneSigns[4][16] = {
	{1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1},
	{1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1},
	{1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1},
	{1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1},
};

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

/* ---- RaBitQ codes; bit-identical ---- */

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

/* ---- FastScan ---- */

constexpr size_t kScanVectors = 32 / kWidth; /* vectors of integers for 32 lanes */
constexpr size_t kScanColumns = kBytes / 16; /* columns per vector of codes */
constexpr size_t kScanChunk = 256;           /* columns whose sum surely fits 16 bits */

/*
 * Add the table bytes of at most kScanChunk columns to total. A 16-bit lane
 * sums the looked-up bytes two at a time, even + 256 * odd, and a second lane
 * the odd ones alone; the first less 256 times the second is the even sum
 * (modulo 2^16, which is where it lies).
 */
OMENDB_INLINE void
scan_chunk(const uint8_t *codes, const uint8_t *table, size_t columns, VecI total[kScanVectors])
{
	VecI even_lo = zero_i(), odd_lo = zero_i(), even_hi = zero_i(), odd_hi = zero_i();

	for (size_t i = 0; i < 16 * columns; i += kBytes)
	{
		const VecI code = load_i(codes + i);
		const VecI entries = load_i(table + i);
		const VecI lo = lookup(entries, low_nibbles(code));
		const VecI hi = lookup(entries, high_nibbles(code));

		even_lo = add16(even_lo, lo);
		odd_lo = add16(odd_lo, high_bytes(lo));
		even_hi = add16(even_hi, hi);
		odd_hi = add16(odd_hi, high_bytes(hi));
	}
	add_rows(total, without_high(even_lo, odd_lo), odd_lo, without_high(even_hi, odd_hi), odd_hi);
}

OMENDB_INLINE void
scan_plane(const uint8_t *codes, const uint8_t *table, size_t columns, VecI total[kScanVectors])
{
	static_assert(kScanChunk % kScanColumns == 0, "chunks are whole vectors");

	while (__builtin_expect(columns > kScanChunk, 0))
	{
		scan_chunk(codes, table, kScanChunk, total);
		codes += 16 * kScanChunk;
		table += 16 * kScanChunk;
		columns -= kScanChunk;
	}
	scan_chunk(codes, table, columns, total);
}

static void
fastscan(const uint8_t *codes, const uint8_t *table, size_t columns, uint32_t sums[32])
{
	VecI total[kScanVectors];

	for (size_t i = 0; i < kScanVectors; i++)
		total[i] = zero_i();
	scan_plane(codes, table, columns, total);
	for (size_t i = 0; i < kScanVectors; i++)
		store_i(sums + i * kWidth, total[i]);
}

/* The planes' sums weighted 2^b, from the heaviest down. 4096 columns stay below 2^24. */
OMENDB_INLINE void
scan_planes(const uint8_t *codes, const uint8_t *table, size_t columns, size_t planes,
			VecI total[kScanVectors])
{
	for (size_t i = 0; i < kScanVectors; i++)
		total[i] = zero_i();
	for (size_t b = planes; b-- > 0;)
	{
		for (size_t i = 0; i < kScanVectors; i++)
			total[i] = add32(total[i], total[i]);
		scan_plane(codes + b * 16 * columns, table, columns, total);
	}
}

struct NarrowFactors
{
	const uint16_t *add, *mul;

	OMENDB_INLINE_MEMBER VecF
	load_add(size_t i) const
	{
		return load_bf16(add + i);
	}

	OMENDB_INLINE_MEMBER VecF
	load_mul(size_t i) const
	{
		return load_bf16(mul + i);
	}
};

struct WideFactors
{
	const float *add, *mul;

	OMENDB_INLINE_MEMBER VecF
	load_add(size_t i) const
	{
		return load_f(add + i);
	}

	OMENDB_INLINE_MEMBER VecF
	load_mul(size_t i) const
	{
		return load_f(mul + i);
	}
};

/* minus_t: -t of the 32 lanes. Returns the mask of est < bound. */
template <class Factors>
OMENDB_INLINE uint32_t
estimate(const VecF minus_t[kScanVectors], const Factors factors, float center, float bound,
		 float est[32])
{
	uint32_t mask = 0;

	for (size_t i = 0; i < kScanVectors; i++)
	{
		const VecF base = add(set_f(center), factors.load_add(i * kWidth));
		const VecF e = fma(factors.load_mul(i * kWidth), minus_t[i], base);

		store_f(est + i * kWidth, e);
		mask |= less_mask(e, set_f(bound)) << (i * kWidth);
	}
	return mask;
}

static uint32_t
scan_block(const OmendbScanTable *table, const uint8_t *codes, const void *add, const void *mul,
		   int wide, float center, float bound, float est[32])
{
	/* sum over planes of 2^(b-1) (step S_b - offset) = step/2 sum 2^b S_b - (2^planes - 1)/2 offset
	 */
	const VecF factor = set_f(-0.5f * table->step);
	const VecF constant =
		set_f(0.5f * static_cast<float>((1u << table->planes) - 1) * table->offset);
	VecI total[kScanVectors];
	VecF minus_t[kScanVectors];

	scan_planes(codes, table->high, table->columns, table->planes, total);
	for (size_t i = 0; i < kScanVectors; i++)
		minus_t[i] = to_float(total[i]);
	if (__builtin_expect(table->low != nullptr, 0))
	{
		scan_planes(codes, table->low, table->columns, table->planes, total);
		for (size_t i = 0; i < kScanVectors; i++)
			minus_t[i] = fma(minus_t[i], set_f(256.0f), to_float(total[i]));
	}
	for (size_t i = 0; i < kScanVectors; i++)
		minus_t[i] = fma(minus_t[i], factor, constant);

	if (__builtin_expect(wide != 0, 0))
		return estimate(
			minus_t, WideFactors{static_cast<const float *>(add), static_cast<const float *>(mul)},
			center, bound, est);
	return estimate(
		minus_t,
		NarrowFactors{static_cast<const uint16_t *>(add), static_cast<const uint16_t *>(mul)},
		center, bound, est);
}

/* ---- the query's tables ---- */

/* sum |q_i| of the four dimensions at q, in every lane. */
OMENDB_INLINE VecF
column_size(const float *q)
{
	return add(add(abs(set_f(load_one(q))), abs(set_f(load_one(q + 1)))),
			   add(abs(set_f(load_one(q + 2))), abs(set_f(load_one(q + 3)))));
}

struct ColumnSizes
{
	float largest, total;
};

static ColumnSizes
column_sizes(const float *q, size_t columns)
{
	simde__m128 largest = simde_mm_setzero_ps(), total = simde_mm_setzero_ps();

	/* Four columns at once: transposed, a lane is a column. */
	for (size_t i = 0; i < columns; i += 4)
	{
		const simde__m128 sign = simde_mm_set1_ps(-0.0f);
		simde__m128 a = simde_mm_andnot_ps(sign, simde_mm_loadu_ps(q + 4 * i));
		simde__m128 b = simde_mm_andnot_ps(sign, simde_mm_loadu_ps(q + 4 * i + 4));
		simde__m128 c = simde_mm_andnot_ps(sign, simde_mm_loadu_ps(q + 4 * i + 8));
		simde__m128 d = simde_mm_andnot_ps(sign, simde_mm_loadu_ps(q + 4 * i + 12));

		SIMDE_MM_TRANSPOSE4_PS(a, b, c, d);
		const simde__m128 size = simde_mm_add_ps(simde_mm_add_ps(a, b), simde_mm_add_ps(c, d));
		largest = simde_mm_max_ps(largest, size);
		total = simde_mm_add_ps(total, size);
	}
	largest = simde_mm_max_ps(largest, simde_mm_movehl_ps(largest, largest));
	largest = simde_mm_max_ss(largest, simde_mm_shuffle_ps(largest, largest, 1));
	total = simde_mm_add_ps(total, simde_mm_movehl_ps(total, total));
	total = simde_mm_add_ss(total, simde_mm_shuffle_ps(total, total, 1));
	return ColumnSizes{simde_mm_cvtss_f32(largest), simde_mm_cvtss_f32(total)};
}

/* The 16 entries of one column, as integers in the low 16 bits. */
OMENDB_INLINE void
table_column(const float *q, VecF inverse, VecI entries[kParts])
{
	const VecF size = column_size(q);

	for (size_t p = 0; p < kParts; p++)
	{
		VecF minus = zero_f();

		/* kLaneSigns has -1 where the pattern's bit is set, which here means +. */
		for (int j = 0; j < 4; j++)
			minus = fma(set_f(load_one(q + j)), load_f(kLaneSigns[j] + p * kWidth), minus);
		entries[p] = bits_of(fma(sub(size, minus), inverse, set_f(kRounder)));
	}
}

static void
build_table(const float *q, size_t columns, uint8_t *high, uint8_t *low, float *step, float *offset)
{
	const ColumnSizes sizes = column_sizes(q, columns);
	const float limit = low != nullptr ? 65535.0f : 255.0f;
	const float s = 2.0f * sizes.largest / limit;
	const float inverse = 1.0f / s;

	/* Zero, or beyond the range of floats: t = 0 is as good an estimate as any. */
	if (!(s > 0.0f && s <= 3.40282347e38f && inverse <= 3.40282347e38f))
	{
		__builtin_memset(high, 0, 16 * columns);
		if (low != nullptr)
			__builtin_memset(low, 0, 16 * columns);
		*step = *offset = 0.0f;
		return;
	}
	for (size_t m = 0; m < columns; m++)
	{
		VecI entries[kParts];

		table_column(q + 4 * m, set_f(inverse), entries);
		if (low != nullptr)
		{
			store_low_bytes(low + 16 * m, entries);
			for (size_t p = 0; p < kParts; p++)
				entries[p] = shift_right_8(entries[p]);
		}
		store_low_bytes(high + 16 * m, entries);
	}
	*step = s;
	*offset = sizes.total;
}

#define OMENDB_STRING_OF(x) #x
#define OMENDB_STRING(x)    OMENDB_STRING_OF(x)

extern const OmendbKernels kTable;
const OmendbKernels kTable = {
	OMENDB_STRING(OMENDB_SIMD_ISA),
	l2_f32,
	dot_f32,
	l1_f32,
	sumsq_f32,
	cosine_f32,
	l2_f32_i8,
	l2_f32_f16,
	dot_f32_i8,
	dot_f32_f16,
	dot_i8,
	dot_i8_many,
	f32_to_f16,
	f16_to_f32,
	i8_to_f32,
	quantize_i8,
	rotate,
	encode_residual,
	fastscan,
	scan_block,
	build_table,
};

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
