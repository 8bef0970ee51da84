/*
 * tile-inl.h - all dot products of some int8 rows with a tile of others, and
 * the choice of the near ones. Exact and bit-identical.
 *
 * A tile is made of panels: kWidth rows, a vector of kTileDims dimensions of
 * each after the other, so that a lane is a row and nothing is summed across
 * lanes. What a panel's vector is multiplied with is the same few dimensions of
 * one other row in every lane.
 */
#ifndef OMENDB_SIMD_TILE_INL_H
#define OMENDB_SIMD_TILE_INL_H

#include "simd/common-inl.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

constexpr size_t kTileBlock = 4 * kTileDims; /* dimensions transposed at once */

OMENDB_INLINE size_t
panel_bytes(size_t dim)
{
	return dim / kTileDims * kBytes;
}

static size_t
tile_bytes(size_t n, size_t dim)
{
	return (n + 15) / 16 * kParts * panel_bytes(dim);
}

/* Four rows a lane of 16 bytes become four vectors, each with one word of every row. */
OMENDB_INLINE void
pack_panel(const int8_t *const rows[kWidth], size_t dim, uint8_t *panel)
{
	for (size_t i = 0; i < dim; i += kTileBlock)
	{
		const VecI a = tile_rows(rows, i), b = tile_rows(rows + 1, i);
		const VecI c = tile_rows(rows + 2, i), d = tile_rows(rows + 3, i);
		const VecI ab_lo = unpack_lo32(a, b), ab_hi = unpack_hi32(a, b);
		const VecI cd_lo = unpack_lo32(c, d), cd_hi = unpack_hi32(c, d);

		store_i(panel, unpack_lo64(ab_lo, cd_lo));
		store_i(panel + kBytes, unpack_hi64(ab_lo, cd_lo));
		store_i(panel + 2 * kBytes, unpack_lo64(ab_hi, cd_hi));
		store_i(panel + 3 * kBytes, unpack_hi64(ab_hi, cd_hi));
		panel += 4 * kBytes;
	}
}

static void
tile_pack(const int8_t *const *rows, size_t n, size_t dim, void *tile)
{
	uint8_t *panel = static_cast<uint8_t *>(tile);

	for (size_t i = 0; i < (n + 15) / 16 * 16; i += kWidth)
	{
		const int8_t *some[kWidth];

		for (size_t k = 0; k < kWidth; k++)
			some[k] = rows[i + k < n ? i + k : n - 1];
		pack_panel(some, dim, panel);
		panel += panel_bytes(dim);
	}
}

/* ---- the products ---- */

/*
 * A block of sums is kTileSums rows by kTilePanels panels, as many as there are
 * registers for beside a vector of each panel and one of the row. It is at most
 * kTileDepth dimensions deep, so that its part of the tile stays in L1 while
 * kTileRows rows pass by; the next depth adds to what is in `out`.
 */
constexpr size_t kTileDepth = 256;
constexpr size_t kTileRows = 48;

struct TileRow
{
	const TileElement *words; /* the row's dimensions of this depth */
	int32_t *out;             /* its sums of this depth's first panel */
	int32_t start;            /* what they start from */
};

/* The products of one word of each row and each panel onto `from`. */
template <size_t rows, size_t panels>
OMENDB_INLINE void
tile_products(VecI sums[rows][panels], const VecI from[rows][panels], const TileRow *row,
			  const uint8_t *tile, size_t panel, size_t i)
{
	VecI columns[panels];

#pragma GCC unroll 8
	for (size_t p = 0; p < panels; p++)
		columns[p] = load_i(tile + p * panel);
#pragma GCC unroll 8
	for (size_t r = 0; r < rows; r++)
	{
		const VecI word = tile_word(row[r].words + i);

#pragma GCC unroll 8
		for (size_t p = 0; p < panels; p++)
			sums[r][p] = tile_step(from[r][p], columns[p], word);
	}
}

/*
 * The first products stand before the loop: GCC 12 keeps sums that all start
 * from the same value in memory.
 */
template <size_t rows, size_t panels, bool first>
OMENDB_INLINE void
tile_block(const TileRow *row, const uint8_t *tile, size_t panel, size_t at, size_t dims)
{
	VecI sums[rows][panels], start[rows][panels];

#pragma GCC unroll 8
	for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
		for (size_t p = 0; p < panels; p++)
			start[r][p] = first ? set_i(row[r].start) : load_i(row[r].out + at + p * kWidth);
	tile_products<rows, panels>(sums, start, row, tile, panel, 0);
	for (size_t i = kTileDims; i < dims; i += kTileDims)
	{
		tile += kBytes;
		tile_products<rows, panels>(sums, sums, row, tile, panel, i);
	}
#pragma GCC unroll 8
	for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 8
		for (size_t p = 0; p < panels; p++)
			store_i(row[r].out + at + p * kWidth, sums[r][p]);
}

/* All rows against `panels` panels; the rows left over go one by one. */
template <size_t panels, bool first>
static void
tile_panels(const TileRow *row, size_t rows, const uint8_t *tile, size_t panel, size_t at,
			size_t dims)
{
	size_t r = 0;

	for (; r + kTileSums <= rows; r += kTileSums)
		tile_block<kTileSums, panels, first>(row + r, tile, panel, at, dims);
	for (; r < rows; r++)
		tile_block<1, panels, first>(row + r, tile, panel, at, dims);
}

