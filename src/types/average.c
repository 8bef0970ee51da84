/*
 * average.c - the aggregate avg of vector and halfvec.
 *
 * Its state is float8[]: {count, sum of element 1, ...}, and {0} before the
 * first value. The functions can be called from SQL with anything, so each
 * checks what it is given. Called by an aggregate, they change the state in
 * place: it is nobody else's.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/float.h"

#include "pg/compat.h"
#include "types/halfvec.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_vector_accum);
PG_FUNCTION_INFO_V1(omendb_vector_combine);
PG_FUNCTION_INFO_V1(omendb_vector_avg);
PG_FUNCTION_INFO_V1(omendb_halfvec_accum);
PG_FUNCTION_INFO_V1(omendb_halfvec_avg);

typedef struct AverageState
{
	ArrayType *array;
	float8 *items; /* the count, then dim sums */
	int dim;       /* 0 before the first value */
} AverageState;

static AverageState
get_state(ArrayType *array, const char *caller)
{
	AverageState state;

	if (ARR_NDIM(array) != 1 || ARR_DIMS(array)[0] < 1 || ARR_HASNULL(array) ||
		ARR_ELEMTYPE(array) != FLOAT8OID)
		elog(ERROR, "%s: expected state array", caller);
	state.array = array;
	state.items = (float8 *) ((char *) array + ARR_OVERHEAD_NONULLS(1));
	state.dim = ARR_DIMS(array)[0] - 1;
	return state;
}

/* A new state of dim sums, all of them 0. */
static AverageState
new_state(int dim)
{
	Size size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * (Size) (dim + 1);
	AverageState state;

	state.array = palloc0(size);
	SET_VARSIZE(state.array, size);
	state.array->ndim = 1;
	state.array->dataoffset = 0; /* no null bitmap */
	state.array->elemtype = FLOAT8OID;
	ARR_DIMS(state.array)[0] = dim + 1;
	ARR_LBOUND(state.array)[0] = 1;
	state.items = (float8 *) ((char *) state.array + ARR_OVERHEAD_NONULLS(1));
	state.dim = dim;
	return state;
}

/* The state itself when the caller is an aggregate, else a copy of it. */
static AverageState
state_to_change(FunctionCallInfo fcinfo, AverageState state)
{
	AverageState copy;

	if (AggCheckCallContext(fcinfo, NULL))
		return state;
	copy = new_state(state.dim);
	memcpy(copy.items, state.items, sizeof(float8) * (Size) (state.dim + 1));
	return copy;
}

static void
check_no_overflow(const float8 *sums, int n)
{
	uint64 infinite = 0;

	/* NaN, which only a state made by hand has, passes. */
	for (int i = 0; i < n; i++)
	{
		uint64 bits;

		memcpy(&bits, &sums[i], sizeof(bits));
		infinite |= (bits & (UINT64_MAX >> 1)) == UINT64CONST(0x7FF0000000000000);
	}
	if (unlikely(infinite != 0))
		float_overflow_error();
}

/* The state that one more value of dim elements goes into. */
static AverageState
begin_accum(FunctionCallInfo fcinfo, const char *caller, int dim)
{
	AverageState state = get_state(PG_GETARG_ARRAYTYPE_P(0), caller);
	AverageState result;

	if (state.dim > 0)
	{
		omendb_check_typmod(state.dim, dim, NULL);
		result = state_to_change(fcinfo, state);
	}
	else
	{
		result = new_state(dim);
		result.items[0] = state.items[0];
		/* What every number, -0 too, can be added to unchanged. */
		for (int i = 1; i <= dim; i++)
			result.items[i] = -0.0;
	}
	result.items[0] += 1;
	return result;
}

static void
add_elements(float8 *sums, const float *x, int n)
{
	for (int i = 0; i < n; i++)
		sums[i] += (float8) x[i];
}

Datum
omendb_vector_accum(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(1);
	AverageState state = begin_accum(fcinfo, "vector_accum", vector->dim);

	omendb_prefetch_row(vector);
	add_elements(state.items + 1, vector->x, vector->dim);
	check_no_overflow(state.items + 1, vector->dim);
	PG_RETURN_ARRAYTYPE_P(state.array);
}

Datum
omendb_halfvec_accum(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(1);
	AverageState state = begin_accum(fcinfo, "halfvec_accum", halfvec->dim);

	omendb_prefetch_row(halfvec);
	for (int i = 0; i < halfvec->dim; i += OMENDB_HALF_CHUNK)
	{
		int n = Min(OMENDB_HALF_CHUNK, halfvec->dim - i);
		float x[OMENDB_HALF_CHUNK];

		omendb_halves_to_floats(halfvec->x + i, x, n);
		add_elements(state.items + 1 + i, x, n);
	}
	check_no_overflow(state.items + 1, halfvec->dim);
	PG_RETURN_ARRAYTYPE_P(state.array);
}

/* Of both types: the state does not tell. */
Datum
omendb_vector_combine(PG_FUNCTION_ARGS)
{
	AverageState a = get_state(PG_GETARG_ARRAYTYPE_P(0), "vector_combine");
	AverageState b = get_state(PG_GETARG_ARRAYTYPE_P(1), "vector_combine");
	AverageState result;

	/* Both empty, or a valid number of dimensions. */
	if (a.dim > 0 || b.dim > 0)
		omendb_vector_check_dim(a.dim > 0 ? a.dim : b.dim, NULL);
	if (a.dim > 0 && b.dim > 0)
		omendb_check_typmod(a.dim, b.dim, NULL);

	if (a.dim == 0)
	{
		result = new_state(b.dim);
		memcpy(result.items + 1, b.items + 1, sizeof(float8) * (Size) b.dim);
		result.items[0] = a.items[0] + b.items[0];
		PG_RETURN_ARRAYTYPE_P(result.array);
	}
	result = state_to_change(fcinfo, a);
	result.items[0] += b.items[0];
	for (int i = 1; i <= b.dim; i++)
		result.items[i] += b.items[i];
	if (b.dim > 0)
		check_no_overflow(result.items + 1, b.dim);
	PG_RETURN_ARRAYTYPE_P(result.array);
}

/* The elements of the average; NULL of no values. */
static float *
average(const OmendbElementType *type, AverageState state)
{
	float8 count = state.items[0];
	float *x;

	if (count == 0)
		return NULL;
	omendb_check_dim(type, state.dim, NULL);
	x = palloc(sizeof(float) * (Size) state.dim);
	for (int i = 0; i < state.dim; i++)
		x[i] = (float) (state.items[i + 1] / count);
	return x;
}

Datum
omendb_vector_avg(PG_FUNCTION_ARGS)
{
	AverageState state = get_state(PG_GETARG_ARRAYTYPE_P(0), "vector_avg");
	float *x = average(&omendb_vector_elements, state);
	OmendbVector *result;

	if (x == NULL)
		PG_RETURN_NULL();
	omendb_check_elements(&omendb_vector_elements, x, state.dim);
	result = omendb_vector_new(state.dim);
	memcpy(result->x, x, sizeof(float) * (Size) state.dim);
	PG_RETURN_POINTER(result);
}

Datum
omendb_halfvec_avg(PG_FUNCTION_ARGS)
{
	AverageState state = get_state(PG_GETARG_ARRAYTYPE_P(0), "halfvec_avg");
	float *x = average(&omendb_halfvec_elements, state);

	if (x == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(omendb_halfvec_from_floats(x, state.dim));
}
