/*
 * halfvec_distance.c - halfvec: distances, norm, dimensions.
 *
 * Sums over elements are float4, from the kernels, and only then become float8,
 * as in pgvector; the cosine of a zero vector is NaN. Norms are summed in
 * float8.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"

#include "pg/compat.h"
#include "simd/kernels.h"
#include "types/halfvec.h"

PG_FUNCTION_INFO_V1(omendb_halfvec_l2_distance);
PG_FUNCTION_INFO_V1(omendb_halfvec_l2_squared_distance);
PG_FUNCTION_INFO_V1(omendb_halfvec_inner_product);
PG_FUNCTION_INFO_V1(omendb_halfvec_negative_inner_product);
PG_FUNCTION_INFO_V1(omendb_halfvec_cosine_distance);
PG_FUNCTION_INFO_V1(omendb_halfvec_l1_distance);
PG_FUNCTION_INFO_V1(omendb_halfvec_spherical_distance);
PG_FUNCTION_INFO_V1(omendb_halfvec_dims);
PG_FUNCTION_INFO_V1(omendb_halfvec_l2_norm);
PG_FUNCTION_INFO_V1(omendb_halfvec_l2_normalize);

typedef float (*PairKernel)(const uint16 *a, const uint16 *b, size_t n);

/* Applies a kernel to the two arguments. */
static float
apply_kernel(FunctionCallInfo fcinfo, PairKernel kernel)
{
	OmendbHalfvec *a = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbHalfvec *b = PG_GETARG_OMENDB_HALFVEC(1);
	float result;

	omendb_halfvec_check_same_dim(a, b);
	omendb_prefetch_row(a);
	result = kernel(a->x, b->x, (size_t) a->dim);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

Datum
omendb_halfvec_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sqrt((double) apply_kernel(fcinfo, omendb_kernels->l2_f16)));
}

Datum
omendb_halfvec_l2_squared_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply_kernel(fcinfo, omendb_kernels->l2_f16));
}

Datum
omendb_halfvec_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply_kernel(fcinfo, omendb_kernels->dot_f16));
}

Datum
omendb_halfvec_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) -apply_kernel(fcinfo, omendb_kernels->dot_f16));
}

Datum
omendb_halfvec_l1_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply_kernel(fcinfo, omendb_kernels->l1_f16));
}

Datum
omendb_halfvec_cosine_distance(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *a = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbHalfvec *b = PG_GETARG_OMENDB_HALFVEC(1);
	float sums[3]; /* <a,b>, <a,a>, <b,b> */
	double similarity;

	omendb_halfvec_check_same_dim(a, b);
	omendb_prefetch_row(a);
	omendb_kernels->cosine_f16(a->x, b->x, (size_t) a->dim, sums);
	similarity = omendb_clamp_cosine((double) sums[0] / sqrt((double) sums[1] * (double) sums[2]));

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_FLOAT8(1 - similarity);
}

/* The angle between two unit vectors in units of pi; their length is not checked. */
Datum
omendb_halfvec_spherical_distance(PG_FUNCTION_ARGS)
{
	double cosine = (double) apply_kernel(fcinfo, omendb_kernels->dot_f16);

	PG_RETURN_FLOAT8(acos(omendb_clamp_cosine(cosine)) / M_PI);
}

Datum
omendb_halfvec_dims(PG_FUNCTION_ARGS)
{
	/* Enough to see the header and the field. */
	OmendbHalfvec *halfvec = (OmendbHalfvec *) PG_DETOAST_DATUM_SLICE(
		PG_GETARG_DATUM(0), 0, (int32) (offsetof(OmendbHalfvec, x) - VARHDRSZ));

	PG_RETURN_INT32(halfvec->dim);
}

static double
norm(const OmendbHalfvec *halfvec)
{
	double sum = 0;

	for (int i = 0; i < halfvec->dim; i += OMENDB_HALF_CHUNK)
	{
		int n = Min(OMENDB_HALF_CHUNK, halfvec->dim - i);
		float x[OMENDB_HALF_CHUNK];

		omendb_halves_to_floats(halfvec->x + i, x, n);
		sum += omendb_kernels->sumsq_f64(x, (size_t) n);
	}
	return sqrt(sum);
}

Datum
omendb_halfvec_l2_norm(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	double result = norm(halfvec);

	PG_FREE_IF_COPY(halfvec, 0);
	PG_RETURN_FLOAT8(result);
}

/* The zero vector stays what it is. Nothing overflows: no element is longer than its vector. */
Datum
omendb_halfvec_l2_normalize(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbHalfvec *result = omendb_halfvec_new(halfvec->dim);
	double length = norm(halfvec);

	for (int i = 0; i < halfvec->dim; i += OMENDB_HALF_CHUNK)
	{
		int n = Min(OMENDB_HALF_CHUNK, halfvec->dim - i);
		float x[OMENDB_HALF_CHUNK];

		omendb_halves_to_floats(halfvec->x + i, x, n);
		for (int j = 0; j < n; j++)
			x[j] = length > 0 ? (float) (x[j] / length) : 0;
		omendb_floats_to_halves(x, result->x + i, n);
	}

	PG_FREE_IF_COPY(halfvec, 0);
	PG_RETURN_POINTER(result);
}
