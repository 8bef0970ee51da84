/*
 * kernels.h - the table of SIMD kernels, one instance per instruction set.
 *
 * The same bodies (kernels-inl.h, in SIMDe's vocabulary) are compiled once per
 * instruction set; omendb_kernels_select() chooses one table at load. Nobody
 * passes a vector type across this border, and all pointers may be unaligned.
 *
 * Two classes of kernel:
 *  - distances may differ between instruction sets in the last bits (the
 *    bound of quant/bounds.cpp covers that): |error| <= (n/16 + 8) u S, where
 *    u = 2^-24 and S is the sum of the absolute values of the terms;
 *  - what ends in stored bytes (rotate, encode_residual and what belongs to it,
 *    f32_to_f16, quantize_i8, sumsq_f64) or decides a graph (tile_near, tile_minima)
 *    is bit-identical under every instruction set: virtual lanes, fixed order of
 *    additions, no contraction.
 */
#ifndef OMENDB_SIMD_KERNELS_H
#define OMENDB_SIMD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

	/*
	 * The query side of a FastScan: four dimensions are one column, a column has
	 * a table of 16 bytes, one per sign pattern (bit j of the pattern is the sign
	 * bit of dimension 4 * column + j, 1 for +).
	 *
	 * The sum t of a lane over one plane is: step * S - offset, where S is the sum
	 * of table bytes. With `low` set, tables are 16 bits wide and
	 * S = 256 * S(high) + S(low); otherwise only `high` is used.
	 */
	typedef struct OmendbScanTable
	{
		const uint8_t *high; /* 16 * columns bytes */
		const uint8_t *low;  /* the same size, or NULL */
		uint32_t columns;    /* code dimensions / 4, a multiple of 4 */
		uint32_t planes;     /* bits per dimension, 1 to 4 */
		float step;
		float offset; /* sum of |q'_i| over the code dimensions */
	} OmendbScanTable;

	/*
	 * What one residual r = o - c encodes to (research: RaBitQ, extended RaBitQ).
	 * z_i = u_i - (2^bits - 1) / 2 is the quantised coordinate of dimension i.
	 */
	typedef struct OmendbResidualSums
	{
		float n2;      /* sum of r_i^2 over all n dimensions */
		float z_dot_r; /* sum of z_i r_i over the code dimensions */
		float z_dot_c; /* sum of z_i c_i over the code dimensions */
	} OmendbResidualSums;

	/* How the elements of a stored vector are kept. */
	typedef enum OmendbElement
	{
		OMENDB_FLOAT32,
		OMENDB_FLOAT16,
		OMENDB_INT8
	} OmendbElement;

	/* The elements of a sparse vector that are not 0. */
	typedef struct OmendbSparse
	{
		const int32_t *indices; /* ascending, below INT32_MAX */
		const float *values;
		size_t n;
	} OmendbSparse;

	typedef struct OmendbKernels
	{
		const char *name; /* "base", "avx2", "avx512", "avx512_vpopcntdq", "neon" */

		/* ---- float32, any n >= 0 ---- */
		float (*l2_f32)(const float *a, const float *b, size_t n); /* squared L2 */
		float (*dot_f32)(const float *a, const float *b, size_t n);
		float (*l1_f32)(const float *a, const float *b, size_t n);
		float (*sumsq_f32)(const float *a, size_t n);
		/* The same in float64, where every square is exact; 32 lanes, bit-identical. */
		double (*sumsq_f64)(const float *a, size_t n);
		/* out = { <a,b>, <a,a>, <b,b> } in one pass */
		void (*cosine_f32)(const float *a, const float *b, size_t n, float out[3]);

		/* ---- sparse float32 ---- */
		/*
		 * Those of the vectors written out, with an error of (n/2 + 8) u S for n
		 * elements in both. Of (a, b) and (b, a) the same to the last bit. Indices
		 * that do not ascend give some number.
		 */
		float (*l2_sparse)(const OmendbSparse *a, const OmendbSparse *b); /* squared L2 */
		float (*dot_sparse)(const OmendbSparse *a, const OmendbSparse *b);
		float (*l1_sparse)(const OmendbSparse *a, const OmendbSparse *b);

		/* ---- float32 query against a stored record, any n ---- */
		/* sum (q_i - scale * c_i)^2 */
		float (*l2_f32_i8)(const float *q, const int8_t *c, float scale, size_t n);
		float (*l2_f32_f16)(const float *q, const uint16_t *h, size_t n);
		float (*dot_f32_i8)(const float *q, const int8_t *c, size_t n);
		float (*dot_f32_f16)(const float *q, const uint16_t *h, size_t n);

		/* ---- float16 against float16, any n; in float32, which holds halves exactly ---- */
		float (*l2_f16)(const uint16_t *a, const uint16_t *b, size_t n);
		float (*dot_f16)(const uint16_t *a, const uint16_t *b, size_t n);
		float (*l1_f16)(const uint16_t *a, const uint16_t *b, size_t n);
		/* out = { <a,b>, <a,a>, <b,b> } in one pass */
		void (*cosine_f16)(const uint16_t *a, const uint16_t *b, size_t n, float out[3]);

		/* ---- strings of bits, exact; any n < 2^28 bytes ---- */
		/* how many bits differ */
		uint32_t (*hamming)(const uint8_t *a, const uint8_t *b, size_t n);
		/* out = { bits set in both, in either } */
		void (*jaccard)(const uint8_t *a, const uint8_t *b, size_t n, uint32_t out[2]);

		/* ---- int8 against int8, exact integers; inputs in [-127, 127] ---- */
		int32_t (*dot_i8)(const int8_t *a, const int8_t *b, size_t n);
		/* out[i] = <a, b[i]> for i < count: amortises the horizontal sums */
		void (*dot_i8_many)(const int8_t *a, const int8_t *const *b, size_t count, size_t n,
							int32_t *out);

		/* ---- conversions, bit-identical; any n ---- */
		void (*f32_to_f16)(const float *x, uint16_t *h,
						   size_t n); /* nearest even; overflow to inf */
		void (*f16_to_f32)(const uint16_t *h, float *x, size_t n);
		void (*i8_to_f32)(const int8_t *c, float scale, float *x, size_t n); /* x_i = scale * c_i */
		/* c_i = round-half-even(x_i * inverse), clamped to [-127, 127]; *sumsq = sum c_i^2 */
		void (*quantize_i8)(const float *x, float inverse, int8_t *c, size_t n, int32_t *sumsq);

		/* ---- rotation, bit-identical; n a multiple of 16, 16 <= n <= 16384 ---- */
		/*
		 * FhtKac: four rounds of { flip signs by the round's n bits; fast Hadamard
		 * transform of the first (even round) or last (odd round) 2^k coordinates,
		 * 2^k the largest power of two <= n; if n is no power of two the butterfly
		 * (x + y, x - y) / sqrt(2) between the halves }. Orthogonal: |out| = |in| up
		 * to rounding. signs: 4 * n bits, bit i of round k at bit (k * n + i), LSB
		 * first; 1 flips.
		 */
		void (*rotate)(float *x, size_t n, const uint8_t *signs);

		/* ---- RaBitQ, bit-identical; n and code_n multiples of 16, code_n <= n ---- */
		/*
		 * r = o - c. bits = 1: u_i = (r_i >= 0). bits = B > 1: u_i =
		 * clamp(floor(r_i (1 / step)) + 2^(B-1), 0, 2^B - 1) with
		 * step = k_B |r| / sqrt(n), k = 0.996, 0.586, 0.335 for B = 2, 3, 4 (step 0
		 * or not finite: every u_i = 2^(B-1)). planes: bits x code_n / 8 bytes, plane
		 * b (weight 2^b) first to last, bit i of a plane LSB first.
		 */
		void (*encode_residual)(const float *o, const float *c, size_t n, size_t code_n,
								uint32_t bits, uint8_t *planes, OmendbResidualSums *sums);
		/*
		 * The same for count rows o against one c, from their stored form: float32,
		 * float16, or int8 with o_i = scales[row] * int8, rounded to a float. Row i
		 * writes planes + i * stride and sums[i]. scales: only for int8.
		 */
		void (*encode_rows)(OmendbElement element, const void *const *rows, const float *scales,
							size_t count, const float *c, size_t n, size_t code_n, uint32_t bits,
							uint8_t *planes, size_t stride, OmendbResidualSums *sums);
		/*
		 * Into a block's codes (fastscan, below), the planes of one lane as
		 * encode_residual() left them, bytes of them, an even number; or of all 32
		 * lanes at once: lane s at planes + s * stride, of which whole groups of 8
		 * bytes are read. A block is 32 * bytes bytes.
		 */
		void (*put_lane)(uint8_t *codes, uint32_t lane, const uint8_t *planes, size_t bytes);
		void (*pack_lanes)(const uint8_t *planes, size_t stride, size_t bytes, uint8_t *codes);

		/* ---- FastScan; columns a multiple of 4, any number of columns ---- */
		/*
		 * codes: 16 bytes a column: lane s < 16 in the low nibble, s >= 16 in the
		 * high nibble of byte p(s mod 16), p(t) = 2t if t < 8 else 2(t - 8) + 1.
		 * sums[s] = sum over columns of table[16 * column + nibble]. Never overflows.
		 */
		void (*fastscan)(const uint8_t *codes, const uint8_t *table, size_t columns,
						 uint32_t sums[32]);
		/*
		 * Estimated squared distances of a block's 32 lanes:
		 *   t = sum over planes b of 2^(b-1) (step * S_b - offset)
		 *   est = center + add - mul * t
		 * add, mul: 32 bf16 each when wide == 0 (bit pattern = high half of the
		 * float), 32 float32 each when wide == 1. An empty lane has add = +inf,
		 * mul = 0. codes: planes blocks of 16 * columns bytes, plane 0 first.
		 * Returns the mask of lanes with est < bound.
		 */
		uint32_t (*scan_block)(const OmendbScanTable *table, const uint8_t *codes, const void *add,
							   const void *mul, int wide, float center, float bound, float est[32]);
		/*
		 * Build the tables for query q (columns * 4 floats): for column m,
		 * b_m = sum |q_i|, step = max_m 2 b_m / limit, limit 255, or 65535 with
		 * low != NULL; entry j = round((sum of +-q_i + b_m) / step). Writes *step,
		 * *offset. q all zero: step = 0.
		 */
		void (*build_table)(const float *q, size_t columns, uint8_t *high, uint8_t *low,
							float *step, float *offset);

		/* ---- all pairs of int8 rows; exact, dim a multiple of 16 ---- */
		/*
		 * A tile is n rows packed for one instruction set, in memory only: what one
		 * table packed no other may read. Groups of 16 rows follow each other: the
		 * tile of the rows from 16 g on starts tile_bytes(16 g, dim) bytes in. Any
		 * int8 is fine, -128 too.
		 */
		size_t (*tile_bytes)(size_t n, size_t dim);
		void (*tile_pack)(const int8_t *const *rows, size_t n, size_t dim, void *tile);
		/*
		 * out[i * stride + j] = <a[i], row j> for i < na, j < n rounded up to 16;
		 * the columns past n repeat the last row.
		 */
		void (*tile_dots)(const int8_t *const *a, size_t na, const void *tile, size_t n, size_t dim,
						  int32_t *out, size_t stride);
		/*
		 * From n dots of one row a with others, the squared distances below bound:
		 * (a_dot + self_dot[j]) - ((2 a_scale) scale[j]) (float) dots[j], one rounding
		 * an operation, in that order; bit-identical. distances and indexes (j) are
		 * written in the order of j; like dots they have room for n rounded up to 16.
		 * Returns how many; n <= 65536.
		 */
		size_t (*tile_near)(const int32_t *dots, size_t n, const float *scale,
							const float *self_dot, float a_scale, float a_dot, float bound,
							float *distances, uint16_t *indexes);
		/*
		 * minima[s]: the smallest of the same distances over j = s, s + 64, ... within
		 * the first n / 64 * 64 columns, or the largest float: the k-th smallest of
		 * them is no smaller than the k-th smallest of all. Bit-identical.
		 */
		void (*tile_minima)(const int32_t *dots, size_t n, const float *scale,
							const float *self_dot, float a_scale, float a_dot, float minima[64]);
	} OmendbKernels;

	/* The table in use; the portable one until omendb_kernels_select() ran. */
	extern const OmendbKernels *omendb_kernels;

	/*
	 * Choose the table: by name when `forced` is neither NULL nor "", else the
	 * best this CPU has. Returns 0, or -1 and sets *problem to a static string
	 * (unknown name; not supported by this CPU), the table staying as it was.
	 */
	int omendb_kernels_select(const char *forced, const char **problem);

	/* The i-th table compiled in, best first, or NULL past the end; for tests. */
	const OmendbKernels *omendb_kernels_at(int i);
	/* Whether this CPU runs that table. */
	int omendb_kernels_supported(const OmendbKernels *kernels);

/* Environment variable that forces a table. */
#define OMENDB_ISA_VARIABLE "OMENDB_FORCE_ISA"

#ifdef __cplusplus
}
#endif

#endif
