/*
 * distance-inl.h - distances and dot products: float32 against float32, int8
 * and float16, float16 against float16, int8 against int8.
 *
 * Free to use the width and FMA; the integer kernels are exact, sumsq_f64 is
 * bit-identical.
 */
#ifndef OMENDB_SIMD_DISTANCE_INL_H
#define OMENDB_SIMD_DISTANCE_INL_H

#include "simd/common-inl.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

/* ---- floats ---- */

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

constexpr size_t kDoubles = kWidth / 2; /* doubles per vector */
/* Of sumsq_f64: more than 16, since the sums wait for each other and for nothing else. */
constexpr size_t kSquareLanes = 32;

static double
sumsq_f64(const float *a, size_t n)
{
	constexpr size_t kSums = kSquareLanes / kDoubles;
	VecD sums[kSums];
	size_t i = 0;

#pragma GCC unroll 16
	for (size_t p = 0; p < kSums; p++)
		sums[p] = zero_d();
	for (; i + kSquareLanes <= n; i += kSquareLanes)
#pragma GCC unroll 16
		for (size_t p = 0; p < kSums; p++)
			sums[p] = add_square(sums[p], load_d(a + i + p * kDoubles));
#pragma GCC unroll 16
	for (size_t p = 0; p < kSums; p++, i += kDoubles)
	{
		if (i + kDoubles <= n)
			sums[p] = add_square(sums[p], load_d(a + i));
		else if (i < n)
			sums[p] = add_square(sums[p], load_d_partial(a + i, n - i));
	}
#pragma GCC unroll 4
	for (size_t half = kSums / 2; half > 0; half /= 2)
#pragma GCC unroll 8
		for (size_t k = 0; k < half; k++)
			sums[k] = add(sums[k], sums[k + half]);

	const simde__m128d two = fold_to_2(sums[0]);
	return simde_mm_cvtsd_f64(two) + simde_mm_cvtsd_f64(simde_mm_unpackhi_pd(two, two));
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

/* ---- halves against halves ---- */

static float
l2_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_lanes(reduce<SquaredDifference>(Halves{a}, Halves{b}, n));
}

static float
dot_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_lanes(reduce<Product>(Halves{a}, Halves{b}, n));
}

static float
l1_f16(const uint16_t *a, const uint16_t *b, size_t n)
{
	return sum_lanes(reduce<AbsoluteDifference>(Halves{a}, Halves{b}, n));
}

static void
cosine_f16(const uint16_t *a, const uint16_t *b, size_t n, float out[3])
{
	const ThreeProducts::Sum sum = reduce<ThreeProducts>(Halves{a}, Halves{b}, n);

	out[0] = sum_lanes(sum.ab);
	out[1] = sum_lanes(sum.aa);
	out[2] = sum_lanes(sum.bb);
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

/* kBytes of a, or its last ones, times the same of four rows, onto `from`. */
OMENDB_INLINE void
four_step(VecI sums[4], const VecI from[4], VecI x, const int8_t *const b[4], size_t i)
{
#pragma GCC unroll 4
	for (int k = 0; k < 4; k++)
		sums[k] = dot_i8_step(from[k], x, load_i(b[k] + i));
}

/* Four rows against a, the bias still in them. */
OMENDB_INLINE simde__m128i
dot_i8_four(const int8_t *a, const int8_t *const b[4], size_t n)
{
	const VecI none[4] = {zero_i(), zero_i(), zero_i(), zero_i()};
	VecI sums[4] = {zero_i(), zero_i(), zero_i(), zero_i()};
	size_t i = 0;

	if (n >= kBytes)
		four_step(sums, none, load_i(a), b, 0);
	for (i = kBytes; i + kBytes <= n; i += kBytes)
		four_step(sums, sums, load_i(a + i), b, i);
	i = n / kBytes * kBytes;
	if (i < n)
	{
		const VecI x = load_bytes_partial(a + i, n - i);

#pragma GCC unroll 4
		for (int k = 0; k < 4; k++)
			sums[k] = dot_i8_step(sums[k], x, load_bytes_partial(b[k] + i, n - i));
	}
	return sum_lanes_of_four(sums);
}

static void
dot_i8_many(const int8_t *a, const int8_t *const *b, size_t count, size_t n, int32_t *out)
{
	const simde__m128i bias = simde_mm_set1_epi32(sum_lanes(dot_bias(a, n)));
	size_t i = 0;

	for (; i + 4 <= count; i += 4)
		simde_mm_storeu_si128(out + i, simde_mm_sub_epi32(dot_i8_four(a, b + i, n), bias));
	if (i < count)
	{
		const int8_t *rest[4];
		int32_t sums[4];

		for (size_t k = 0; k < 4; k++)
			rest[k] = b[i + k < count ? i + k : i];
		simde_mm_storeu_si128(sums, simde_mm_sub_epi32(dot_i8_four(a, rest, n), bias));
		__builtin_memcpy(out + i, sums, (count - i) * sizeof(int32_t));
	}
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
