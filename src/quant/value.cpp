/*
 * value.cpp - distances of plain values, and their sketches.
 */
#include "quant/value.hpp"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/random.hpp"

#include "base/no_postgres.hpp"

namespace omendb::quant
{

namespace
{

/* ---- bits ---- */

uint32_t
bit_bytes(const Space &space)
{
	return (space.input_dim + 7) / 8;
}

double
jaccard(const Space &space, const uint8_t *a, const uint8_t *b)
{
	uint32_t counts[2]; /* in both, in either */

	space.kernels->jaccard(a, b, bit_bytes(space), counts);
	return counts[0] == 0 ? 1 : 1 - (double) counts[0] / (double) counts[1];
}

bool
bit_at(const uint8_t *bits, uint32_t i)
{
	return (bits[i / 8] >> (7 - i % 8) & 1) != 0;
}

/* ---- where a coordinate goes in a hashed sketch ---- */

struct Bucket
{
	uint32_t at;
	float sign;
};

Bucket
bucket_of(const Space &space, uint32_t coordinate, uint32_t buckets)
{
	uint64_t h = mix64(space.seed ^ (coordinate + 0x9E3779B97F4A7C15u));

	return {(uint32_t) ((h & 0xFFFFFFFF) * buckets >> 32), (h >> 63) != 0 ? -1.0f : 1.0f};
}

void
sketch_bits(const Space &space, const uint8_t *bits, uint32_t dim, float *out)
{
	bool counts_zeros = space.metric == Metric::Hamming;
	uint32_t ones = 0;

	for (uint32_t i = 0; i < space.input_dim; i++)
	{
		bool one = bit_at(bits, i);
		float x = one ? 1.0f : (counts_zeros ? -1.0f : 0.0f);
		ones += one;
		if (space.input_dim <= dim)
			out[i] = x;
		else if (x != 0)
		{
			Bucket bucket = bucket_of(space, i, dim);
			out[bucket.at] += bucket.sign * x;
		}
	}
	if (counts_zeros || ones == 0)
		return;
	float scale = 1.0f / sqrtf((float) ones);
	for (uint32_t i = 0; i < dim; i++)
		out[i] *= scale;
}

/* Squares of sketches must not overflow. */
float
clamped(float x)
{
	constexpr float kLargest = 1e15f;

	return x > kLargest ? kLargest : (x < -kLargest ? -kLargest : x);
}

void
sketch_elements(const Space &space, const float *x, uint32_t first, uint32_t n, uint32_t dim,
				float *out)
{
	for (uint32_t i = 0; i < n; i++)
	{
		if (space.input_dim <= dim)
		{
			out[first + i] = clamped(x[i]);
			continue;
		}
		Bucket bucket = bucket_of(space, first + i, dim);
		out[bucket.at] = clamped(out[bucket.at] + bucket.sign * x[i]);
	}
}

void
sketch_halves(const Space &space, const uint16_t *h, uint32_t dim, float *out)
{
	float chunk[256];

	for (uint32_t at = 0; at < space.input_dim; at += 256)
	{
		uint32_t n = space.input_dim - at < 256 ? space.input_dim - at : 256;
		space.kernels->f16_to_f32(h + at, chunk, n);
		sketch_elements(space, chunk, at, n, dim, out);
	}
}

/* ---- sparse vectors ---- */

OmendbSparse
sparse_of(const uint8_t *value)
{
	SparseHead head;

	memcpy(&head, value, sizeof(head));
	/* Queries have more elements than rows in an index; those were looked at as they were read. */
	const int32_t *indices = (const int32_t *) (const void *) (value + sizeof(head));
	return OmendbSparse{indices, (const float *) (const void *) (indices + head.count),
						(size_t) head.count};
}

double
norm_of(const OmendbSparse &x)
{
	double sum = 0;

	for (size_t i = 0; i < x.n; i++)
		sum += (double) x.values[i] * (double) x.values[i];
	return sqrt(sum);
}

/* As the SQL function has it; NaN passes both tests. */
double
cosine_distance(const Space &space, const OmendbSparse &a, const OmendbSparse &b)
{
	double a_square = (double) space.kernels->sumsq_f32(a.values, a.n);
	double b_square = (double) space.kernels->sumsq_f32(b.values, b.n);
	double similarity = (double) space.kernels->dot_sparse(&a, &b) / sqrt(a_square * b_square);

	if (similarity > 1)
		return 0;
	if (similarity < -1)
		return 2;
	return 1 - similarity;
}

double
sparse_value(const Space &space, const OmendbSparse &a, const OmendbSparse &b)
{
	switch (space.metric)
	{
		case Metric::L2:
			return sqrt((double) space.kernels->l2_sparse(&a, &b));
		case Metric::InnerProduct:
			return (double) -space.kernels->dot_sparse(&a, &b);
		case Metric::Cosine:
			return cosine_distance(space, a, b);
		case Metric::L1:
			return (double) space.kernels->l1_sparse(&a, &b);
		case Metric::Hamming:
		case Metric::Jaccard:
			break;
	}
	return 0;
}

/* The coordinate that makes inner product squared L2 (space.hpp). */
double
lift(const Space &space, const OmendbSparse &x)
{
	double radius = (double) space.radius, norm = norm_of(x);
	double rest = (radius - norm) * (radius + norm);

	return rest > 0 ? sqrt(rest) : 0;
}

double
sparse_pair(const Space &space, const OmendbSparse &a, const OmendbSparse &b)
{
	if (space.metric == Metric::L1)
		return sparse_value(space, a, b);
	/* On the scale of the sketches: |a/|a| - b/|b||^2. */
	if (space.metric == Metric::Cosine)
		return 2 * sparse_value(space, a, b);
	double distance = (double) space.kernels->l2_sparse(&a, &b);
	if (space.metric == Metric::L2)
		return distance;
	double height = lift(space, a) - lift(space, b);
	return distance + height * height;
}

void
sketch_sparse(const Space &space, const OmendbSparse &x, uint32_t dim, float *out)
{
	/* The last coordinate is the lifted one's. */
	uint32_t buckets = space.metric == Metric::InnerProduct ? dim - 1 : dim;
	double norm = space.metric == Metric::Cosine ? norm_of(x) : 1;
	float factor = norm > 0 ? (float) (1 / norm) : 0.0f;

	for (size_t i = 0; i < x.n; i++)
	{
		Bucket bucket = bucket_of(space, (uint32_t) x.indices[i], buckets);
		out[bucket.at] = clamped(out[bucket.at] + bucket.sign * x.values[i] * factor);
	}
	if (space.metric == Metric::InnerProduct)
		out[dim - 1] = clamped((float) lift(space, x));
}

float
not_nan(double distance)
{
	return distance <= FLT_MAX ? (float) distance : FLT_MAX;
}

} // namespace

bool
keeps_values(Type type, Metric metric)
{
	return type == Type::Bit || type == Type::Sparse || metric == Metric::L1;
}

uint32_t
value_capacity(Type type, uint32_t input_dim)
{
	switch (type)
	{
		case Type::Vector:
			return input_dim * 4;
		case Type::Half:
			return input_dim * 2;
		case Type::Bit:
			return (input_dim + 7) / 8;
		case Type::Sparse:
			break;
	}
	return (uint32_t) sizeof(SparseHead) + 8 * OMENDB_SPARSE_MAX_INDEXED;
}

bool
value_has_place(const Space &space, const uint8_t *value)
{
	return space.metric != Metric::Cosine || sparse_of(value).n > 0;
}

double
operator_value(const Space &space, const uint8_t *query, const uint8_t *value)
{
	switch (space.type)
	{
		case Type::Vector:
			return (double) space.kernels->l1_f32((const float *) (const void *) query,
												  (const float *) (const void *) value,
												  space.input_dim);
		case Type::Bit:
			if (space.metric == Metric::Jaccard)
				return jaccard(space, query, value);
			return (double) space.kernels->hamming(query, value, bit_bytes(space));
		case Type::Half:
			return (double) space.kernels->l1_f16((const uint16_t *) (const void *) query,
												  (const uint16_t *) (const void *) value,
												  space.input_dim);
		case Type::Sparse:
			break;
	}
	return sparse_value(space, sparse_of(query), sparse_of(value));
}

float
pair_distance(const Space &space, const uint8_t *a, const uint8_t *b)
{
	if (space.type == Type::Sparse)
		return not_nan(sparse_pair(space, sparse_of(a), sparse_of(b)));
	return not_nan(operator_value(space, a, b));
}

uint32_t
sketch_dim(Type type, Metric, uint32_t input_dim)
{
	uint32_t padded =
		(input_dim + OMENDB_DIM_QUANTUM - 1) / OMENDB_DIM_QUANTUM * OMENDB_DIM_QUANTUM;

	if (type == Type::Sparse)
		return kSparseSketch;
	return padded < kMaxSketch ? padded : kMaxSketch;
}

void
sketch(const Space &space, const uint8_t *value, float *out)
{
	uint32_t dim = sketch_dim(space.type, space.metric, space.input_dim);

	memset(out, 0, dim * sizeof(float));
	switch (space.type)
	{
		case Type::Vector:
			sketch_elements(space, (const float *) (const void *) value, 0, space.input_dim, dim,
							out);
			return;
		case Type::Half:
			sketch_halves(space, (const uint16_t *) (const void *) value, dim, out);
			return;
		case Type::Bit:
			sketch_bits(space, value, dim, out);
			return;
		case Type::Sparse:
			sketch_sparse(space, sparse_of(value), dim, out);
			return;
	}
}

} // namespace omendb::quant
