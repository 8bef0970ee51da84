/*
 * vector_distance.c - vector: distances, norm, dimensions.
 *
 * Sums over elements are float4, from the kernels, and only then become float8,
 * as in pgvector; a distance may thus be infinite, and the cosine of a zero
 * vector is NaN. Norms are summed in float8.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"

#include "pg/compat.h"
#include "simd/kernels.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_vector_l2_distance);
PG_FUNCTION_INFO_V1(omendb_vector_l2_squared_distance);
PG_FUNCTION_INFO_V1(omendb_vector_inner_product);
PG_FUNCTION_INFO_V1(omendb_vector_negative_inner_product);
PG_FUNCTION_INFO_V1(omendb_vector_cosine_distance);
PG_FUNCTION_INFO_V1(omendb_vector_l1_distance);
PG_FUNCTION_INFO_V1(omendb_vector_spherical_distance);
PG_FUNCTION_INFO_V1(omendb_vector_dims);
PG_FUNCTION_INFO_V1(omendb_vector_norm);
PG_FUNCTION_INFO_V1(omendb_vector_l2_normalize);

typedef float (*PairKernel)(const float *a, const float *b, size_t n);

/* Applies a kernel to the two arguments. */
static float
apply_kernel(FunctionCallInfo fcinfo, PairKernel kernel)
{
	OmendbVector *a = PG_GETARG_OMENDB_VECTOR(0);
	OmendbVector *b = PG_GETARG_OMENDB_VECTOR(1);
	float result;

	omendb_vector_check_same_dim(a, b);
	omendb_prefetch_row(a);
	result = kernel(a->x, b->x, (size_t) a->dim);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

Datum
omendb_vector_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sqrt((double) apply_kernel(fcinfo, omendb_kernels->l2_f32)));
}

Datum
omendb_vector_l2_squared_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply_kernel(fcinfo, omendb_kernels->l2_f32));
}

Datum
omendb_vector_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply_kernel(fcinfo, omendb_kernels->dot_f32));
}

Datum
omendb_vector_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) -apply_kernel(fcinfo, omendb_kernels->dot_f32));
}

Datum
omendb_vector_l1_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply_kernel(fcinfo, omendb_kernels->l1_f32));
}

Datum
omendb_vector_cosine_distance(PG_FUNCTION_ARGS)
{
	OmendbVector *a = PG_GETARG_OMENDB_VECTOR(0);
	OmendbVector *b = PG_GETARG_OMENDB_VECTOR(1);
	float sums[3]; /* <a,b>, <a,a>, <b,b> */
	double similarity;

	omendb_vector_check_same_dim(a, b);
	omendb_prefetch_row(a);
	omendb_kernels->cosine_f32(a->x, b->x, (size_t) a->dim, sums);
	similarity = omendb_clamp_cosine((double) sums[0] / sqrt((double) sums[1] * (double) sums[2]));

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_FLOAT8(1 - similarity);
}

/* The angle between two unit vectors in units of pi; their length is not checked. */
Datum
omendb_vector_spherical_distance(PG_FUNCTION_ARGS)
{
	double cosine = (double) apply_kernel(fcinfo, omendb_kernels->dot_f32);

	PG_RETURN_FLOAT8(acos(omendb_clamp_cosine(cosine)) / M_PI);
}

Datum
omendb_vector_dims(PG_FUNCTION_ARGS)
{
	/* Enough to see the header and the field. */
	OmendbVector *vector = (OmendbVector *) PG_DETOAST_DATUM_SLICE(
		PG_GETARG_DATUM(0), 0, (int32) (offsetof(OmendbVector, x) - VARHDRSZ));

	PG_RETURN_INT32(vector->dim);
}

Datum
omendb_vector_norm(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	double result = sqrt(omendb_kernels->sumsq_f64(vector->x, (size_t) vector->dim));

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_FLOAT8(result);
}

/* The zero vector stays what it is. */
Datum
omendb_vector_l2_normalize(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	OmendbVector *result = omendb_vector_new(vector->dim);
	double length = sqrt(omendb_kernels->sumsq_f64(vector->x, (size_t) vector->dim));

	if (length == 0)
		memset(result->x, 0, sizeof(float) * (Size) vector->dim);
	else
	{
		for (int i = 0; i < vector->dim; i++)
		{
			result->x[i] = (float) (vector->x[i] / length);
			if (isinf(result->x[i]))
				float_overflow_error();
		}
	}

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_POINTER(result);
}
