/*
 * fixture.hpp - a Space that owns its memory, the kernel tables this machine
 * runs, and the arithmetic of the SQL functions.
 */
#ifndef OMENDB_TEST_QUANT_FIXTURE_HPP
#define OMENDB_TEST_QUANT_FIXTURE_HPP

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "quant/code.hpp"
#include "quant/space.hpp"

namespace omendb::quant::test
{

using Vector = std::vector<float>;
using Bytes = std::vector<uint8_t>;

inline const std::vector<const OmendbKernels *> &
tables()
{
	static const std::vector<const OmendbKernels *> supported = []
	{
		std::vector<const OmendbKernels *> found;

		for (int i = 0; const OmendbKernels *kernels = omendb_kernels_at(i); i++)
			if (omendb_kernels_supported(kernels))
				found.push_back(kernels);
		return found;
	}();

	return supported;
}

/* Trials: OMENDB_TEST_SCALE multiplies them; the sanitizers are ten times slower. */
inline size_t
trials(size_t count)
{
	const char *scale = std::getenv("OMENDB_TEST_SCALE");
	double factor = scale != nullptr ? std::atof(scale) : 1.0;

#ifdef OMENDB_SANITIZED
	factor /= 20;
#endif
	double scaled = (double) count * factor;

	return scaled < 1 ? 1 : (size_t) scaled;
}

struct OwnedSpace
{
	Vector mean;
	Bytes signs;
	Space space;

	OwnedSpace(Metric metric, Storage storage, const Vector &mean_in, uint32_t bits = 1,
			   uint32_t code_dim = 0, uint64_t seed = 1)
		: mean(mean_in)
	{
		uint32_t n = (uint32_t) mean.size();

		space.metric = metric;
		space.storage = storage;
		space.input_dim = n;
		space.dim = padded_dim(metric, n);
		space.code_dim = code_dim != 0 ? code_dim : space.dim;
		space.code_bits = bits;
		space.radius = 0;
		space.query_length = 0;
		space.seed = seed;
		space.mean = mean.data();
		signs.resize(space.dim / 2);
		make_signs(seed, space.dim, signs.data());
		space.signs = signs.data();
		space.kernels = tables().front();
	}

	OwnedSpace(const OwnedSpace &) = delete;
	OwnedSpace &operator=(const OwnedSpace &) = delete;
};

struct StoredRow
{
	bool indexed;
	Bytes bytes;
	StoredMeta meta;
};

inline StoredRow
store_row(const Space &space, const Vector &x)
{
	StoredRow row;
	Vector t(space.dim);
	float excess;

	row.indexed = transform_row(space, x.data(), t.data(), &excess);
	row.bytes.resize(stored_bytes(space.storage, space.dim));
	if (row.indexed)
		store_vector(space, t.data(), excess, row.bytes.data(), &row.meta);
	return row;
}

struct PreparedQuery
{
	std::vector<double> memory; /* doubles, for their alignment */
	Query query;

	PreparedQuery(const Space &space, const Vector &q) : memory(query_bytes(space) / 8 + 1)
	{
		prepare_query(space, q.data(), memory.data(), &query);
	}

	PreparedQuery(PreparedQuery &&) = default;
};

inline Vector
gaussian(std::mt19937_64 &random, size_t n, double sigma = 1)
{
	std::normal_distribution<double> normal(0, sigma);
	Vector v(n);

	for (float &x : v)
		x = (float) normal(random);
	return v;
}

inline double
norm_of(const Vector &v)
{
	double sum = 0;

	for (float x : v)
		sum += (double) x * x;
	return std::sqrt(sum);
}

/* ---- what the SQL functions return ---- */

inline double
sql_cosine(float dot, float aa, float bb)
{
	double similarity = (double) dot / std::sqrt((double) aa * (double) bb);

	if (similarity > 1)
		similarity = 1;
	else if (similarity < -1)
		similarity = -1;
	return 1 - similarity;
}

inline double
sql_value(const OmendbKernels *kernels, Metric metric, const Vector &a, const Vector &b)
{
	switch (metric)
	{
		case Metric::L2:
			return std::sqrt((double) kernels->l2_f32(a.data(), b.data(), a.size()));
		case Metric::InnerProduct:
			return -(double) kernels->dot_f32(a.data(), b.data(), a.size());
		case Metric::Cosine:
		case Metric::L1:
		case Metric::Hamming:
		case Metric::Jaccard:
			break;
	}

	float sums[3];

	kernels->cosine_f32(a.data(), b.data(), a.size(), sums);
	return sql_cosine(sums[0], sums[1], sums[2]);
}

/* The worst order the bounds admit: four accumulators, combined one by one. */
template <typename Term>
float
sum_by_four(size_t n, Term term)
{
	float sums[4] = {0, 0, 0, 0};

	for (size_t i = 0; i < n; i++)
		sums[i % 4] += term(i);
	return ((sums[0] + sums[1]) + sums[2]) + sums[3];
}

inline double
naive_value(Metric metric, const Vector &a, const Vector &b)
{
	auto dot = [](const Vector &x, const Vector &y)
	{
		return sum_by_four(x.size(), [&](size_t i) { return x[i] * y[i]; });
	};

	switch (metric)
	{
		case Metric::L2:
			return std::sqrt((double) sum_by_four(a.size(),
												  [&](size_t i)
												  {
													  float d = a[i] - b[i];

													  return d * d;
												  }));
		case Metric::InnerProduct:
			return -(double) dot(a, b);
		case Metric::Cosine:
		case Metric::L1:
		case Metric::Hamming:
		case Metric::Jaccard:
			break;
	}
	return sql_cosine(dot(a, b), dot(a, a), dot(b, b));
}

/* FNV-1a, for golden values. */
inline uint64_t
hash_bytes(const void *data, size_t bytes)
{
	const uint8_t *p = (const uint8_t *) data;
	uint64_t hash = 0xCBF29CE484222325u;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ p[i]) * 0x100000001B3u;
	return hash;
}

/* Repeatable inputs without libm or <random>, whose sequences are not ours. */
inline Vector
fixed_vector(size_t n, uint32_t seed)
{
	Vector v(n);
	uint32_t state = seed;

	for (float &x : v)
	{
		state = state * 1664525u + 1013904223u;
		x = (float) (int32_t) (state >> 8) / 8388608.0f - 1.0f;
	}
	return v;
}

} // namespace omendb::quant::test

#endif
