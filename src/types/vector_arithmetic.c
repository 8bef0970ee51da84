/*
 * vector_arithmetic.c - vector: + - * ||, parts of a vector, signs as bits.
 *
 * Elements stay finite: a result that is not is an overflow error, and so is a
 * product that became 0 of factors that are not.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"
#include "utils/varbit.h"

#include "pg/compat.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_vector_add);
PG_FUNCTION_INFO_V1(omendb_vector_sub);
PG_FUNCTION_INFO_V1(omendb_vector_mul);
PG_FUNCTION_INFO_V1(omendb_vector_concat);
PG_FUNCTION_INFO_V1(omendb_vector_subvector);
PG_FUNCTION_INFO_V1(omendb_vector_binary_quantize);

static void
check_no_overflow(const OmendbVector *vector)
{
	/* Of finite arguments no result is NaN. */
	if (unlikely(!omendb_all_finite(vector->x, vector->dim)))
		float_overflow_error();
}

/* Also the transition of the aggregate sum, whose state is its own to change. */
Datum
omendb_vector_add(PG_FUNCTION_ARGS)
{
	OmendbVector *a = PG_GETARG_OMENDB_VECTOR(0);
	OmendbVector *b = PG_GETARG_OMENDB_VECTOR(1);
	OmendbVector *result;

	omendb_vector_check_same_dim(a, b);
	omendb_prefetch_row(b);
	result = AggCheckCallContext(fcinfo, NULL) ? a : omendb_vector_new(a->dim);
	for (int i = 0, dim = a->dim; i < dim; i++)
		result->x[i] = a->x[i] + b->x[i];
	check_no_overflow(result);
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_sub(PG_FUNCTION_ARGS)
{
	OmendbVector *a = PG_GETARG_OMENDB_VECTOR(0);
	OmendbVector *b = PG_GETARG_OMENDB_VECTOR(1);
	OmendbVector *result;

	omendb_vector_check_same_dim(a, b);
	result = omendb_vector_new(a->dim);
	for (int i = 0, dim = a->dim; i < dim; i++)
		result->x[i] = a->x[i] - b->x[i];
	check_no_overflow(result);
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_mul(PG_FUNCTION_ARGS)
{
	OmendbVector *a = PG_GETARG_OMENDB_VECTOR(0);
	OmendbVector *b = PG_GETARG_OMENDB_VECTOR(1);
	OmendbVector *result;

	omendb_vector_check_same_dim(a, b);
	result = omendb_vector_new(a->dim);
	for (int i = 0; i < a->dim; i++)
	{
		/* The first element out of range decides which of the two errors it is. */
		result->x[i] = a->x[i] * b->x[i];
		if (isinf(result->x[i]))
			float_overflow_error();
		if (result->x[i] == 0 && a->x[i] != 0 && b->x[i] != 0)
			float_underflow_error();
	}
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_concat(PG_FUNCTION_ARGS)
{
	OmendbVector *a = PG_GETARG_OMENDB_VECTOR(0);
	OmendbVector *b = PG_GETARG_OMENDB_VECTOR(1);
	int dim = a->dim + b->dim;
	OmendbVector *result;

	omendb_vector_check_dim(dim, NULL);
	result = omendb_vector_new(dim);
	memcpy(result->x, a->x, sizeof(float) * (Size) a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(float) * (Size) b->dim);
	PG_RETURN_POINTER(result);
}

/*
 * subvector(vector, start, count): as substring, elements start to
 * start + count - 1 counted from 1, as far as they exist; but one must.
 */
Datum
omendb_vector_subvector(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	int64 start = PG_GETARG_INT32(1);
	int64 count = PG_GETARG_INT32(2);
	int64 first = Max(start, 1);
	int64 last = Min(start + count - 1, vector->dim);
	int dim = (int) Max(last - first + 1, 0);
	OmendbVector *result;

	omendb_vector_check_dim(dim, NULL);
	result = omendb_vector_new(dim);
	memcpy(result->x, vector->x + (first - 1), sizeof(float) * (Size) dim);
	PG_RETURN_POINTER(result);
}

/* Bit i tells whether element i is positive. */
Datum
omendb_vector_binary_quantize(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	int size = VARBITTOTALLEN(vector->dim);
	VarBit *result = palloc0((Size) size);
	bits8 *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = vector->dim;
	for (int i = 0; i < vector->dim; i++)
	{
		if (vector->x[i] > 0)
			bits[i / BITS_PER_BYTE] |= (bits8) (HIGHBIT >> (i % BITS_PER_BYTE));
	}
	PG_RETURN_VARBIT_P(result);
}
