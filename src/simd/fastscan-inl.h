/*
 * fastscan-inl.h - estimates of 32 lanes from their codes, and the query's
 * tables that they are looked up in.
 */
#ifndef OMENDB_SIMD_FASTSCAN_INL_H
#define OMENDB_SIMD_FASTSCAN_INL_H

#include "simd/common-inl.h"
#include "simd/kernels.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

/* ---- scanning ---- */

constexpr size_t kScanVectors = 32 / kWidth; /* vectors of integers for 32 lanes */
constexpr size_t kScanColumns = kBytes / 16; /* columns per vector of codes */
constexpr size_t kScanChunk = 256;           /* columns whose sum surely fits 16 bits */

/*
 * Add the table bytes of at most kScanChunk columns to total. A 16-bit lane
 * sums the looked-up bytes two at a time, even + 256 * odd, and a second lane
 * the odd ones alone; the first less 256 times the second is the even sum
 * (modulo 2^16, which is where it lies).
 */
OMENDB_INLINE void
scan_chunk(const uint8_t *codes, const uint8_t *table, size_t columns, VecI total[kScanVectors])
{
	VecI even_lo = zero_i(), odd_lo = zero_i(), even_hi = zero_i(), odd_hi = zero_i();

	for (size_t i = 0; i < 16 * columns; i += kBytes)
	{
		const VecI code = load_i(codes + i);
		const VecI entries = load_i(table + i);
		const VecI lo = lookup(entries, low_nibbles(code));
		const VecI hi = lookup(entries, high_nibbles(code));

		even_lo = add16(even_lo, lo);
		odd_lo = add16(odd_lo, high_bytes(lo));
		even_hi = add16(even_hi, hi);
		odd_hi = add16(odd_hi, high_bytes(hi));
	}
	add_rows(total, without_high(even_lo, odd_lo), odd_lo, without_high(even_hi, odd_hi), odd_hi);
}

OMENDB_INLINE void
scan_plane(const uint8_t *codes, const uint8_t *table, size_t columns, VecI total[kScanVectors])
{
	static_assert(kScanChunk % kScanColumns == 0, "chunks are whole vectors");

	while (__builtin_expect(columns > kScanChunk, 0))
	{
		scan_chunk(codes, table, kScanChunk, total);
		codes += 16 * kScanChunk;
		table += 16 * kScanChunk;
		columns -= kScanChunk;
	}
	scan_chunk(codes, table, columns, total);
}

static void
fastscan(const uint8_t *codes, const uint8_t *table, size_t columns, uint32_t sums[32])
{
	VecI total[kScanVectors];

	for (size_t i = 0; i < kScanVectors; i++)
		total[i] = zero_i();
	scan_plane(codes, table, columns, total);
	for (size_t i = 0; i < kScanVectors; i++)
		store_i(sums + i * kWidth, total[i]);
}

/*
 * The planes' sums weighted 2^b; 4096 columns stay below 2^24. In the order they
 * lie in, since the prefetcher of the CPU reads upwards.
 */
OMENDB_INLINE void
scan_planes(const uint8_t *codes, const uint8_t *table, size_t columns, size_t planes,
			VecI total[kScanVectors])
{
	for (size_t i = 0; i < kScanVectors; i++)
		total[i] = zero_i();
	scan_plane(codes, table, columns, total);
	for (size_t b = 1; b < planes; b++)
	{
		VecI plane[kScanVectors];

		for (size_t i = 0; i < kScanVectors; i++)
			plane[i] = zero_i();
		scan_plane(codes + b * 16 * columns, table, columns, plane);
		for (size_t k = 0; k < b; k++)
			for (size_t i = 0; i < kScanVectors; i++)
				plane[i] = add32(plane[i], plane[i]);
		for (size_t i = 0; i < kScanVectors; i++)
			total[i] = add32(total[i], plane[i]);
	}
}

struct NarrowFactors
{
	const uint16_t *add, *mul;

	OMENDB_INLINE_MEMBER VecF
	load_add(size_t i) const
	{
		return load_bf16(add + i);
	}

	OMENDB_INLINE_MEMBER VecF
	load_mul(size_t i) const
	{
		return load_bf16(mul + i);
	}
};

struct WideFactors
{
	const float *add, *mul;

	OMENDB_INLINE_MEMBER VecF
	load_add(size_t i) const
	{
		return load_f(add + i);
	}

	OMENDB_INLINE_MEMBER VecF
	load_mul(size_t i) const
	{
		return load_f(mul + i);
	}
};

/* minus_t: -t of the 32 lanes. Returns the mask of est < bound. */
template <class Factors>
OMENDB_INLINE uint32_t
estimate(const VecF minus_t[kScanVectors], const Factors factors, float center, float bound,
		 float est[32])
{
	uint32_t mask = 0;

	for (size_t i = 0; i < kScanVectors; i++)
	{
		const VecF base = add(set_f(center), factors.load_add(i * kWidth));
		const VecF e = fma(factors.load_mul(i * kWidth), minus_t[i], base);

		store_f(est + i * kWidth, e);
		mask |= less_mask(e, set_f(bound)) << (i * kWidth);
	}
	return mask;
}