template <bool first>
OMENDB_INLINE void
tile_depth(const TileRow *row, size_t rows, const uint8_t *tile, size_t panel, size_t n,
		   size_t dims)
{
	size_t j = 0;

	for (; j + kTilePanels * kWidth <= n; j += kTilePanels * kWidth)
		tile_panels<kTilePanels, first>(row, rows, tile + j / kWidth * panel, panel, j, dims);
	for (; j < n; j += kWidth)
		tile_panels<1, first>(row, rows, tile + j / kWidth * panel, panel, j, dims);
}

static void
tile_dots(const int8_t *const *a, size_t na, const void *tile, size_t n, size_t dim, int32_t *out,
		  size_t stride)
{
	const size_t panel = panel_bytes(dim);
	const size_t columns = (n + 15) / 16 * 16;

	for (size_t i = 0; i < na; i += kTileRows)
	{
		const size_t rows = na - i < kTileRows ? na - i : kTileRows;
		TileElement words[kTileRows * kTileDepth];
		TileRow row[kTileRows];

		for (size_t r = 0; r < rows; r++)
		{
			row[r].out = out + (i + r) * stride;
			row[r].start = -sum_lanes(dot_bias(a[i + r], dim));
		}
		for (size_t d = 0; d < dim; d += kTileDepth)
		{
			const size_t dims = dim - d < kTileDepth ? dim - d : kTileDepth;
			const uint8_t *at = static_cast<const uint8_t *>(tile) + panel_bytes(d);

			for (size_t r = 0; r < rows; r++)
			{
				row[r].words = tile_words(a[i + r] + d, dims, words + r * kTileDepth);
			}
			if (d == 0)
				tile_depth<true>(row, rows, at, panel, columns, dims);
			else
				tile_depth<false>(row, rows, at, panel, columns, dims);
		}
	}
}

/* ---- the near ones ---- */

/* What the distances from one row to others are made of. */
struct NearSource
{
	const int32_t *dots;
	const float *scale, *self_dot;
	VecF twice, own; /* 2 a_scale, a_dot */

	/* Every operation is one rounding, and none is fused: the same bits everywhere. */
	OMENDB_INLINE_MEMBER VecF
	distance(VecF scales, VecF selves, size_t i) const
	{
		const VecF product = mul(mul(twice, scales), to_float(load_i(dots + i)));

		return sub(add(own, selves), product);
	}

	OMENDB_INLINE_MEMBER VecF
	load(size_t i) const
	{
		return distance(load_f(scale + i), load_f(self_dot + i), i);
	}

	OMENDB_INLINE_MEMBER VecF
	load_partial(size_t i, size_t n) const
	{
		return distance(load_f_partial(scale + i, n), load_f_partial(self_dot + i, n), i);
	}
};

/*
 * Four vectors share a branch: one for each would be mispredicted about as often
 * as there is something to find.
 */
static size_t
tile_near(const int32_t *dots, size_t n, const float *scale, const float *self_dot, float a_scale,
		  float a_dot, float bound, float *distances, uint16_t *indexes)
{
	const NearSource source = {dots, scale, self_dot, set_f(2.0f * a_scale), set_f(a_dot)};
	const VecF limit = set_f(bound);
	size_t found = 0, i = 0;

	for (; i + 4 * kWidth <= n; i += 4 * kWidth)
	{
		VecF d[4];
		uint32_t masks[4];

#pragma GCC unroll 4
		for (size_t v = 0; v < 4; v++)
		{
			d[v] = source.load(i + v * kWidth);
			masks[v] = less_mask(d[v], limit);
		}
		if ((masks[0] | masks[1] | masks[2] | masks[3]) == 0)
			continue;
#pragma GCC unroll 4
		for (size_t v = 0; v < 4; v++)
			found += compress(d[v], i + v * kWidth, masks[v], distances + found, indexes + found);
	}
	for (; i + kWidth <= n; i += kWidth)
	{
		const VecF d = source.load(i);

		found += compress(d, i, less_mask(d, limit), distances + found, indexes + found);
	}
	if (i < n)
	{
		const VecF d = source.load_partial(i, n - i);
		const uint32_t mask = less_mask(d, limit) & ((1u << (n - i)) - 1);

		found += compress(d, i, mask, distances + found, indexes + found);
	}
	return found;
}

/* The columns past the last whole 64 are left out: they can only make a minimum smaller. */
static void
tile_minima(const int32_t *dots, size_t n, const float *scale, const float *self_dot, float a_scale,
			float a_dot, float minima[64])
{
	const NearSource source = {dots, scale, self_dot, set_f(2.0f * a_scale), set_f(a_dot)};

	for (size_t s = 0; s < 64; s += kWidth)
	{
		VecF least = set_f(3.402823466e38f);

		for (size_t i = s; i + (64 - s) <= n; i += 64)
			least = min_f(source.load(i), least);
		store_f(minima + s, least);
	}
}

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
