/*
 * vector_cast.c - vector: length coercion, from and to arrays, from raw bytes.
 */
#include "postgres.h"

#include "pg/compat.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_vector_to_vector);
PG_FUNCTION_INFO_V1(omendb_array_to_vector);
PG_FUNCTION_INFO_V1(omendb_vector_to_float4);
PG_FUNCTION_INFO_V1(omendb_bytea_to_vector);

/* vector(vector, typmod, explicit): a vector is never cut or padded. */
Datum
omendb_vector_to_vector(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);

	omendb_check_typmod(PG_GETARG_INT32(1), vector->dim, NULL);
	PG_RETURN_POINTER(vector);
}

Datum
omendb_array_to_vector(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	int dim = omendb_array_dim(&omendb_vector_elements, array, PG_GETARG_INT32(1));
	OmendbVector *result = omendb_vector_new(dim);

	omendb_array_elements(array, result->x);
	omendb_check_elements(&omendb_vector_elements, result->x, dim);

	PG_FREE_IF_COPY(array, 0);
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_to_float4(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	float *x;
	ArrayType *result = omendb_new_float4_array(vector->dim, &x);

	memcpy(x, vector->x, sizeof(float) * (Size) vector->dim);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* bytea_to_vector(bytea, typmod, explicit): float4, little-endian on every machine. */
Datum
omendb_bytea_to_vector(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	int dim = omendb_raw_dim(&omendb_vector_elements, bytes, sizeof(float), PG_GETARG_INT32(1));
	OmendbVector *result = omendb_vector_new(dim);

	memcpy(result->x, VARDATA_ANY(bytes), sizeof(float) * (Size) dim);
#ifdef WORDS_BIGENDIAN
	for (int i = 0; i < dim; i++)
	{
		uint32 bits;

		memcpy(&bits, &result->x[i], sizeof(bits));
		bits = __builtin_bswap32(bits);
		memcpy(&result->x[i], &bits, sizeof(bits));
	}
#endif
	omendb_check_elements(&omendb_vector_elements, result->x, dim);

	PG_FREE_IF_COPY(bytes, 0);
	PG_RETURN_POINTER(result);
}
