/*
 * vector_cast.c - vector: length coercion, from and to arrays.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"

#include "pg/compat.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_vector_to_vector);
PG_FUNCTION_INFO_V1(omendb_array_to_vector);
PG_FUNCTION_INFO_V1(omendb_vector_to_float4);

/* vector(vector, typmod, explicit): a vector is never cut or padded. */
Datum
omendb_vector_to_vector(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);

	omendb_vector_check_typmod(PG_GETARG_INT32(1), vector->dim, NULL);
	PG_RETURN_POINTER(vector);
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

/* ARR_DATA_PTR, which warns of mixed signs under -Wextra. */
static const char *
array_data(ArrayType *array)
{
	Size offset = ARR_HASNULL(array) ? (Size) array->dataoffset
									 : (Size) ARR_OVERHEAD_NONULLS(ARR_NDIM(array));

	return (const char *) array + offset;
}

/* REQUIRES: one dimension, no nulls: then fixed-size elements lie side by side. */
static void
fill_from_array(OmendbVector *vector, ArrayType *array)
{
	const char *data = array_data(array);

	switch (ARR_ELEMTYPE(array))
	{
		case INT4OID:
			for (int i = 0; i < vector->dim; i++)
				vector->x[i] = (float) ((const int32 *) data)[i];
			break;
		case FLOAT4OID:
			memcpy(vector->x, data, sizeof(float) * (Size) vector->dim);
			break;
		case FLOAT8OID:
			/* Too large becomes infinite, which is refused below. */
			for (int i = 0; i < vector->dim; i++)
				vector->x[i] = (float) ((const float8 *) data)[i];
			break;
		case NUMERICOID:
			fill_from_numeric(vector->x, array);
			break;
		default:
			ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION), errmsg("unsupported array type"));
	}
}

Datum
omendb_array_to_vector(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	int32 typmod = PG_GETARG_INT32(1);
	OmendbVector *result;
	int dim;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION), errmsg("array must be 1-D"));
	if (array_contains_nulls(array))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("array must not contain nulls"));
	dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	omendb_vector_check_dim(dim, NULL);
	omendb_vector_check_typmod(typmod, dim, NULL);

	result = omendb_vector_new(dim);
	fill_from_array(result, array);
	for (int i = 0; i < dim; i++)
		omendb_vector_check_element(result->x[i], NULL);

	PG_FREE_IF_COPY(array, 0);
	PG_RETURN_POINTER(result);
}

/* The array is built in place: construct_array would want a Datum for each element. */
Datum
omendb_vector_to_float4(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	Size data_size = sizeof(float4) * (Size) vector->dim;
	Size size = ARR_OVERHEAD_NONULLS(1) + data_size;
	ArrayType *result = palloc0(size);

	SET_VARSIZE(result, size);
	result->ndim = 1;
	result->dataoffset = 0; /* no null bitmap */
	result->elemtype = FLOAT4OID;
	ARR_DIMS(result)[0] = vector->dim;
	ARR_LBOUND(result)[0] = 1;
	memcpy((char *) result + ARR_OVERHEAD_NONULLS(1), vector->x, data_size);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_ARRAYTYPE_P(result);
}
