/*
 * space.hpp - the space the graph lives in, and how rows and queries enter it.
 *
 * The graph knows one metric: squared L2 between vectors of `dim` floats. A
 * Space maps a row or a query there so that the order by the operator is the
 * order by squared L2:
 *
 *   L2       t(x) = P(x - mu)                  t(q) = P(q - mu)
 *   cosine   t(x) = P(x/|x| - mu)              t(q) = P(q/|q| - mu)
 *   inner    y = x - mu; a = sqrt(max(0, radius^2 - |y|^2))
 *            t(x) = P(y, a)                    t(q) = P(s q, 0), s = length/|q|
 *
 * (the reduction of inner product to L2 by one more coordinate: Bachrach et
 * al., RecSys 2014). P pads with zeros to `dim`, a multiple of 16, and rotates
 * (kernels.h). A row longer than `radius` keeps a = 0: it counts as farther than it is,
 * by (|y|^2 - radius^2) / (2 length) in units of the inner product, and its bounds stay
 * proven. So `length` is the radius as long as no row is longer, and then much more than
 * that row's (query_length_for()): estimates err by |t(q) - t(x)|, which is least with
 * the radius, and at most 2.2 times as large where rows are of one length.
 *
 * A row is stored as x^ (int8 with a scale, float16 or float32) with
 * residual >= |t(x) - x^|, rounded up. Values so large that squares would
 * overflow are scaled down first; the residual then says so, up to +inf.
 */
#ifndef OMENDB_QUANT_SPACE_HPP
#define OMENDB_QUANT_SPACE_HPP

#include "base/limits.h"
#include "base/status.h"
#include "simd/kernels.h"

