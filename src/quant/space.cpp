/*
 * space.cpp - how rows and queries enter the space of the graph, and how a
 * vector is stored there. What the bounds make of it is in bounds.cpp.
 *
 * Everything a row's stored bytes depend on runs in a fixed order of
 * operations (this file is compiled once, without contraction) or in kernels
 * that are bit-identical under every instruction set.
 */
#include "quant/space.hpp"

#include <string.h>

#include "base/random.hpp"
#include "quant/rounding.hpp"
#include "quant/value.hpp"

#include "base/no_postgres.hpp"

namespace omendb::quant
{

namespace
{

/* Squares of differences of two such vectors, summed, stay far below FLT_MAX. */
constexpr double kLargestNorm = 1e17;

/*
 * Below this, squares of the radius would come near float's underflow and the
 * extra coordinate would carry no information.
 */
constexpr double kSmallestRadius = 1e-15;

/*
 * Norms between which the float32 sums of the SQL cosine neither overflow nor
 * lose terms to underflow (even flushed to zero: 16 000 * 2^-126 / 1e-26 is
 * 2e-8, which bounds.cpp adds). Outside, nothing about its result is claimed.
 */
constexpr double kCosineNormMin = 1e-13;
constexpr double kCosineNormMax = 1e18;

/* Below this the reciprocal of an int8 scale may overflow: store zero codes. */
constexpr float kTiny = 1e-30f;

constexpr float kHalfMax = 65504.0f;

/* Floats decoded on the stack at a time. */
constexpr size_t kChunk = 256;

bool
is_cosine_provable(double norm)
{
	return norm >= kCosineNormMin && norm <= kCosineNormMax;
}

/* The radius as used: rows and queries must agree, whatever the page says. */
double
effective_radius(const Space &space)
{
	double radius = (double) space.radius;

	if (!(radius > 0))
		return 1.0;
	if (radius < kSmallestRadius)
		return kSmallestRadius;
	return radius > kLargestNorm ? kLargestNorm : radius;
}

/* What queries are mapped to. */
double
effective_length(const Space &space)
{
	double radius = effective_radius(space);
	double length = (double) space.query_length;

	if (!(length > radius))
		return radius;
	return length > kLargestNorm ? kLargestNorm : length;
}

double
shifted_f64(float x, double divisor, float mean)
{
	return (double) x / divisor - (double) mean;
}

/* center() for what the float path cannot hold: scale to kLargestNorm. */
double
center_huge(const Space &space, const float *x, double divisor, float *out, double *excess)
{
	size_t n = space.input_dim;
	double sum = 0;

	for (size_t i = 0; i < n; i++)
	{
		double y = shifted_f64(x[i], divisor, space.mean[i]);

		sum += y * y;
	}

	double norm = sqrt(sum);

	/* Not finite input (a damaged page): keep the promise of finite output. */
	if (!(norm > 0 && norm <= DBL_MAX))
	{
		memset(out, 0, n * sizeof(float));
		*excess = INFINITY;
		return 0;
	}

	double factor = norm > kLargestNorm ? kLargestNorm / norm : 1.0;

	for (size_t i = 0; i < n; i++)
		out[i] = (float) (shifted_f64(x[i], divisor, space.mean[i]) * factor);
	*excess = norm > kLargestNorm ? (norm - kLargestNorm) + norm * kDoubleSlack : 0.0;
	return norm > kLargestNorm ? kLargestNorm : norm;
}

/*
 * out = x / divisor - mean, scaled down to kLargestNorm where longer; *excess
 * gets an upper bound of the length taken away. Returns the length of out.
 */
double
center(const Space &space, const float *x, double divisor, float *out, double *excess)
{
	size_t n = space.input_dim;
	const float *mean = space.mean;

	if (divisor == 1.0)
		for (size_t i = 0; i < n; i++)
			out[i] = x[i] - mean[i];
	else
		for (size_t i = 0; i < n; i++)
			out[i] = (float) shifted_f64(x[i], divisor, mean[i]);

	double norm = sqrt(sumsq_f64(out, n));

	/* Also false for the infinity that an overflowing difference leaves. */
	if (norm <= kLargestNorm)
	{
		*excess = 0;
		return norm;
	}
	return center_huge(space, x, divisor, out, excess);
}

void
pad_and_rotate(const Space &space, uint32_t used, float *out)
{
	memset(out + used, 0, (space.dim - used) * sizeof(float));
	space.kernels->rotate(out, space.dim, space.signs);
}

double
residual_i8(const float *t, const int8_t *c, float scale, size_t n)
{
	double s0 = 0;
	double s1 = 0;
	double s2 = 0;
	double s3 = 0;

	/* dim is a multiple of 16; scale * c is exact in double. */
	for (size_t i = 0; i < n; i += 4)
	{
		double e0 = (double) t[i] - (double) scale * c[i];
		double e1 = (double) t[i + 1] - (double) scale * c[i + 1];
		double e2 = (double) t[i + 2] - (double) scale * c[i + 2];
		double e3 = (double) t[i + 3] - (double) scale * c[i + 3];

		s0 += e0 * e0;
		s1 += e1 * e1;
		s2 += e2 * e2;
		s3 += e3 * e3;
	}
	return sqrt((s0 + s1) + (s2 + s3));
}

/*
 * The scale is max|t| / 127 and no smaller: after the rotation coordinates are
 * near Gaussian, and the largest of up to 16 384 of them (4.1 sigma) is where
 * clipping at 8 bits would just begin to pay (best loading: 3.9 sigma).
 */
double
store_i8(const Space &space, const float *t, int8_t *c, StoredMeta *meta)
{
	float largest = 0;

	for (size_t i = 0; i < space.dim; i++)
	{
		float a = fabsf(t[i]);

		largest = a > largest ? a : largest;
	}
	if (!(largest >= kTiny))
	{
		memset(c, 0, space.dim);
		meta->scale = 0;
		meta->self_dot = 0;
		return sqrt(sumsq_f64(t, space.dim));
	}

	int32_t sumsq = 0;

	meta->scale = largest / 127.0f;
	space.kernels->quantize_i8(t, 1.0f / meta->scale, c, space.dim, &sumsq);
	meta->self_dot = (float) ((double) meta->scale * (double) meta->scale * (double) sumsq);
	return residual_i8(t, c, meta->scale, space.dim);
}

double
store_half(const Space &space, const float *t, uint8_t *dst, StoredMeta *meta)
{
	const OmendbKernels *kernels = space.kernels;
	float chunk[kChunk];
	double self_dot = 0;
	double lost = 0;

	for (size_t at = 0; at < space.dim; at += kChunk)
	{
		size_t n = space.dim - at < kChunk ? space.dim - at : kChunk;
		uint16_t *half = (uint16_t *) (void *) (dst + at * sizeof(uint16_t));

		/* The conversion overflows to infinity; the residual tells of a clamp. */
		for (size_t i = 0; i < n; i++)
		{
			float x = t[at + i];

			chunk[i] = x > kHalfMax ? kHalfMax : (x < -kHalfMax ? -kHalfMax : x);
		}
		kernels->f32_to_f16(chunk, half, n);
		kernels->f16_to_f32(half, chunk, n);
		self_dot += sumsq_f64(chunk, n);
		for (size_t i = 0; i < n; i++)
		{
			double e = (double) t[at + i] - (double) chunk[i];

			lost += e * e;
		}
	}
	meta->self_dot = (float) self_dot;
	return sqrt(lost);
}

} // namespace

float
query_length_for(const Space &space, float longest)
{
	constexpr double kNear = 1.02; /* a little longer costs less than longer queries do */
	double length = (double) longest * (double) kQueryLengths;

	if (space.metric != Metric::InnerProduct || is_plain(space) ||
		!((double) longest > kNear * effective_radius(space)))
		return 0;
	return (float) (length > kLargestNorm ? kLargestNorm : length);
}

uint32_t
padded_dim(Metric metric, uint32_t input_dim)
{
	uint32_t used = input_dim + (metric == Metric::InnerProduct ? 1 : 0);

	return (used + OMENDB_DIM_QUANTUM - 1) / OMENDB_DIM_QUANTUM * OMENDB_DIM_QUANTUM;
}

uint32_t
stored_bytes(Storage storage, uint32_t dim)
{
	switch (storage)
	{
		case Storage::Int8:
			return dim;
		case Storage::Half:
			return dim * 2;
		case Storage::Value:
			return dim;
		case Storage::Full:
			break;
	}
	return dim * 4;
}

void
make_signs(uint64_t seed, uint32_t dim, uint8_t *signs)
{
	for (uint32_t word = 0; word < dim / 16; word++)
	{
		uint64_t bits = splitmix64(seed, word);

		for (uint32_t byte = 0; byte < 8; byte++)
			signs[8 * word + byte] = (uint8_t) (bits >> (8 * byte));
	}
}

bool
transform_row(const Space &space, const float *x, float *out, float *excess)
{
	double divisor = 1;
	double lost;
	uint32_t used = space.input_dim;

	if (space.metric == Metric::Cosine)
	{
		divisor = sqrt(sumsq_f64(x, space.input_dim));
		if (divisor == 0)
			return false;
	}

	double norm = center(space, x, divisor, out, &lost);

	if (space.metric == Metric::Cosine && !is_cosine_provable(divisor))
		lost = INFINITY;
	if (space.metric == Metric::InnerProduct)
	{
		double radius = effective_radius(space);
		double rest = (radius - norm) * (radius + norm);

		out[used++] = rest > 0 ? (float) sqrt(rest) : 0.0f;
	}
	pad_and_rotate(space, used, out);
	*excess = float_up(lost);
	return true;
}

void
store_vector(const Space &space, const float *t, float excess, uint8_t *dst, StoredMeta *meta)
{
	double lost = 0;

	meta->scale = 1;
	switch (space.storage)
	{
		case Storage::Int8:
			lost = store_i8(space, t, (int8_t *) dst, meta);
			break;
		case Storage::Half:
			lost = store_half(space, t, dst, meta);
			break;
		case Storage::Full:
			memcpy(dst, t, space.dim * sizeof(float));
			meta->self_dot = (float) sumsq_f64(t, space.dim);
			break;
		case Storage::Value:
			break;
	}
	meta->residual = float_up((lost + (double) excess) * (1 + kDoubleSlack));
}

void
load_vector(const Space &space, const uint8_t *src, float scale, float *out)
{
	switch (space.storage)
	{
		case Storage::Int8:
			space.kernels->i8_to_f32((const int8_t *) src, scale, out, space.dim);
			return;
		case Storage::Half:
			space.kernels->f16_to_f32((const uint16_t *) (const void *) src, out, space.dim);
			return;
		case Storage::Value:
			return;
		case Storage::Full:
			break;
	}
	memcpy(out, src, space.dim * sizeof(float));
}

bool
table_is_wide(const Space &space)
{
	return space.code_bits >= 3;
}

size_t
query_bytes(const Space &space)
{
	if (is_plain(space))
		return 8;
	size_t table = (size_t) space.code_dim * 4;

	return space.dim * sizeof(float) + table * (table_is_wide(space) ? 2 : 1);
}

/* The FastScan tables behind the vector, and its norm. */
static void
finish_query(const Space &space, float *vector, Query *query)
{
	double self_dot = sumsq_f64(vector, space.dim);
	uint32_t columns = space.code_dim / 4;
	uint8_t *high = (uint8_t *) (vector + space.dim);
	bool wide = table_is_wide(space);
	uint8_t *low = wide ? high + (size_t) columns * 16 : nullptr;
	OmendbScanTable *table = &query->table;

	query->vector = vector;
	query->self_dot = self_dot;
	query->norm = float_up(sqrt(self_dot) * (1 + kDoubleSlack));

	table->high = high;
	table->low = low;
	table->columns = columns;
	table->planes = space.code_bits;
	table->step = 0;
	table->offset = 0;
	/* A step in the denormal range has no precision left: codes say nothing then. */
	if (sumsq_f64(vector, space.code_dim) > (double) kTiny * (double) kTiny)
		space.kernels->build_table(vector, columns, high, low, &table->step, &table->offset);
	else
		memset(high, 0, (size_t) columns * 16 * (wide ? 2 : 1));
}

/* t(q) before rotation. */
static void
map_query(const Space &space, const float *q, float *vector, Query *query)
{
	size_t n = space.input_dim;
	double divisor = 1;

	if (space.metric == Metric::InnerProduct)
	{
		double factor = query->input_norm > 0 ? effective_length(space) / query->input_norm : 0;

		query->factor = factor;
		for (size_t i = 0; i < n; i++)
		{
			vector[i] = (float) ((double) q[i] * factor);
			query->mean_dot += (double) q[i] * (double) space.mean[i];
		}
		return;
	}
	if (space.metric == Metric::Cosine)
	{
		query->unbounded = !is_cosine_provable(query->input_norm);
		if (query->input_norm == 0)
		{
			memset(vector, 0, n * sizeof(float));
			return;
		}
		divisor = query->input_norm;
	}
	center(space, q, divisor, vector, &query->excess);
}

static void
start_query(const Space &space, const float *q, Query *query)
{
	query->input_norm = sqrt(sumsq_f64(q, space.input_dim));
	query->mean_norm = sqrt(sumsq_f64(space.mean, space.input_dim));
	query->factor = 1;
	query->mean_dot = 0;
	query->excess = 0;
	query->unbounded = false;
	query->value = nullptr;
}

void
transform_query(const Space &space, const float *q, float *out)
{
	Query query;

	start_query(space, q, &query);
	map_query(space, q, out, &query);
	pad_and_rotate(space, space.input_dim, out);
}

void
prepare_query(const Space &space, const float *q, void *memory, Query *query)
{
	float *vector = (float *) memory;

	start_query(space, q, query);
	map_query(space, q, vector, query);
	pad_and_rotate(space, space.input_dim, vector);
	finish_query(space, vector, query);
}

void
prepare_row_query(const Space &space, const float *t, void *memory, Query *query)
{
	float *vector = (float *) memory;

	query->value = nullptr;
	if (is_plain(space))
		return;
	memcpy(vector, t, space.dim * sizeof(float));
	query->input_norm = 0;
	query->mean_norm = 0;
	query->factor = 1;
	query->mean_dot = 0;
	query->excess = 0;
	/* No operator is asked here, so there is no value to bound. */
	query->unbounded = true;
	finish_query(space, vector, query);
}

static float
stored_distance_half(const Space &space, const uint8_t *a, const uint8_t *b)
{
	float chunk[kChunk];
	float sum = 0;

	for (size_t at = 0; at < space.dim; at += kChunk)
	{
		size_t n = space.dim - at < kChunk ? space.dim - at : kChunk;

		space.kernels->f16_to_f32((const uint16_t *) (const void *) (a + 2 * at), chunk, n);
		sum += space.kernels->l2_f32_f16(chunk, (const uint16_t *) (const void *) (b + 2 * at), n);
	}
	return sum;
}

float
stored_distance(const Space &space, const uint8_t *a, const StoredMeta &a_meta, const uint8_t *b,
				const StoredMeta &b_meta)
{
	switch (space.storage)
	{
		case Storage::Int8:
		{
			double dot =
				(double) space.kernels->dot_i8((const int8_t *) a, (const int8_t *) b, space.dim);
			double d2 = (double) a_meta.self_dot + (double) b_meta.self_dot -
						2.0 * (double) a_meta.scale * (double) b_meta.scale * dot;

			return d2 > 0 ? (float) d2 : 0.0f;
		}
		case Storage::Half:
			return stored_distance_half(space, a, b);
		case Storage::Value:
			return pair_distance(space, a, b);
		case Storage::Full:
			break;
	}
	return space.kernels->l2_f32((const float *) (const void *) a, (const float *) (const void *) b,
								 space.dim);
}

} // namespace omendb::quant
