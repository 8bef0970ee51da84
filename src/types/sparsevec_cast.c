/*
 * sparsevec_cast.c - sparsevec: length coercion, from and to vector and halfvec,
 * from arrays.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/array.h"

#include "pg/compat.h"
#include "types/elements.h"
#include "types/halfvec.h"
#include "types/sparsevec.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_sparsevec_to_sparsevec);
PG_FUNCTION_INFO_V1(omendb_vector_to_sparsevec);
PG_FUNCTION_INFO_V1(omendb_sparsevec_to_vector);
PG_FUNCTION_INFO_V1(omendb_halfvec_to_sparsevec);
PG_FUNCTION_INFO_V1(omendb_sparsevec_to_halfvec);
PG_FUNCTION_INFO_V1(omendb_array_to_sparsevec);

/* sparsevec(sparsevec, typmod, explicit): never cut, never extended. */
Datum
omendb_sparsevec_to_sparsevec(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *vector = PG_GETARG_OMENDB_SPARSEVEC(0);

	omendb_check_typmod(PG_GETARG_INT32(1), vector->dim, NULL);
	PG_RETURN_POINTER(vector);
}

/* The elements of x that are not 0, their number and they themselves checked, in this order. */
static OmendbSparsevec *
from_dense(const float *x, int dim)
{
	OmendbSparsevec *result;
	float *values;
	int nnz = 0;
	int j = 0;

	for (int i = 0; i < dim; i++)
		nnz += x[i] != 0;
	if (nnz > OMENDB_SPARSEVEC_MAX_NNZ)
		omendb_sparsevec_refuse_nnz(NULL);
	result = omendb_sparsevec_new(dim, nnz);
	values = omendb_sparsevec_values(result);
	for (int i = 0; i < dim; i++)
	{
		/* An array may have a hundred million. */
		if (i % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		if (x[i] == 0)
			continue;
		omendb_check_element(&omendb_sparsevec_elements, x[i], NULL);
		result->indices[j] = i;
		values[j] = x[i];
		j++;
	}
	Assert(j == nnz);
	return result;
}

/* All elements; x has room for sparse->dim. */
static void
to_dense(const OmendbSparsevec *sparse, float *x)
{
	const float *values = omendb_sparsevec_values(sparse);

	memset(x, 0, sizeof(float) * (Size) sparse->dim);
	for (int i = 0; i < sparse->nnz; i++)
		x[sparse->indices[i]] = values[i];
}

Datum
omendb_vector_to_sparsevec(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	OmendbSparsevec *result;

	omendb_check_typmod(PG_GETARG_INT32(1), vector->dim, NULL);
	result = from_dense(vector->x, vector->dim);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_POINTER(result);
}

Datum
omendb_sparsevec_to_vector(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *sparse = PG_GETARG_OMENDB_SPARSEVEC(0);
	OmendbVector *result;

	omendb_vector_check_dim(sparse->dim, NULL);
	omendb_check_typmod(PG_GETARG_INT32(1), sparse->dim, NULL);
	result = omendb_vector_new(sparse->dim);
	to_dense(sparse, result->x);

	PG_FREE_IF_COPY(sparse, 0);
	PG_RETURN_POINTER(result);
}

Datum
omendb_halfvec_to_sparsevec(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	float x[OMENDB_VECTOR_MAX_DIM];
	OmendbSparsevec *result;

	omendb_check_typmod(PG_GETARG_INT32(1), halfvec->dim, NULL);
	omendb_halves_to_floats(halfvec->x, x, halfvec->dim);
	result = from_dense(x, halfvec->dim);

	PG_FREE_IF_COPY(halfvec, 0);
	PG_RETURN_POINTER(result);
}

/* Rounded to nearest even; what becomes infinite that way is an error. */
Datum
omendb_sparsevec_to_halfvec(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *sparse = PG_GETARG_OMENDB_SPARSEVEC(0);
	float x[OMENDB_VECTOR_MAX_DIM];
	OmendbHalfvec *result;

	omendb_check_dim(&omendb_halfvec_elements, sparse->dim, NULL);
	omendb_check_typmod(PG_GETARG_INT32(1), sparse->dim, NULL);
	to_dense(sparse, x);
	result = omendb_halfvec_from_floats(x, sparse->dim);

	PG_FREE_IF_COPY(sparse, 0);
	PG_RETURN_POINTER(result);
}

/* An array may have more elements than a vector, if most are 0. */
Datum
omendb_array_to_sparsevec(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	int dim = omendb_array_dim(&omendb_sparsevec_elements, array, PG_GETARG_INT32(1));
	float *x = palloc_extended(sizeof(float) * (Size) dim, MCXT_ALLOC_HUGE);
	OmendbSparsevec *result;

	omendb_array_elements(array, x);
	result = from_dense(x, dim);
	pfree(x);
	PG_FREE_IF_COPY(array, 0);
	PG_RETURN_POINTER(result);
}