static uint32_t
scan_block(const OmendbScanTable *table, const uint8_t *codes, const void *add, const void *mul,
		   int wide, float center, float bound, float est[32])
{
	/* sum over planes of 2^(b-1) (step S_b - offset) = step/2 sum 2^b S_b - (2^planes - 1)/2 offset
	 */
	const VecF factor = set_f(-0.5f * table->step);
	const VecF constant =
		set_f(0.5f * static_cast<float>((1u << table->planes) - 1) * table->offset);
	VecI total[kScanVectors];
	VecF minus_t[kScanVectors];

	scan_planes(codes, table->high, table->columns, table->planes, total);
	for (size_t i = 0; i < kScanVectors; i++)
		minus_t[i] = to_float(total[i]);
	if (__builtin_expect(table->low != nullptr, 0))
	{
		scan_planes(codes, table->low, table->columns, table->planes, total);
		for (size_t i = 0; i < kScanVectors; i++)
			minus_t[i] = fma(minus_t[i], set_f(256.0f), to_float(total[i]));
	}
	for (size_t i = 0; i < kScanVectors; i++)
		minus_t[i] = fma(minus_t[i], factor, constant);

	if (__builtin_expect(wide != 0, 0))
		return estimate(
			minus_t, WideFactors{static_cast<const float *>(add), static_cast<const float *>(mul)},
			center, bound, est);
	return estimate(
		minus_t,
		NarrowFactors{static_cast<const uint16_t *>(add), static_cast<const uint16_t *>(mul)},
		center, bound, est);
}

/* ---- the query's tables ---- */

/* sum |q_i| of the four dimensions at q, in every lane. */
OMENDB_INLINE VecF
column_size(const float *q)
{
	return add(add(abs(set_f(load_one(q))), abs(set_f(load_one(q + 1)))),
			   add(abs(set_f(load_one(q + 2))), abs(set_f(load_one(q + 3)))));
}

struct ColumnSizes
{
	float largest, total;
};

static ColumnSizes
column_sizes(const float *q, size_t columns)
{
	simde__m128 largest = simde_mm_setzero_ps(), total = simde_mm_setzero_ps();

	/* Four columns at once: transposed, a lane is a column. */
	for (size_t i = 0; i < columns; i += 4)
	{
		const simde__m128 sign = simde_mm_set1_ps(-0.0f);
		simde__m128 a = simde_mm_andnot_ps(sign, simde_mm_loadu_ps(q + 4 * i));
		simde__m128 b = simde_mm_andnot_ps(sign, simde_mm_loadu_ps(q + 4 * i + 4));
		simde__m128 c = simde_mm_andnot_ps(sign, simde_mm_loadu_ps(q + 4 * i + 8));
		simde__m128 d = simde_mm_andnot_ps(sign, simde_mm_loadu_ps(q + 4 * i + 12));

		SIMDE_MM_TRANSPOSE4_PS(a, b, c, d);
		const simde__m128 size = simde_mm_add_ps(simde_mm_add_ps(a, b), simde_mm_add_ps(c, d));
		largest = simde_mm_max_ps(largest, size);
		total = simde_mm_add_ps(total, size);
	}
	largest = simde_mm_max_ps(largest, simde_mm_movehl_ps(largest, largest));
	largest = simde_mm_max_ss(largest, simde_mm_shuffle_ps(largest, largest, 1));
	total = simde_mm_add_ps(total, simde_mm_movehl_ps(total, total));
	total = simde_mm_add_ss(total, simde_mm_shuffle_ps(total, total, 1));
	return ColumnSizes{simde_mm_cvtss_f32(largest), simde_mm_cvtss_f32(total)};
}

/* The 16 entries of one column, as integers in the low 16 bits. */
OMENDB_INLINE void
table_column(const float *q, VecF inverse, VecI entries[kParts])
{
	const VecF size = column_size(q);

	for (size_t p = 0; p < kParts; p++)
	{
		VecF minus = zero_f();

		/* kLaneSigns has -1 where the pattern's bit is set, which here means +. */
		for (int j = 0; j < 4; j++)
			minus = fma(set_f(load_one(q + j)), load_f(kLaneSigns[j] + p * kWidth), minus);
		entries[p] = bits_of(fma(sub(size, minus), inverse, set_f(kRounder)));
	}
}

static void
build_table(const float *q, size_t columns, uint8_t *high, uint8_t *low, float *step, float *offset)
{
	const ColumnSizes sizes = column_sizes(q, columns);
	const float limit = low != nullptr ? 65535.0f : 255.0f;
	const float s = 2.0f * sizes.largest / limit;
	const float inverse = 1.0f / s;

	/* Zero, or beyond the range of floats: t = 0 is as good an estimate as any. */
	if (!(s > 0.0f && s <= 3.40282347e38f && inverse <= 3.40282347e38f))
	{
		__builtin_memset(high, 0, 16 * columns);
		if (low != nullptr)
			__builtin_memset(low, 0, 16 * columns);
		*step = *offset = 0.0f;
		return;
	}
	for (size_t m = 0; m < columns; m++)
	{
		VecI entries[kParts];

		table_column(q + 4 * m, set_f(inverse), entries);
		if (low != nullptr)
		{
			store_low_bytes(low + 16 * m, entries);
			for (size_t p = 0; p < kParts; p++)
				entries[p] = shift_right_8(entries[p]);
		}
		store_low_bytes(high + 16 * m, entries);
	}
	*step = s;
	*offset = sizes.total;
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
