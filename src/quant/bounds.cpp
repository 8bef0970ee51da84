/*
 * bounds.cpp - the proven interval for the value of the SQL operator.
 *
 * The derivation, term by term, is in README; the names here are those used
 * there. Everything is evaluated in double, whose own rounding is covered by
 * constants rounded up (an extra 2^-24 here and there) and by kDoubleSlack.
 */
#include "quant/space.hpp"

#include "quant/rounding.hpp"

#include "base/no_postgres.hpp"

namespace omendb::quant
{

namespace
{

/* Unit roundoff of float32. */
constexpr double kUnit = 0x1p-24;

/*
 * The largest error of one operation whose result is below the normal range,
 * also where a library switched the processor to flush denormals to zero
 * (shared objects linked with -ffast-math do).
 */
constexpr double kFlush = 0x1p-126;

/* Sums proven to stay below this do not overflow in float32, in any order. */
constexpr double kNoOverflow = 1e38;

constexpr Interval kUnknown = {-HUGE_VAL, HUGE_VAL};

/* What is known about the pair, as upper bounds. */
struct Slack
{
	double stored;      /* |x^| */
	double row;         /* |T(x)|, T the exact transform */
	double row_error;   /* |T(x) - x^| */
	double query_error; /* |T(q) - t(q)| */
	double decode;      /* |x^ as the distance kernel sees it - x^| */
	double kernel;      /* relative error of the computed squared distance */
	double flushed;     /* its absolute error */
	double sql;         /* relative error of a float32 sum in SQL, of the absolute sum */
};

/* k roundings in a row: Higham's gamma_k. */
double
gamma_of(double k)
{
	return k * kUnit / (1 - k * kUnit);
}

/*
 * Roundings of the transform, in the Euclidean norm: one for the shift (or
 * scaling) and per round of the rotation the butterflies of the Hadamard
 * transform, its factor (inexact constant and product), and the butterfly
 * between the halves (sum, inexact constant and product); one to spare.
 */
double
transform_error(uint32_t dim)
{
	int log2_dim = 4;

	while ((1u << log2_dim) < dim)
		log2_dim++;
	return gamma_of(4 * (log2_dim + 5) + 2);
}

Slack
slack_of(const Space &space, const Query &query, const StoredMeta &meta)
{
	Slack slack;
	double dim = (double) space.dim;
	double eps = transform_error(space.dim);
	/*
	 * What underflow costs the transform: the rotation scales first and lets
	 * the Hadamard stages grow it back, by at most 128, which leaves 4 rounds
	 * of 128 (1 + 2^-1/2 + ...) < 438 each; generously rounded up.
	 */
	double flushed = 8192 * kFlush * sqrt(dim);
	/* The double steps before the first float: x / |x|, s q. */
	double in_double = space.metric == Metric::Cosine ? kDoubleSlack : 0;
	double norm = (double) query.norm;

	slack.stored = sqrt((double) meta.self_dot * (1 + 2 * kUnit) + 2 * kFlush);
	slack.row = (slack.stored + (double) meta.residual) * (1 + 2 * eps) + flushed;
	slack.row_error = (double) meta.residual + eps * slack.row + flushed + in_double;
	slack.query_error = query.excess + eps * (1 + 2 * eps) * norm + flushed + in_double;
	slack.decode = 0;
	if (space.storage == Storage::Int8)
		slack.decode = kUnit * slack.stored + kFlush * sqrt(dim);
	slack.kernel = gamma_of(dim / 16 + 8 + 1);
	slack.flushed = 2 * kFlush * dim;
	slack.sql = gamma_of((double) space.input_dim / 4 + 16);
	return slack;
}

/* [low, high] of |T(q) - T(x)|. */
Interval
distance_interval(const Slack &slack, double d2)
{
	double width = (slack.row_error + slack.query_error + slack.decode + sqrt(slack.flushed)) *
				   (1 + kDoubleSlack);
	double low = sqrt(d2 * (1 - slack.kernel)) - width;
	double high = sqrt(d2 * (1 + 2 * slack.kernel)) + width;

	return {low > 0 ? low : 0, high};
}

Interval
l2_interval(const Space &space, const Slack &slack, double d2)
{
	Interval distance = distance_interval(slack, d2);
	double flushed = sqrt(2 * kFlush * (double) space.input_dim);
	double low = distance.low * sqrt(1 - slack.sql) * (1 - kDoubleSlack) - flushed;
	double high = distance.high * sqrt(1 + slack.sql) * (1 + kDoubleSlack) + flushed;

	/* An overflowing sum is +inf: only the upper bound suffers. */
	if (!(distance.high * distance.high <= kNoOverflow))
		high = HUGE_VAL;
	return {low > 0 ? nextafter(low, -HUGE_VAL) : 0, nextafter(high, HUGE_VAL)};
}

Interval
cosine_interval(const Slack &slack, double d2)
{
	Interval distance = distance_interval(slack, d2);
	/*
	 * dot errs by at most sql * |q||x|, the root of the norms' product by a
	 * factor 1 +- sql. The floor covers terms flushed to zero, see
	 * kCosineNormMin in space.cpp.
	 */
	double width = 2 * slack.sql * (1 + 4 * slack.sql) + 0x1p-23;
	double low = distance.low * distance.low / 2 * (1 - kDoubleSlack) - width;
	double high = distance.high * distance.high / 2 * (1 + kDoubleSlack) + width;

	/* SQL clamps the similarity to [-1, 1], so these ends are exact. */
	return {low > 0 ? nextafter(low, -HUGE_VAL) : 0, high < 2 ? nextafter(high, HUGE_VAL) : 2};
}

Interval
inner_product_interval(const Space &space, const Query &query, const Slack &slack,
					   const StoredMeta &meta, double d2)
{
	/* 0 times anything finite is 0, and so is the sum. */
	if (query.input_norm == 0)
		return {0, 0};

	/* |q||x| bounds every partial sum. */
	double norms = query.input_norm * (query.mean_norm + slack.row) * (1 + 4 * kDoubleSlack);

	if (!(norms <= kNoOverflow && query.factor > 0))
		return kUnknown;

	/* 2 s <q, y> = |t(q)|^2 + |x^|^2 - |t(q) - x^|^2 and its error. */
	double self_dot = (double) meta.self_dot;
	double twice = query.self_dot + self_dot - d2;
	double twice_error = kDoubleSlack * query.self_dot + 1.01 * kUnit * self_dot + kFlush +
						 1.01 * slack.kernel * d2 +
						 (2.01 * sqrt(d2) + slack.decode) * slack.decode + 2 * slack.flushed;
	/* <T(q), T(x)> = <t(q), x^> + <t(q), T(x) - x^> + <T(q) - t(q), T(x)> */
	double moved = (double) query.norm * slack.row_error + slack.query_error * slack.row;
	double dot = query.mean_dot + twice / 2 / query.factor;
	/* What SQL's own sum adds, and the double sums behind this one. */
	double sql = (slack.sql + 8 * kDoubleSlack) * norms + 2 * kFlush * (double) space.input_dim;
	double width = ((twice_error / 2 + moved) / query.factor + sql) * (1 + kUnit);

	return {nextafter(-dot - width, -HUGE_VAL), nextafter(-dot + width, HUGE_VAL)};
}

} // namespace

Interval
operator_interval(const Space &space, const Query &query, float d2, const StoredMeta &meta)
{
	/* Also false for NaN and overflow, which only a damaged page can bring. */
	if (query.unbounded || !(d2 >= 0 && d2 <= FLT_MAX && meta.self_dot >= 0 && meta.residual >= 0))
		return kUnknown;

	Slack slack = slack_of(space, query, meta);
	Interval interval = kUnknown;

	switch (space.metric)
	{
		case Metric::L2:
			interval = l2_interval(space, slack, (double) d2);
			break;
		case Metric::Cosine:
			/* The row's norm may be outside of what is claimed: even NaN is possible. */
			if (meta.residual <= FLT_MAX)
				interval = cosine_interval(slack, (double) d2);
			break;
		case Metric::InnerProduct:
			interval = inner_product_interval(space, query, slack, meta, (double) d2);
			break;
		case Metric::L1:
		case Metric::Hamming:
		case Metric::Jaccard:
			/* Plain values need no bounds. */
			break;
	}
	/* inf - inf, from a damaged record. */
	if (!(interval.low <= interval.high))
		return kUnknown;
	return interval;
}

} // namespace omendb::quant
