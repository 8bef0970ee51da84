/*
 * sparsevec_cast.c - sparsevec: length coercion, from and to vector, from arrays.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"

#include "pg/compat.h"
#include "types/sparsevec.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_sparsevec_to_sparsevec);
PG_FUNCTION_INFO_V1(omendb_vector_to_sparsevec);
PG_FUNCTION_INFO_V1(omendb_sparsevec_to_vector);
PG_FUNCTION_INFO_V1(omendb_array_to_sparsevec);

/* sparsevec(sparsevec, typmod, explicit): never cut, never extended. */
Datum
omendb_sparsevec_to_sparsevec(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *vector = PG_GETARG_OMENDB_SPARSEVEC(0);

	omendb_vector_check_typmod(PG_GETARG_INT32(1), vector->dim, NULL);
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
		if (x[i] == 0)
			continue;
		omendb_sparsevec_check_element(x[i], NULL);
		result->indices[j] = i;
		values[j] = x[i];
		j++;
	}
	Assert(j == nnz);
	return result;
}

Datum
omendb_vector_to_sparsevec(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	OmendbSparsevec *result;

	omendb_vector_check_typmod(PG_GETARG_INT32(1), vector->dim, NULL);
	result = from_dense(vector->x, vector->dim);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_POINTER(result);
}

Datum
omendb_sparsevec_to_vector(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *sparse = PG_GETARG_OMENDB_SPARSEVEC(0);
	const float *values = omendb_sparsevec_values(sparse);
	OmendbVector *result;

	omendb_vector_check_dim(sparse->dim, NULL);
	omendb_vector_check_typmod(PG_GETARG_INT32(1), sparse->dim, NULL);
	result = omendb_vector_new(sparse->dim);
	memset(result->x, 0, sizeof(float) * (Size) sparse->dim);
	for (int i = 0; i < sparse->nnz; i++)
		result->x[sparse->indices[i]] = values[i];

	PG_FREE_IF_COPY(sparse, 0);
	PG_RETURN_POINTER(result);
}

static void
fill_from_numeric(float *x, ArrayType *array)
{
	Datum *elements;
	int count;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));
	pfree(elements);
}

/* REQUIRES: one dimension, no nulls: then fixed-size elements lie side by side. */
static void
fill_from_array(float *x, ArrayType *array, int dim)
{
	/* ARR_DATA_PTR, which warns of mixed signs under -Wextra. */
	const char *data = (const char *) array +
					   (ARR_HASNULL(array) ? (Size) array->dataoffset : ARR_OVERHEAD_NONULLS(1));

	switch (ARR_ELEMTYPE(array))
	{
		case INT4OID:
			for (int i = 0; i < dim; i++)
				x[i] = (float) ((const int32 *) data)[i];
			break;
		case FLOAT4OID:
			memcpy(x, data, sizeof(float) * (Size) dim);
			break;
		case FLOAT8OID:
			for (int i = 0; i < dim; i++)
				x[i] = (float) ((const float8 *) data)[i];
			break;
		case NUMERICOID:
			fill_from_numeric(x, array);
			break;
		default:
			ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION), errmsg("unsupported array type"));
	}
}

/* An array may have more elements than a vector, if most are 0. */
Datum
omendb_array_to_sparsevec(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	OmendbSparsevec *result;
	float *x;
	int dim;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION), errmsg("array must be 1-D"));
	if (array_contains_nulls(array))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("array must not contain nulls"));
	dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	omendb_sparsevec_check_dim(dim, NULL);
	omendb_vector_check_typmod(PG_GETARG_INT32(1), dim, NULL);

	x = palloc_extended(sizeof(float) * (Size) dim, MCXT_ALLOC_HUGE);
	fill_from_array(x, array, dim);
	result = from_dense(x, dim);
	pfree(x);
	PG_FREE_IF_COPY(array, 0);
	PG_RETURN_POINTER(result);
}