namespace omendb::quant
{

enum class Metric : uint8_t
{
	L2 = 1,
	InnerProduct = 2,
	Cosine = 3,
	/* plain values only: quant/value.hpp */
	L1 = 4,
	Hamming = 5,
	Jaccard = 6
};

/* The SQL type whose values are indexed. */
enum class Type : uint8_t
{
	Vector = 1,
	Half = 2,
	Bit = 3,
	Sparse = 4
};

enum class Storage : uint8_t
{
	Int8 = 1,
	Half = 2,
	Full = 3,
	Value = 4 /* the bytes of the SQL value: quant/value.hpp */
};

/* Plain data; everything it points to is owned by the caller. */
struct Space
{
	Metric metric;
	Storage storage;
	Type type;
	uint32_t input_dim; /* dimensions of the type */
	uint32_t dim;       /* after the extra coordinate and padding; of plain values: most bytes */
	uint32_t code_dim;  /* D' <= dim, a multiple of 16 */
	uint32_t code_bits; /* 1 to 4 */
	float radius;       /* inner product only, else 0 */
	float query_length; /* what queries are mapped to, if more than radius */
	uint64_t seed;
	const float *mean;    /* input_dim floats */
	const uint8_t *signs; /* dim / 2 bytes, from make_signs() */
	const OmendbKernels *kernels;
};

/* Values are kept as they are, and compared by their operator: no codes, no bounds. */
inline bool
is_plain(const Space &space)
{
	return space.storage == Storage::Value;
}

/* How much longer than the longest row queries are where rows are longer than the radius. */
constexpr float kQueryLengths = 8;

/*
 * The query_length that rows up to so long want, 0 when the radius will do. An index that
 * was made without rows has radius 1, which is right for unit vectors; other rows were
 * not found at all (recall 0 of word vectors of lengths 2 to 12).
 */
float query_length_for(const Space &space, float longest);

/* dim for an input: input_dim, one more for inner product, padded to 16. */
uint32_t padded_dim(Metric metric, uint32_t input_dim);

/* Bytes of a stored vector; of plain values the most there can be. */
uint32_t stored_bytes(Storage storage, uint32_t dim);

/*
 * The 4 * dim sign bits of the rotation from the seed: splitmix64, the k-th
 * 64-bit output (k from 0) gives bits 64k .. 64k+63, LSB first. dim / 2 bytes.
 * On disk only the seed is kept: this function is part of the format.
 */
void make_signs(uint64_t seed, uint32_t dim, uint8_t *signs);

/* What is stored beside x^. */
struct StoredMeta
{
	float scale;    /* int8: x^_i = scale * c_i; else 1 */
	float self_dot; /* |x^|^2 */
	float residual; /* >= |t(x) - x^|, may be +inf */
};

/*
 * Map a row. x: input_dim finite floats; out: dim floats, always finite.
 * *excess receives what the clamping of huge values took away (>= 0, may be
 * +inf), to be passed to store_vector. Returns false when the row is not
 * indexed (cosine: zero vector; pgvector skips it as well).
 */
bool transform_row(const Space &space, const float *x, float *out, float *excess);

/*
 * Store t (dim floats) into dst (stored_bytes). The residual covers
 * quantisation and excess; the rounding of the transform itself is covered by
 * the slack of bounds().
 */
void store_vector(const Space &space, const float *t, float excess, uint8_t *dst, StoredMeta *meta);

/* x^ as dim floats. */
void load_vector(const Space &space, const uint8_t *src, float scale, float *out);

/* A query; table memory is caller's: 16 * code_dim / 4 bytes, twice if wide. */
struct Query
{
	const float *vector; /* dim floats: t(q) */
	OmendbScanTable table;
	float norm;           /* |t(q)| rounded up */
	double self_dot;      /* |t(q)|^2 */
	double input_norm;    /* |q| as given, in double */
	double factor;        /* inner product: s; else 1 */
	double mean_dot;      /* inner product: <q, mu> in double */
	double mean_norm;     /* |mu| in double */
	double excess;        /* what clamping took from t(q): widens every bound */
	bool unbounded;       /* nothing can be proven: bounds are -inf, +inf */
	const uint8_t *value; /* plain values: the query's own, else NULL */
};

/* Whether the table of this space needs 16-bit entries (3 and 4 bits a dimension). */
bool table_is_wide(const Space &space);
/* Bytes for Query::vector and the table together, and set-up inside them. */
size_t query_bytes(const Space &space);
/*
 * Prepare a search by the operator: q has input_dim finite floats, memory has
 * query_bytes(). A cosine query of norm zero: unbounded, vector = 0.
 */
void prepare_query(const Space &space, const float *q, void *memory, Query *query);
/*
 * t(q) alone, dim floats: where queries differ from rows (inner product), what a row
 * would be as a query. All zeros of a q of norm zero.
 */
void transform_query(const Space &space, const float *q, float *out);
/*
 * Prepare a search for a row's own transform (build, insert): t has dim floats.
 * No operator is asked, so the query is unbounded.
 */
void prepare_row_query(const Space &space, const float *t, void *memory, Query *query);

/* Squared distance from the query to a stored vector; not for plain values. */
inline float
query_distance(const Space &space, const Query &query, const uint8_t *stored, float scale)
{
	switch (space.storage)
	{
		case Storage::Int8:
			return space.kernels->l2_f32_i8(query.vector, (const int8_t *) stored, scale,
											space.dim);
		case Storage::Half:
			return space.kernels->l2_f32_f16(query.vector, (const uint16_t *) stored, space.dim);
		case Storage::Full:
		case Storage::Value:
			break;
	}
	return space.kernels->l2_f32(query.vector, (const float *) stored, space.dim);
}

/*
 * Squared distance between two stored vectors, for neighbour selection; of plain
 * values pair_distance(), which plays the same part.
 */
float stored_distance(const Space &space, const uint8_t *a, const StoredMeta &a_meta,
					  const uint8_t *b, const StoredMeta &b_meta);

/* A proven interval for the value of the SQL operator. */
struct Interval
{
	double low;
	double high;
};

/*
 * The interval for the operator's result on (q, any row stored as this
 * record), given the computed squared distance d2. Proven: the SQL functions
 * of this extension (and any float32 summation with at least 4 accumulators
 * or pairwise order) return a value inside it. Never NaN; -inf and +inf when
 * nothing can be proven (overflow, zero norms).
 *   L2: sqrt form; inner product: the negative inner product; cosine: 1 - cos.
 */
Interval operator_interval(const Space &space, const Query &query, float d2,
						   const StoredMeta &meta);

} // namespace omendb::quant

#endif
