/*
 * vector_aggregate.c - vector: the aggregate avg.
 *
 * Its state is float8[]: {count, sum of element 1, ...}, and {0} before the
 * first vector. The functions can be called from SQL with anything, so each
 * checks what it is given.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/float.h"

#include "pg/compat.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_vector_accum);
PG_FUNCTION_INFO_V1(omendb_vector_combine);
PG_FUNCTION_INFO_V1(omendb_vector_avg);

typedef struct AverageState
{
	int dim;             /* 0 before the first vector */
	const float8 *items; /* the count, then dim sums */
} AverageState;

static AverageState
get_state(ArrayType *array, const char *caller)
{
	AverageState state;

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] < 1 || ARR_HASNULL(array) ||
		ARR_ELEMTYPE(array) != FLOAT8OID)
		elog(ERROR, "%s: expected state array", caller);
	state.dim = ARR_DIMS(array)[0] - 1;
	state.items = (const float8 *) ((const char *) array + ARR_OVERHEAD_NONULLS(1));
	return state;
}

/* A new state of dim zero sums; *items points at its elements. */
static ArrayType *
new_state(int dim, float8 **items)
{
	Size size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * (Size) (dim + 1);
	ArrayType *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0; /* no null bitmap */
	array->elemtype = FLOAT8OID;
	ARR_DIMS(array)[0] = dim + 1;
	ARR_LBOUND(array)[0] = 1;
	*items = (float8 *) ((char *) array + ARR_OVERHEAD_NONULLS(1));
	return array;
}

static float8
add_checked(float8 a, float8 b)
{
	float8 sum = a + b;

	if (isinf(sum))
		float_overflow_error();
	return sum;
}

Datum
omendb_vector_accum(PG_FUNCTION_ARGS)
{
	AverageState state = get_state(PG_GETARG_ARRAYTYPE_P(0), "vector_accum");
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(1);
	ArrayType *result;
	float8 *items;

	if (state.dim > 0)
		omendb_vector_check_typmod(state.dim, vector->dim, NULL);
	result = new_state(vector->dim, &items);
	items[0] = state.items[0] + 1;
	for (int i = 1; i <= vector->dim; i++)
	{
		float8 element = (float8) vector->x[i - 1];

		items[i] = state.dim > 0 ? add_checked(state.items[i], element) : element;
	}
	PG_RETURN_ARRAYTYPE_P(result);
}

Datum
omendb_vector_combine(PG_FUNCTION_ARGS)
{
	ArrayType *array_a = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType *array_b = PG_GETARG_ARRAYTYPE_P(1);
	AverageState a = get_state(array_a, "vector_combine");
	AverageState b = get_state(array_b, "vector_combine");
	int dim = a.dim > 0 ? a.dim : b.dim;
	ArrayType *result;
	float8 *items;

	/* Both empty, or a valid number of dimensions. */
	if (dim > 0)
		omendb_vector_check_dim(dim, NULL);
	if (a.dim > 0 && b.dim > 0)
		omendb_vector_check_typmod(a.dim, b.dim, NULL);

	result = new_state(dim, &items);
	items[0] = a.items[0] + b.items[0];
	for (int i = 1; i <= dim; i++)
	{
		if (a.dim == 0)
			items[i] = b.items[i];
		else if (b.dim == 0)
			items[i] = a.items[i];
		else
			items[i] = add_checked(a.items[i], b.items[i]);
	}
	PG_RETURN_ARRAYTYPE_P(result);
}

/* The average of no vectors is NULL. */
Datum
omendb_vector_avg(PG_FUNCTION_ARGS)
{
	AverageState state = get_state(PG_GETARG_ARRAYTYPE_P(0), "vector_avg");
	float8 count = state.items[0];
	OmendbVector *result;

	if (count == 0)
		PG_RETURN_NULL();
	omendb_vector_check_dim(state.dim, NULL);
	result = omendb_vector_new(state.dim);
	for (int i = 0; i < state.dim; i++)
	{
		result->x[i] = (float) (state.items[i + 1] / count);
		omendb_vector_check_element(result->x[i], NULL);
	}
	PG_RETURN_POINTER(result);
}
