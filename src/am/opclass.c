/*
 * opclass.c - the operator classes: which metric, and how to read the type.
 */
#include "postgres.h"

#include "access/genam.h"
#include "common/hashfn.h"
#include "fmgr.h"

#include "am/am.h"
#include "am/opclass.h"
#include "pg/compat.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_hnsw_vector_l2_support);
PG_FUNCTION_INFO_V1(omendb_hnsw_vector_ip_support);
PG_FUNCTION_INFO_V1(omendb_hnsw_vector_cosine_support);

/*
 * What support function 1 of the index's only column returns. A user may name
 * any function in CREATE OPERATOR CLASS; amvalidate tells, nobody enforces it.
 */
const OmendbOpclass *
omendb_opclass(Relation index)
{
	FmgrInfo *support = index_getprocinfo(index, 1, OMENDB_SUPPORT_PROC);

	return (const OmendbOpclass *) DatumGetPointer(
		FunctionCall1Coll(support, InvalidOid, PointerGetDatum(NULL)));
}

const float *
omendb_read_value(const OmendbOpclass *opclass, Datum value, int dimensions, float *buffer,
				  uint32 *hash)
{
	const float *elements;
	int dim;

	value = PointerGetDatum(PG_DETOAST_DATUM(value));
	dim = opclass->dim(value);
	if (dim != dimensions)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("expected %d dimensions, not %d", dimensions, dim));
	elements = opclass->elements(value, buffer);
	*hash = hash_bytes((const unsigned char *) elements, dim * (int) sizeof(float));
	return elements;
}

static int
vector_typmod_dim(int32 typmod)
{
	return typmod;
}

static int
vector_dim(Datum value)
{
	return ((const OmendbVector *) DatumGetPointer(value))->dim;
}

static const float *
vector_elements(Datum value, float *buffer)
{
	return ((const OmendbVector *) DatumGetPointer(value))->x;
}

Datum
omendb_hnsw_vector_l2_support(PG_FUNCTION_ARGS)
{
	static const OmendbOpclass opclass = {OMENDB_METRIC_L2, OMENDB_TYPE_VECTOR, vector_typmod_dim,
										  vector_dim, vector_elements};

	PG_RETURN_POINTER(&opclass);
}

Datum
omendb_hnsw_vector_ip_support(PG_FUNCTION_ARGS)
{
	static const OmendbOpclass opclass = {OMENDB_METRIC_INNER_PRODUCT, OMENDB_TYPE_VECTOR,
										  vector_typmod_dim, vector_dim, vector_elements};

	PG_RETURN_POINTER(&opclass);
}

Datum
omendb_hnsw_vector_cosine_support(PG_FUNCTION_ARGS)
{
	static const OmendbOpclass opclass = {OMENDB_METRIC_COSINE, OMENDB_TYPE_VECTOR,
										  vector_typmod_dim, vector_dim, vector_elements};

	PG_RETURN_POINTER(&opclass);
}
