/*
 * sparsevec_distance.c - sparsevec: distances, norm.
 *
 * Sums over elements are float4 and only then become float8, as those of
 * vector. An element that only one of the two has meets a 0.
 */
#include "postgres.h"

#include <math.h>

#include "pg/compat.h"
#include "simd/kernels.h"
#include "types/elements.h"
#include "types/sparsevec.h"

PG_FUNCTION_INFO_V1(omendb_sparsevec_l2_distance);
PG_FUNCTION_INFO_V1(omendb_sparsevec_l2_squared_distance);
PG_FUNCTION_INFO_V1(omendb_sparsevec_inner_product);
PG_FUNCTION_INFO_V1(omendb_sparsevec_negative_inner_product);
PG_FUNCTION_INFO_V1(omendb_sparsevec_cosine_distance);
PG_FUNCTION_INFO_V1(omendb_sparsevec_l1_distance);
PG_FUNCTION_INFO_V1(omendb_sparsevec_l2_norm);
PG_FUNCTION_INFO_V1(omendb_sparsevec_l2_normalize);

static OmendbSparse
elements(const OmendbSparsevec *vector)
{
	OmendbSparse elements = {vector->indices, omendb_sparsevec_values(vector),
							 (size_t) vector->nnz};

	return elements;
}

float
omendb_sparsevec_l2_squared(const OmendbSparsevec *a, const OmendbSparsevec *b)
{
	OmendbSparse a_elements = elements(a);
	OmendbSparse b_elements = elements(b);

	return omendb_kernels->l2_sparse(&a_elements, &b_elements);
}

float
omendb_sparsevec_l1(const OmendbSparsevec *a, const OmendbSparsevec *b)
{
	OmendbSparse a_elements = elements(a);
	OmendbSparse b_elements = elements(b);

	return omendb_kernels->l1_sparse(&a_elements, &b_elements);
}

float
omendb_sparsevec_dot(const OmendbSparsevec *a, const OmendbSparsevec *b)
{
	OmendbSparse a_elements = elements(a);
	OmendbSparse b_elements = elements(b);

	return omendb_kernels->dot_sparse(&a_elements, &b_elements);
}

double
omendb_sparsevec_cosine(const OmendbSparsevec *a, const OmendbSparsevec *b)
{
	double a_square =
		(double) omendb_kernels->sumsq_f32(omendb_sparsevec_values(a), (size_t) a->nnz);
	double b_square =
		(double) omendb_kernels->sumsq_f32(omendb_sparsevec_values(b), (size_t) b->nnz);

	return 1 - omendb_clamp_cosine((double) omendb_sparsevec_dot(a, b) / sqrt(a_square * b_square));
}

double
omendb_sparsevec_norm(const OmendbSparsevec *vector)
{
	return sqrt(omendb_kernels->sumsq_f64(omendb_sparsevec_values(vector), (size_t) vector->nnz));
}

/* Applies one of the functions above to the two arguments. */
static float
apply(FunctionCallInfo fcinfo, float (*function)(const OmendbSparsevec *, const OmendbSparsevec *))
{
	OmendbSparsevec *a = PG_GETARG_OMENDB_SPARSEVEC(0);
	OmendbSparsevec *b = PG_GETARG_OMENDB_SPARSEVEC(1);
	float result;

	omendb_sparsevec_check_same_dim(a, b);
	result = function(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

Datum
omendb_sparsevec_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sqrt((double) apply(fcinfo, omendb_sparsevec_l2_squared)));
}

Datum
omendb_sparsevec_l2_squared_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply(fcinfo, omendb_sparsevec_l2_squared));
}

Datum
omendb_sparsevec_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply(fcinfo, omendb_sparsevec_dot));
}

Datum
omendb_sparsevec_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) -apply(fcinfo, omendb_sparsevec_dot));
}

Datum
omendb_sparsevec_l1_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8((double) apply(fcinfo, omendb_sparsevec_l1));
}

Datum
omendb_sparsevec_cosine_distance(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *a = PG_GETARG_OMENDB_SPARSEVEC(0);
	OmendbSparsevec *b = PG_GETARG_OMENDB_SPARSEVEC(1);
	double result;

	omendb_sparsevec_check_same_dim(a, b);
	result = omendb_sparsevec_cosine(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_FLOAT8(result);
}

Datum
omendb_sparsevec_l2_norm(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *vector = PG_GETARG_OMENDB_SPARSEVEC(0);
	double result = omendb_sparsevec_norm(vector);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_FLOAT8(result);
}

/* Elements that become 0 are dropped; a vector without elements stays what it is. */
Datum
omendb_sparsevec_l2_normalize(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *vector = PG_GETARG_OMENDB_SPARSEVEC(0);
	const float *values = omendb_sparsevec_values(vector);
	double length = omendb_sparsevec_norm(vector);
	OmendbSparsevec *result;
	float *scaled;
	int nnz = 0;
	int j = 0;

	/* No element is longer than the whole: the quotient does not overflow. */
	for (int i = 0; i < vector->nnz; i++)
		nnz += (float) (values[i] / length) != 0;
	result = omendb_sparsevec_new(vector->dim, nnz);
	scaled = omendb_sparsevec_values(result);
	for (int i = 0; i < vector->nnz; i++)
	{
		float value = (float) (values[i] / length);

		if (value == 0)
			continue;
		result->indices[j] = vector->indices[i];
		scaled[j] = value;
		j++;
	}
	Assert(j == nnz);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_POINTER(result);
}
