/*
 * vacuum.c - VACUUM's two calls. The work is in store/vacuum.cpp.
 *
 * Statistics are an IndexBulkDeleteResult and nothing more: a parallel VACUUM
 * copies exactly that many bytes into shared memory and hands them back.
 */
#include "postgres.h"

#include "access/genam.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "am/am.h"
#include "pg/compat.h"
#include "store/vacuum.h"

/*
 * Called any number of times in one VACUUM, and by CREATE INDEX CONCURRENTLY
 * with a callback that only collects: every TID is reported, each time.
 */
IndexBulkDeleteResult *
omendb_ambulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
					IndexBulkDeleteCallback callback, void *callback_state)
{
	if (stats == NULL)
		stats = (IndexBulkDeleteResult *) palloc0(sizeof(IndexBulkDeleteResult));
	omendb_bulk_delete(info, callback, callback_state, stats);
	return stats;
}

/* Nothing to clean up; without a bulk delete only a guess at what is there. */
IndexBulkDeleteResult *
omendb_amvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL)
	{
		stats = (IndexBulkDeleteResult *) palloc0(sizeof(IndexBulkDeleteResult));
		stats->num_index_tuples = Max(info->num_heap_tuples, 0);
		stats->estimated_count = true;
	}
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}
