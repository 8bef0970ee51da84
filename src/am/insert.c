/*
 * insert.c - rows that arrive after the build.
 *
 * Not possible yet. An error is the only honest answer: a row the index does
 * not know would silently be missing from every search.
 */
#include "postgres.h"

#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "am/am.h"
#include "am/opclass.h"
#include "pg/compat.h"

/* Whether the index keeps no entry for this value: a zero vector has no direction. */
static bool
needs_no_entry(Relation index, Datum value)
{
	const OmendbOpclass *opclass = omendb_opclass(index);
	const float *elements;
	float *buffer;
	int dim;

	if (opclass->metric != OMENDB_METRIC_COSINE)
		return false;
	value = PointerGetDatum(PG_DETOAST_DATUM(value));
	dim = opclass->dim(value);
	buffer = (float *) palloc(sizeof(float) * dim);
	elements = opclass->elements(value, buffer);
	for (int i = 0; i < dim; i++)
	{
		if (elements[i] != 0)
			return false;
	}
	return true;
}

bool
omendb_aminsert(Relation index, Datum *values, bool *isnull)
{
	if (isnull[0] || needs_no_entry(index, values[0]))
		return false;
	ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("inserting into an omen_hnsw index is not supported yet"),
			errdetail("Index \"%s\" holds the rows its table had when it was created.",
					  RelationGetRelationName(index)),
			errhint("Drop the index, change the table, and create the index again."));
	return false;
}

void
omendb_refuse_concurrent(const IndexInfo *info)
{
	if (info->ii_Concurrent)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("building an omen_hnsw index concurrently is not supported yet"),
				errhint("Build it without CONCURRENTLY."));
}
