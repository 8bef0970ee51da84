/*
 * halfvec_compare.c - halfvec: the order of its btree operator class.
 *
 * Element by element, then the shorter one first, as arrays compare; so
 * halfvecs of different dimensions may be compared, and 0 equals -0.
 */
#include "postgres.h"

#include "pg/compat.h"
#include "types/halfvec.h"

PG_FUNCTION_INFO_V1(omendb_halfvec_lt);
PG_FUNCTION_INFO_V1(omendb_halfvec_le);
PG_FUNCTION_INFO_V1(omendb_halfvec_eq);
PG_FUNCTION_INFO_V1(omendb_halfvec_ne);
PG_FUNCTION_INFO_V1(omendb_halfvec_ge);
PG_FUNCTION_INFO_V1(omendb_halfvec_gt);
PG_FUNCTION_INFO_V1(omendb_halfvec_cmp);

/* A finite half as an integer of the same order: sign and magnitude, one zero. */
static inline int
half_rank(uint16 h)
{
	int magnitude = h & 0x7FFF;

	return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

static int
compare_halfvecs(const OmendbHalfvec *a, const OmendbHalfvec *b)
{
	int common = Min(a->dim, b->dim);

	for (int i = 0; i < common; i++)
	{
		int rank_a = half_rank(a->x[i]);
		int rank_b = half_rank(b->x[i]);

		if (rank_a != rank_b)
			return rank_a < rank_b ? -1 : 1;
	}
	return (a->dim > b->dim) - (a->dim < b->dim);
}

/* Copies are freed: btree calls this many times in one memory context. */
static int
compare_arguments(FunctionCallInfo fcinfo)
{
	OmendbHalfvec *a = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbHalfvec *b = PG_GETARG_OMENDB_HALFVEC(1);
	int result = compare_halfvecs(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

Datum
omendb_halfvec_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) < 0);
}

Datum
omendb_halfvec_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) <= 0);
}

Datum
omendb_halfvec_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) == 0);
}

Datum
omendb_halfvec_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) != 0);
}

Datum
omendb_halfvec_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) >= 0);
}

Datum
omendb_halfvec_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) > 0);
}

Datum
omendb_halfvec_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_arguments(fcinfo));
}
