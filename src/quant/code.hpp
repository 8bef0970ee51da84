/*
 * code.hpp - a neighbour's residual code in a FastScan block.
 *
 * A block scores 32 lanes. Its bytes, in this order:
 *   add   32 x bf16 (float32 when factors are wide: 3 and 4 bits)
 *   mul   32 x the same
 *   codes code_bits planes of 16 * code_dim / 4 bytes (kernels.h, fastscan)
 *
 * For neighbour o of centre c, r = o - c, z its code: w = |r|^2 / <z,r>, where |r|^2
 * runs over all n dimensions and <z,r> over the code_n that are kept: then
 * est<r,y> = w <z,y> is unbiased for truncated codes too (README), without a factor
 * n / code_n. add = |r|^2 + 2 w <z,c>, mul = 2 w; then
 *   |q - o|^2 ~ |q - c|^2 + add - mul <z,q>.
 * Of plain values there are no codes: blocks are 0 bytes, and what writes them
 * does nothing.
 *
 * r = 0: add = mul = 0. An empty lane: add = +inf, mul = 0. In a lane in use both
 * are finite.
 */
#ifndef OMENDB_QUANT_CODE_HPP
#define OMENDB_QUANT_CODE_HPP

#include <string.h>

#include "quant/space.hpp"

namespace omendb::quant
{

inline bool
factors_are_wide(const Space &space)
{
	return space.code_bits >= 3;
}

/* Bytes of add (or of mul). */
inline uint32_t
factor_bytes(uint32_t code_bits)
{
	return OMENDB_LANES * (code_bits >= 3 ? 4 : 2);
}

uint32_t block_bytes(uint32_t code_dim, uint32_t code_bits);

/* A code on its way into a lane; add and mul are already rounded to what a lane holds. */
struct LaneCode
{
	float add;
	float mul;
	uint8_t planes[OMENDB_MAX_CODE_BITS * 2048]; /* code_bits x code_dim / 8 used */
};

/* Encode o against c, both dim floats. Bit-identical under every instruction set. */
void encode_lane(const Space &space, const float *o, const float *c, LaneCode *code);

/*
 * Put a code into a lane of a block. Order of writes for readers that hold no
 * lock: add = +inf, codes, mul, then add (release).
 */
void write_lane(const Space &space, uint8_t *block, uint32_t lane, const LaneCode &code);
void clear_lane(const Space &space, uint8_t *block, uint32_t lane);
void clear_block(const Space &space, uint8_t *block);

/* A vector as a record keeps it; scale as in StoredMeta. */
struct StoredVector
{
	const uint8_t *stored; /* any alignment */
	float scale;
};

/*
 * Write a whole block that nobody reads yet: neighbour i in lane i, n <= 32, the
 * other lanes empty. The same bytes as clear_block() and, for each neighbour,
 * load_vector(), encode_lane() against center and write_lane(); several times
 * faster.
 */
void encode_block(const Space &space, const float *center, const StoredVector *neighbours,
				  uint32_t n, uint8_t *block);

/* The factors and planes of a lane, for checks. */
void read_lane(const Space &space, const uint8_t *block, uint32_t lane, LaneCode *code);

/*
 * Estimates of all lanes of a block: see kernels.h, scan_block. center is the
 * squared distance from the query to the block's owner.
 */
inline uint32_t
scan_lanes(const Space &space, const Query &query, const uint8_t *block, float center, float bound,
		   float est[OMENDB_LANES])
{
	size_t width = factor_bytes(space.code_bits);
	return space.kernels->scan_block(&query.table, block + 2 * width, block, block + width,
									 factors_are_wide(space), center, bound, est);
}

/* mul of one lane as float: the weight of its estimate is 1 / (mul^2 * center). */
inline float
lane_mul(const Space &space, const uint8_t *block, uint32_t lane)
{
	const uint8_t *muls = block + factor_bytes(space.code_bits);
	uint32_t bits;
	float mul;

	if (factors_are_wide(space))
		memcpy(&bits, muls + lane * sizeof(bits), sizeof(bits));
	else
	{
		uint16_t high;

		memcpy(&high, muls + lane * sizeof(high), sizeof(high));
		bits = (uint32_t) high << 16;
	}
	memcpy(&mul, &bits, sizeof(mul));
	return mul;
}

} // namespace omendb::quant

#endif
