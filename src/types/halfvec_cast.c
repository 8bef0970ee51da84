/*
 * halfvec_cast.c - halfvec: length coercion, from and to vector and arrays,
 * from raw bytes.
 */
#include "postgres.h"

#include "pg/compat.h"
#include "types/halfvec.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_halfvec_to_halfvec);
PG_FUNCTION_INFO_V1(omendb_halfvec_to_vector);
PG_FUNCTION_INFO_V1(omendb_vector_to_halfvec);
PG_FUNCTION_INFO_V1(omendb_array_to_halfvec);
PG_FUNCTION_INFO_V1(omendb_halfvec_to_float4);
PG_FUNCTION_INFO_V1(omendb_bytea_to_halfvec);

/* halfvec(halfvec, typmod, explicit): a halfvec is never cut or padded. */
Datum
omendb_halfvec_to_halfvec(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);

	omendb_check_typmod(PG_GETARG_INT32(1), halfvec->dim, NULL);
	PG_RETURN_POINTER(halfvec);
}

Datum
omendb_halfvec_to_vector(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbVector *result;

	omendb_check_typmod(PG_GETARG_INT32(1), halfvec->dim, NULL);
	result = omendb_vector_new(halfvec->dim);
	omendb_halves_to_floats(halfvec->x, result->x, halfvec->dim);

	PG_FREE_IF_COPY(halfvec, 0);
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_to_halfvec(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	OmendbHalfvec *result;

	omendb_check_typmod(PG_GETARG_INT32(1), vector->dim, NULL);
	result = omendb_halfvec_from_floats(vector->x, vector->dim);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_POINTER(result);
}

Datum
omendb_array_to_halfvec(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	int dim = omendb_array_dim(&omendb_halfvec_elements, array, PG_GETARG_INT32(1));
	float x[OMENDB_VECTOR_MAX_DIM];
	OmendbHalfvec *result;

	omendb_array_elements(array, x);
	result = omendb_halfvec_from_floats(x, dim);

	PG_FREE_IF_COPY(array, 0);
	PG_RETURN_POINTER(result);
}

Datum
omendb_halfvec_to_float4(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	float *x;
	ArrayType *result = omendb_new_float4_array(halfvec->dim, &x);

	omendb_halves_to_floats(halfvec->x, x, halfvec->dim);

	PG_FREE_IF_COPY(halfvec, 0);
	PG_RETURN_ARRAYTYPE_P(result);
}

/* bytea_to_halfvec(bytea, typmod, explicit): IEEE halves, little-endian on every machine. */
Datum
omendb_bytea_to_halfvec(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	int dim = omendb_raw_dim(&omendb_halfvec_elements, bytes, sizeof(uint16), PG_GETARG_INT32(1));
	OmendbHalfvec *result = omendb_halfvec_new(dim);

	memcpy(result->x, VARDATA_ANY(bytes), sizeof(uint16) * (Size) dim);
#ifdef WORDS_BIGENDIAN
	for (int i = 0; i < dim; i++)
		result->x[i] = __builtin_bswap16(result->x[i]);
#endif
	omendb_halfvec_check_elements(result->x, dim);

	PG_FREE_IF_COPY(bytes, 0);
	PG_RETURN_POINTER(result);
}
