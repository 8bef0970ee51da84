/*
 * rounding.hpp - directed rounding and double sums, private to quant/.
 *
 * Every sum of at most 16 384 terms formed here in double has a relative error
 * below kDoubleSlack: 16 384 * 2^-53 = 2^-39.
 */
#ifndef OMENDB_QUANT_ROUNDING_HPP
#define OMENDB_QUANT_ROUNDING_HPP

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

namespace omendb::quant
{

constexpr double kDoubleSlack = 0x1p-38;

/* The smallest float >= x; +inf beyond the largest. */
inline float
float_up(double x)
{
	if (!(x <= (double) FLT_MAX))
		return INFINITY;

	float f = (float) x;

	return (double) f < x ? nextafterf(f, INFINITY) : f;
}

/*
 * |x|^2 in double: four sums in a fixed order. Squares of floats are exact in
 * double and never overflow or underflow, so contraction changes nothing.
 */
inline double
sumsq_f64(const float *x, size_t n)
{
	double s0 = 0;
	double s1 = 0;
	double s2 = 0;
	double s3 = 0;
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
	{
		s0 += (double) x[i] * (double) x[i];
		s1 += (double) x[i + 1] * (double) x[i + 1];
		s2 += (double) x[i + 2] * (double) x[i + 2];
		s3 += (double) x[i + 3] * (double) x[i + 3];
	}
	for (; i < n; i++)
		s0 += (double) x[i] * (double) x[i];
	return (s0 + s1) + (s2 + s3);
}

} // namespace omendb::quant

#endif
