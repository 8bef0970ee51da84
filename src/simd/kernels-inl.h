/*
 * kernels-inl.h - the kernel bodies, once for all instruction sets.
 *
 * Included by kernels_<isa>.cpp, which defines OMENDB_SIMD_ISA and
 * OMENDB_SIMD_WIDTH; the words used here are those of simde_gaps.h. The result
 * is one table, omendb::simd::<isa>::kTable, for AVX-512 two. The bodies themselves are in the
 * headers included here, by what they compute.
 *
 * What is marked "bit-identical" works on 16 virtual lanes (element i belongs to
 * lane i mod 16) in kParts vectors, adds in one fixed order, and uses fma() only
 * where the product is exact. The rest is free to use the width.
 */
#ifndef OMENDB_SIMD_KERNELS_INL_H
#define OMENDB_SIMD_KERNELS_INL_H

#include "simd/bits-inl.h"
#include "simd/convert-inl.h"
#include "simd/distance-inl.h"
#include "simd/encode-inl.h"
#include "simd/fastscan-inl.h"
#include "simd/kernels.h"
#include "simd/rotate-inl.h"
#include "simd/sparse-inl.h"
#include "simd/tile-inl.h"

namespace omendb::simd::OMENDB_SIMD_ISA
{

#define OMENDB_STRING_OF(x) #x
#define OMENDB_STRING(x)    OMENDB_STRING_OF(x)

/* The table, but for what a CPU may have beside the instruction set. */
constexpr OmendbKernels
make_table(const char *name, decltype(OmendbKernels::hamming) hamming_kernel,
		   decltype(OmendbKernels::jaccard) jaccard_kernel)
{
	return {
		name,           l2_f32,         dot_f32,     l1_f32,          sumsq_f32,   sumsq_f64,
		cosine_f32,     l2_sparse,      dot_sparse,  l1_sparse,       l2_f32_i8,   l2_f32_f16,
		dot_f32_i8,     dot_f32_f16,    l2_f16,      dot_f16,         l1_f16,      cosine_f16,
		hamming_kernel, jaccard_kernel, dot_i8,      dot_i8_many,     f32_to_f16,  f16_to_f32,
		i8_to_f32,      quantize_i8,    rotate,      encode_residual, encode_rows, put_lane,
		pack_lanes,     fastscan,       scan_block,  build_table,     tile_bytes,  tile_pack,
		tile_dots,      tile_near,      tile_minima,
	};
}

extern const OmendbKernels kTable;
constexpr OmendbKernels kTable = make_table(OMENDB_STRING(OMENDB_SIMD_ISA), hamming, jaccard);

#if OMENDB_SIMD_WIDTH == 16
extern const OmendbKernels kTableVpopcntdq;
constexpr OmendbKernels kTableVpopcntdq =
	make_table(OMENDB_STRING(OMENDB_SIMD_ISA) "_vpopcntdq", hamming_vpopcntdq, jaccard_vpopcntdq);
#endif

} // namespace omendb::simd::OMENDB_SIMD_ISA

#endif
