/*
 * code.cpp - encoding a neighbour against the node that lists it, and the
 * lanes of a FastScan block.
 *
 * A block is written under its node's lock and, during a build, read without
 * one: a reader may see a torn code. That costs it one bad estimate, never a
 * wrong result, since estimates are not returned.
 */
#include "quant/code.hpp"

#include <string.h>

#include "base/attributes.h"
#include "quant/rounding.hpp"

#include "base/no_postgres.hpp"

namespace omendb::quant
{

namespace
{

typedef uint16_t OMENDB_MAY_ALIAS PageU16;
typedef uint32_t OMENDB_MAY_ALIAS PageU32;

/*
 * Vectors are at most 1e17 long (space.cpp), so mul of sound data is below
 * 1e18 and |t| below 1e20. With these limits center + add - mul * t is finite.
 */
constexpr double kLargestMul = 1e18;
constexpr double kLargestAdd = 1e38;

constexpr uint32_t kInfinity = 0x7F800000;

uint32_t
bits_of(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

float
float_of(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* To the nearest bf16, ties to even; x finite and far from overflow. */
uint32_t
bf16_bits(float x)
{
	uint32_t bits = bits_of(x);

	return (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000;
}

/*
 * Store a factor: the upper half of its bits, or all of them. Atomic wherever
 * it can matter: a page that is not aligned to 4 is private to one thread.
 */
OMENDB_TORN_WRITES_ARE_FINE void
store_factor(uint8_t *at, bool wide, uint32_t bits)
{
	uint32_t width = wide ? 4 : 2;

	if (((uintptr_t) at & (width - 1)) == 0)
	{
		if (wide)
			__atomic_store_n((PageU32 *) (void *) at, bits, __ATOMIC_RELEASE);
		else
			__atomic_store_n((PageU16 *) (void *) at, (uint16_t) (bits >> 16), __ATOMIC_RELEASE);
		return;
	}

	uint16_t narrow = (uint16_t) (bits >> 16);

	if (wide)
		memcpy(at, &bits, sizeof(bits));
	else
		memcpy(at, &narrow, sizeof(narrow));
}

uint32_t
load_factor(const uint8_t *at, bool wide)
{
	uint32_t bits;
	uint16_t narrow;

	if (wide)
	{
		memcpy(&bits, at, sizeof(bits));
		return bits;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return (uint32_t) narrow << 16;
}

/* Later stores may not become visible before earlier ones. */
OMENDB_TORN_WRITES_ARE_FINE inline void
store_fence()
{
#ifndef __SANITIZE_THREAD__
	__atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

/* Where in the 16 bytes of a column the nibble of a lane lies. */
uint32_t
lane_byte(uint32_t lane)
{
	uint32_t t = lane % 16;

	return t < 8 ? 2 * t : 2 * (t - 8) + 1;
}

void
read_nibbles(const uint8_t *codes, uint8_t *plane, uint32_t bytes, uint32_t shift)
{
	for (uint32_t i = 0; i < bytes; i++, codes += 32)
		plane[i] = (uint8_t) ((codes[0] >> shift & 0x0F) | (codes[16] >> shift & 0x0F) << 4);
}

double
clamp(double x, double limit)
{
	return x > limit ? limit : (x < -limit ? -limit : x);
}

/* The factors of a code, rounded to what a lane holds. */
inline void
make_factors(bool wide, const OmendbResidualSums &sums, float *add_factor, float *mul_factor)
{
	/*
	 * |r|^2 runs over all dimensions and <z,r> over those of the code, so this
	 * is unbiased for truncated codes without a further factor.
	 */
	double exact = 0;

	if (sums.z_dot_r > 0)
		exact = clamp(2.0 * (double) sums.n2 / (double) sums.z_dot_r, kLargestMul);

	float mul = (float) exact;

	if (!wide)
		mul = float_of(bf16_bits(mul));

	/*
	 * add is made with mul as stored: then the rounding of mul scales <r, q - c>
	 * only, not the much larger <r, c>, which would not cancel.
	 */
	double add = (double) sums.n2 + (double) mul * (double) sums.z_dot_c;

	/* Not a number: only from a damaged vector. No estimate is as good as any. */
	if (!(add == add) || !(mul >= 0))
	{
		mul = 0;
		add = 0;
	}
	*mul_factor = mul;
	*add_factor = (float) clamp(add, kLargestAdd);
	if (!wide)
		*add_factor = float_of(bf16_bits(*add_factor));
}

OmendbElement
element_of(Storage storage)
{
	return storage == Storage::Int8   ? OMENDB_INT8
		   : storage == Storage::Half ? OMENDB_FLOAT16
									  : OMENDB_FLOAT32;
}

/* Plain stores: for a block that nobody reads yet. */
template <typename T>
inline void
put_factors(uint8_t *block, uint32_t lane, float add, float mul)
{
	constexpr uint32_t kShift = sizeof(T) == 2 ? 16 : 0;
	const T a = (T) (bits_of(add) >> kShift), m = (T) (bits_of(mul) >> kShift);

	memcpy(block + lane * sizeof(T), &a, sizeof(T));
	memcpy(block + (OMENDB_LANES + lane) * sizeof(T), &m, sizeof(T));
}

/* 32 lanes of codes: no record in a page has longer ones. */
constexpr uint32_t kMaxLaneBytes = 256;

} // namespace

uint32_t
block_bytes(uint32_t code_dim, uint32_t code_bits)
{
	return code_bits == 0 ? 0 : 2 * factor_bytes(code_bits) + code_bits * code_dim * 4;
}

void
encode_lane(const Space &space, const float *o, const float *c, LaneCode *code)
{
	OmendbResidualSums sums;

	if (is_plain(space))
		return;
	space.kernels->encode_residual(o, c, space.dim, space.code_dim, space.code_bits, code->planes,
								   &sums);
	make_factors(factors_are_wide(space), sums, &code->add, &code->mul);
}

OMENDB_TORN_WRITES_ARE_FINE void
write_lane(const Space &space, uint8_t *block, uint32_t lane, const LaneCode &code)
{
	if (is_plain(space))
		return;
	bool wide = factors_are_wide(space);
	size_t factors = factor_bytes(space.code_bits);
	size_t width = factors / OMENDB_LANES;
	uint32_t plane_bytes = space.code_dim / 8;
	uint8_t *add = block + lane * width;

	store_factor(add, wide, kInfinity);
	store_fence();
	/* A plane of a lane follows the one before it without a gap. */
	space.kernels->put_lane(block + 2 * factors, lane, code.planes, space.code_bits * plane_bytes);
	store_factor(add + factors, wide, wide ? bits_of(code.mul) : bf16_bits(code.mul));
	store_factor(add, wide, wide ? bits_of(code.add) : bf16_bits(code.add));
}

void
clear_lane(const Space &space, uint8_t *block, uint32_t lane)
{
	if (is_plain(space))
		return;
	bool wide = factors_are_wide(space);
	size_t factors = factor_bytes(space.code_bits);
	uint8_t *add = block + lane * (factors / OMENDB_LANES);

	/* The code stays: without its factors it means nothing. */
	store_factor(add, wide, kInfinity);
	store_factor(add + factors, wide, 0);
}

void
clear_block(const Space &space, uint8_t *block)
{
	if (is_plain(space))
		return;
	memset(block, 0, block_bytes(space.code_dim, space.code_bits));
	for (uint32_t lane = 0; lane < OMENDB_LANES; lane++)
		clear_lane(space, block, lane);
}

void
encode_block(const Space &space, const float *center, const StoredVector *neighbours, uint32_t n,
			 uint8_t *block)
{
	if (is_plain(space))
		return;
	bool wide = factors_are_wide(space);
	size_t bytes = space.code_bits * space.code_dim / 8;
	size_t stride = (bytes + 7) / 8 * 8;
	const void *rows[OMENDB_LANES];
	float scales[OMENDB_LANES];
	OmendbResidualSums sums[OMENDB_LANES];
	uint8_t planes[OMENDB_LANES * kMaxLaneBytes];
	uint8_t *codes = block + 2 * factor_bytes(space.code_bits);

	for (uint32_t lane = 0; lane < n; lane++)
	{
		rows[lane] = neighbours[lane].stored;
		scales[lane] = neighbours[lane].scale;
	}
	for (uint32_t lane = n; lane < OMENDB_LANES; lane++)
		sums[lane] = {};

	if (bytes <= kMaxLaneBytes)
	{
		space.kernels->encode_rows(element_of(space.storage), rows, scales, n, center, space.dim,
								   space.code_dim, space.code_bits, planes, stride, sums);
		memset(planes + n * stride, 0, (OMENDB_LANES - n) * stride);
		space.kernels->pack_lanes(planes, stride, bytes, codes);
	}
	else
	{
		LaneCode code;

		memset(codes, 0, OMENDB_LANES * bytes);
		for (uint32_t lane = 0; lane < n; lane++)
		{
			space.kernels->encode_rows(element_of(space.storage), rows + lane, scales + lane, 1,
									   center, space.dim, space.code_dim, space.code_bits,
									   code.planes, 0, sums + lane);
			space.kernels->put_lane(codes, lane, code.planes, bytes);
		}
	}
	for (uint32_t lane = 0; lane < OMENDB_LANES; lane++)
	{
		float add = float_of(kInfinity), mul = 0;

		if (lane < n)
			make_factors(wide, sums[lane], &add, &mul);
		if (wide)
			put_factors<uint32_t>(block, lane, add, mul);
		else
			put_factors<uint16_t>(block, lane, add, mul);
	}
}

void
read_lane(const Space &space, const uint8_t *block, uint32_t lane, LaneCode *code)
{
	bool wide = factors_are_wide(space);
	size_t factors = factor_bytes(space.code_bits);
	uint32_t plane_bytes = space.code_dim / 8;
	const uint8_t *add = block + lane * (factors / OMENDB_LANES);
	const uint8_t *codes = block + 2 * factors + lane_byte(lane);

	code->add = float_of(load_factor(add, wide));
	code->mul = float_of(load_factor(add + factors, wide));
	read_nibbles(codes, code->planes, space.code_bits * plane_bytes, lane < 16 ? 0 : 4);
}

} // namespace omendb::quant
