/*
 * vector_compare.c - vector: the order of its btree operator class.
 *
 * Element by element, then the shorter one first, as arrays compare; so
 * vectors of different dimensions may be compared, and 0 equals -0.
 */
#include "postgres.h"

#include "pg/compat.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_vector_lt);
PG_FUNCTION_INFO_V1(omendb_vector_le);
PG_FUNCTION_INFO_V1(omendb_vector_eq);
PG_FUNCTION_INFO_V1(omendb_vector_ne);
PG_FUNCTION_INFO_V1(omendb_vector_ge);
PG_FUNCTION_INFO_V1(omendb_vector_gt);
PG_FUNCTION_INFO_V1(omendb_vector_cmp);

static int
compare_vectors(const OmendbVector *a, const OmendbVector *b)
{
	int common = Min(a->dim, b->dim);

	for (int i = 0; i < common; i++)
	{
		if (a->x[i] != b->x[i])
			return a->x[i] < b->x[i] ? -1 : 1;
	}
	return (a->dim > b->dim) - (a->dim < b->dim);
}

/* Copies are freed: btree calls this many times in one memory context. */
static int
compare_arguments(FunctionCallInfo fcinfo)
{
	OmendbVector *a = PG_GETARG_OMENDB_VECTOR(0);
	OmendbVector *b = PG_GETARG_OMENDB_VECTOR(1);
	int result = compare_vectors(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

Datum
omendb_vector_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) < 0);
}

Datum
omendb_vector_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) <= 0);
}

Datum
omendb_vector_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) == 0);
}

Datum
omendb_vector_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) != 0);
}

Datum
omendb_vector_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) >= 0);
}

Datum
omendb_vector_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) > 0);
}

Datum
omendb_vector_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_arguments(fcinfo));
}
