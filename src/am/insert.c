/*
 * insert.c - rows that arrive after the build. The work is in store/insert.cpp.
 */
#include "postgres.h"

#include "nodes/execnodes.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am.h"
#include "am/opclass.h"
#include "pg/compat.h"
#include "store/insert.h"

/* What the rows of one statement have in common: in ii_AmCache. */
typedef struct InsertCache
{
	const OmendbOpclass *opclass;
	OmendbInsert *insert;
	float *buffer;
	MemoryContext row_context;
} InsertCache;

static InsertCache *
get_cache(Relation index, IndexInfo *info)
{
	InsertCache *cache = (InsertCache *) info->ii_AmCache;
	MemoryContext caller;

	if (cache != NULL)
		return cache;
	caller = MemoryContextSwitchTo(info->ii_Context);
	cache = (InsertCache *) palloc0(sizeof(InsertCache));
	cache->opclass = omendb_opclass(index);
	cache->insert = omendb_insert_create(index);
	if (!omendb_opclass_is_plain(cache->opclass))
		cache->buffer = (float *) palloc(sizeof(float) * omendb_insert_dimensions(cache->insert));
	cache->row_context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw row", ALLOCSET_DEFAULT_SIZES);
	info->ii_AmCache = cache;
	MemoryContextSwitchTo(caller);
	return cache;
}

/* Whether the value is NULL is all that is known without the index. Never unique: false. */
bool
omendb_aminsert(Relation index, Datum *values, bool *isnull, ItemPointer tid, IndexInfo *info)
{
	InsertCache *cache;
	MemoryContext caller;
	const void *row;
	uint32 hash;

	if (isnull[0])
		return false;
	cache = get_cache(index, info);
	caller = MemoryContextSwitchTo(cache->row_context);
	row = omendb_read_value(cache->opclass, values[0], omendb_insert_dimensions(cache->insert),
							cache->buffer, &hash);
	(void) omendb_insert_row(cache->insert, index, row, hash, tid);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(cache->row_context);
	return false;
}
