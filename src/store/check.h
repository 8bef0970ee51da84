/*
 * check.h - verifying an index and counting what is in it. C.
 *
 * Everything here works on a damaged index: pages are copied to private memory
 * and every number read from them is range-checked before use. Only what the
 * server itself refuses to read (a checksum failure) is an ERROR.
 */
#ifndef OMENDB_STORE_CHECK_H
#define OMENDB_STORE_CHECK_H

#include "storage/itemptr.h"
#include "utils/rel.h"

#include "store/layout.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/*
	 * What is wrong with the fields of a meta page, as a static string, or NULL.
	 * Defined in pages.c, beside the functions that raise it as an ERROR.
	 */
	extern const char *omendb_meta_problem(const OmendbMetaPage *meta);

	/*
	 * Receives a finding. block is -1 when it is about no particular block. Returns
	 * false when no more findings are wanted.
	 */
	typedef bool (*OmendbReportFinding)(void *state, const char *severity, const char *invariant,
										int64 block, const char *detail);

	typedef struct OmendbCheck OmendbCheck;

	/*
	 * Check everything that can be checked without the table's rows. The caller
	 * holds AccessShareLock on both relations and, if it means to go on with rows,
	 * a snapshot registered before this call: rows it sees were inserted before
	 * the pages were read. Memory comes from the current context.
	 */
	extern OmendbCheck *omendb_check_index(Relation index, Relation heap,
										   OmendbReportFinding report, void *state);

	/* Whether rows can be checked: the parameters are readable, and findings still wanted. */
	extern bool omendb_check_accepts_rows(const OmendbCheck *check);

	/*
	 * A visible row that is not NULL must be in the index, within the stored
	 * residual of its true vector. x: dim floats.
	 */
	extern void omendb_check_row(OmendbCheck *check, ItemPointer tid, const float *x, int dim);
	/* The same of an index of plain values: the payload, bytes of it. */
	extern void omendb_check_value(OmendbCheck *check, ItemPointer tid, const void *value,
								   Size bytes, int dim);

	/* What is in an index, for omen_hnsw_stats(). */
	typedef struct OmendbIndexStats
	{
		uint64 pages[7]; /* by kind; 0: never written */
		uint64 damaged_pages;
		uint64 nodes[8];      /* records that are not free, by level */
		uint64 linking_nodes; /* on level 0 */
		uint64 dead_nodes;    /* on level 0 */
		uint64 free_slots;
		uint64 tids;
		uint64 links;           /* occupied lanes on level 0 */
		uint64 protected_links; /* of those, links of the protected tree */
		uint64 overflow_parts;
		uint64 free_parts;
	} OmendbIndexStats;

	extern void omendb_collect_stats(Relation index, const OmendbMetaPage *meta,
									 OmendbIndexStats *stats);

	/* Names for the meta page's codes; "unknown" for what is none. */
	extern const char *omendb_metric_name(uint8 metric);
	extern const char *omendb_storage_name(uint8 storage);

#ifdef __cplusplus
}
#endif

#endif
