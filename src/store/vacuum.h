/*
 * vacuum.h - removing dead rows from an index. C.
 */
#ifndef OMENDB_STORE_VACUUM_H
#define OMENDB_STORE_VACUUM_H

#include "access/genam.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/*
	 * One bulk delete: ask callback about every TID, remove those it calls dead, and
	 * take the nodes that are left without any out of the graph; their slots can be
	 * used again afterwards. Adds to stats->tuples_removed and sets its
	 * num_index_tuples and num_pages. No lock is held on entry or return; callback
	 * runs under a buffer content lock. Memory: vacuum.cpp.
	 */
	extern void omendb_bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteCallback callback,
								   void *callback_state, IndexBulkDeleteResult *stats);

#ifdef __cplusplus
}
#endif

#endif
