/*
 * value.hpp - plain values: rows kept as the bytes of their SQL value.
 *
 * L1, Hamming and Jaccard have no rotation and no residual codes, and sparse
 * vectors no fixed coordinates: records of these keep the value itself, and the
 * distance of a node is the operator's own, computed as the SQL function does.
 *
 *   type     payload
 *   vector   input_dim float32
 *   halfvec  input_dim float16
 *   bit      (input_dim + 7) / 8 bytes, first bit highest, rest 0
 *   sparse   SparseHead, count int32 indices ascending, count float32 values
 *
 * What a graph is made by is pair_distance(): like a squared Euclidean distance,
 * which L1, Hamming, Jaccard and 1 - cosine are in some space; inner product is
 * lifted as in space.hpp. A bulk build looks for candidates by the int8 form of a
 * sketch(), a vector of sketch_dim() floats whose squared distances resemble it:
 * bits as +-1, or 0 and 1 over their number (Jaccard); elements (L1); beyond
 * kMaxSketch dimensions, and sparse vectors always, a signed hash of them
 * (Charikar et al., "Finding frequent items in data streams"; Weinberger et al.,
 * "Feature hashing for large scale multitask learning").
 */
#ifndef OMENDB_QUANT_VALUE_HPP
#define OMENDB_QUANT_VALUE_HPP

#include <string.h>

#include "quant/space.hpp"

namespace omendb::quant
{

constexpr uint32_t kMaxSketch = 1024;
constexpr uint32_t kSparseSketch = 512;

/* What a sparse payload begins with. */
struct SparseHead
{
	int32_t count; /* of indices, and of values */
	int32_t unused;
};

/* Whether an index on this type and metric keeps plain values. */
bool keeps_values(Type type, Metric metric);

/* Most bytes of a payload that an index takes. */
uint32_t value_capacity(Type type, uint32_t input_dim);

/* Bytes of a stored row: fewer than stored_bytes() for sparse vectors only. */
inline uint32_t
stored_size(const Space &space, const uint8_t *stored)
{
	SparseHead head;

	if (!is_plain(space) || space.type != Type::Sparse)
		return stored_bytes(space.storage, space.dim);
	memcpy(&head, stored, sizeof(head));
	/* A damaged page says anything. */
	uint32_t count = head.count < 0 ? 0 : (uint32_t) head.count;
	if (count > OMENDB_SPARSE_MAX_INDEXED)
		count = OMENDB_SPARSE_MAX_INDEXED;
	return (uint32_t) sizeof(head) + 8 * count;
}

/* Whether a row is indexed: all but zero vectors under cosine. */
bool value_has_place(const Space &space, const uint8_t *value);

/* What the SQL operator returns; NaN where it does. */
double operator_value(const Space &space, const uint8_t *query, const uint8_t *value);

/* Distance between two rows for the graph: never NaN, not negative. */
float pair_distance(const Space &space, const uint8_t *a, const uint8_t *b);

/* A multiple of 16. */
uint32_t sketch_dim(Type type, Metric metric, uint32_t input_dim);

/* out: sketch_dim() floats, finite. */
void sketch(const Space &space, const uint8_t *value, float *out);

} // namespace omendb::quant

#endif
