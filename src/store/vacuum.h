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
	 * One pass over all pages: ask callback about every TID, remove those it calls
	 * dead, mark nodes left without any. Adds to stats->tuples_removed and sets its
	 * num_index_tuples and num_pages. No lock is held on entry or return; callback
	 * runs under a buffer content lock.
	 */
	extern void omendb_vacuum_tids(IndexVacuumInfo *info, IndexBulkDeleteCallback callback,
								   void *callback_state, IndexBulkDeleteResult *stats);

#ifdef __cplusplus
}
#endif

#endif
