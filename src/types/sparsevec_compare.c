/*
 * sparsevec_compare.c - sparsevec: the order of its btree operator class.
 *
 * That of the vectors written out: element by element, then the one with fewer
 * dimensions first. So sparsevecs of different dimensions may be compared.
 */
#include "postgres.h"

#include "pg/compat.h"
#include "types/sparsevec.h"

PG_FUNCTION_INFO_V1(omendb_sparsevec_lt);
PG_FUNCTION_INFO_V1(omendb_sparsevec_le);
PG_FUNCTION_INFO_V1(omendb_sparsevec_eq);
PG_FUNCTION_INFO_V1(omendb_sparsevec_ne);
PG_FUNCTION_INFO_V1(omendb_sparsevec_ge);
PG_FUNCTION_INFO_V1(omendb_sparsevec_gt);
PG_FUNCTION_INFO_V1(omendb_sparsevec_cmp);

/*
 * They differ first where their stored elements do. An element that only one
 * has is compared with a 0 of the other, if that has so many dimensions.
 */
static int
compare_sparsevecs(const OmendbSparsevec *a, const OmendbSparsevec *b)
{
	const float *a_values = omendb_sparsevec_values(a);
	const float *b_values = omendb_sparsevec_values(b);
	int common = Min(a->nnz, b->nnz);
	int i = 0;

	while (i < common && a->indices[i] == b->indices[i] && a_values[i] == b_values[i])
		i++;
	if (i < common && a->indices[i] == b->indices[i])
		return a_values[i] < b_values[i] ? -1 : 1;
	if (i < a->nnz && a->indices[i] < (i < b->nnz ? b->indices[i] : b->dim))
		return a_values[i] < 0 ? -1 : 1;
	if (i < b->nnz && b->indices[i] < (i < a->nnz ? a->indices[i] : a->dim))
		return b_values[i] < 0 ? 1 : -1;
	return (a->dim > b->dim) - (a->dim < b->dim);
}

/* Copies are freed: btree calls this many times in one memory context. */
static int
compare_arguments(FunctionCallInfo fcinfo)
{
	OmendbSparsevec *a = PG_GETARG_OMENDB_SPARSEVEC(0);
	OmendbSparsevec *b = PG_GETARG_OMENDB_SPARSEVEC(1);
	int result = compare_sparsevecs(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

Datum
omendb_sparsevec_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) < 0);
}

Datum
omendb_sparsevec_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) <= 0);
}

Datum
omendb_sparsevec_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) == 0);
}

Datum
omendb_sparsevec_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) != 0);
}

Datum
omendb_sparsevec_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) >= 0);
}

Datum
omendb_sparsevec_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) > 0);
}

Datum
omendb_sparsevec_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_arguments(fcinfo));
}
