/*
 * scan.c - reading rows in the order of a distance.
 *
 * The search itself is a stream behind store/index.h. What is here turns it
 * into an index scan: keys and settings in; TIDs, distances and whether they
 * are exact out. Between calls nothing is pinned and nothing locked, so only
 * MVCC snapshots are safe: they do not see the row that may by now have taken
 * the place of one that was returned.
 */
#include "postgres.h"

#include <float.h>

#include "access/relscan.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "am/am.h"
#include "am/opclass.h"
#include "pg/compat.h"
#include "store/index.h"

typedef struct SearchState
{
	MemoryContext context;       /* lives as long as the scan */
	MemoryContext query_context; /* reset for every new query */
	const OmendbOpclass *opclass;
	OmendbScan *search; /* NULL until the first row is asked for */
	OmendbScanLimits limits;
	bool started;            /* the search runs for the current keys */
	BlockNumber heap_blocks; /* of the table, when last asked; 0 before */
	/* one entry for every ORDER BY operator */
	Oid *types;
	IndexOrderByDistance *distances;
} SearchState;

IndexScanDesc
omendb_ambeginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	SearchState *state = (SearchState *) palloc0(sizeof(SearchState));

	state->context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw scan", ALLOCSET_DEFAULT_SIZES);
	state->query_context =
		AllocSetContextCreate(state->context, "omen_hnsw query", ALLOCSET_SMALL_SIZES);
	state->opclass = omendb_opclass(index);

	/* RelationGetIndexScan leaves these to us. */
	scan->xs_recheck = false;
	scan->xs_recheckorderby = false;
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = (Datum *) palloc0(sizeof(Datum) * norderbys);
		scan->xs_orderbynulls = (bool *) palloc(sizeof(bool) * norderbys);
		state->types = (Oid *) palloc(sizeof(Oid) * norderbys);
		state->distances = palloc0(sizeof(IndexOrderByDistance) * norderbys);
		for (int i = 0; i < norderbys; i++)
		{
			scan->xs_orderbynulls[i] = true;
			state->types[i] = FLOAT8OID;
		}
	}
	scan->opaque = state;
	return scan;
}

/* The settings count as they are when the scan (re)starts. */
static void
set_limits(OmendbScanLimits *limits)
{
	double bytes = (double) work_mem * 1024.0 * omendb_scan_mem_multiplier;

	limits->ef_search = omendb_ef_search;
	limits->relaxed = omendb_scan_order == OMENDB_SCAN_ORDER_RELAXED;
	limits->max_scan_tuples = omendb_max_scan_tuples;
	limits->max_memory = bytes < (double) (SIZE_MAX / 2) ? (Size) bytes : SIZE_MAX / 2;
}

/* keys and orderbys may be NULL: the same as before. */
void
omendb_amrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	SearchState *state = (SearchState *) scan->opaque;

	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, sizeof(ScanKeyData) * scan->numberOfKeys);
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, sizeof(ScanKeyData) * scan->numberOfOrderBys);
	set_limits(&state->limits);
	state->started = false;
}

/* The query's elements or payload in query_context, or NULL for a query that is NULL. */
static const void *
query_value(IndexScanDesc scan)
{
	SearchState *state = (SearchState *) scan->opaque;
	const OmendbIndexedType *type = state->opclass->type;
	ScanKey key = &scan->orderByData[0];
	int expected = omendb_scan_dimensions(state->search);
	Datum value;
	float *buffer;
	Size bytes;
	int dim;

	if ((key->sk_flags & SK_ISNULL) != 0)
		return NULL;
	/* A copy even of what needs no detoasting: the key belongs to the executor. */
	value = PointerGetDatum(PG_DETOAST_DATUM_COPY(key->sk_argument));
	dim = type->dim(value);
	if (dim != expected)
		type->refuse_dim(expected, dim);
	if (omendb_opclass_is_plain(state->opclass))
		return type->payload(value, &bytes);
	buffer = (float *) palloc(sizeof(float) * dim);
	return type->elements(value, buffer);
}

/* Start the search for the current keys. */
static void
start_search(IndexScanDesc scan)
{
	SearchState *state = (SearchState *) scan->opaque;
	MemoryContext caller;

	pgstat_count_index_scan(scan->indexRelation);
	omendb_count_index_search(scan);

	/* The planner offers no such scan; a damaged plan or another extension might. */
	if (scan->numberOfOrderBys == 0 || scan->numberOfKeys > 0)
		elog(ERROR, "cannot scan omen_hnsw index without order");
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		elog(ERROR, "non-MVCC snapshots are not supported with omen_hnsw");

	caller = MemoryContextSwitchTo(state->context);
	if (state->search == NULL)
		state->search = omendb_scan_create(scan->indexRelation);
	MemoryContextReset(state->query_context);
	MemoryContextSwitchTo(state->query_context);
	omendb_scan_start(state->search, query_value(scan), &state->limits);
	MemoryContextSwitchTo(caller);
	state->started = true;
}

/*
 * Tell the executor the distance. With recheck it computes the exact one, and
 * fails if that is below ours: nothing is rounded up on the way.
 *
 * ORDER BY v <-> a, v <-> b gives two operators on the one column. Of the
 * second nothing is known, so its bound is -infinity, and then no row is exact.
 */
static void
store_distance(IndexScanDesc scan, double bound, bool recheck)
{
	SearchState *state = (SearchState *) scan->opaque;
	bool null_query = (scan->orderByData[0].sk_flags & SK_ISNULL) != 0;

	/* The distance to NULL is NULL, whatever the row: nothing to recheck. */
	state->distances[0].value = bound;
	state->distances[0].isnull = null_query;
	recheck = recheck && !null_query;
	for (int i = 1; i < scan->numberOfOrderBys; i++)
	{
		state->distances[i].value = -get_float8_infinity();
		state->distances[i].isnull = false;
		recheck = true;
	}
	index_store_float8_orderby_distances(scan, state->types, state->distances, recheck);
}

/*
 * A TID outside the table is damage that the executor would meet as a file that
 * cannot be opened. The table is not truncated under a scan's lock.
 */
static void
check_tid(IndexScanDesc scan, ItemPointer tid)
{
	SearchState *state = (SearchState *) scan->opaque;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(tid);

	if (block < state->heap_blocks || scan->heapRelation == NULL)
		return;
	state->heap_blocks = RelationGetNumberOfBlocks(scan->heapRelation);
	if (block >= state->heap_blocks)
		ereport(ERROR, errcode(ERRCODE_INDEX_CORRUPTED),
				errmsg("index \"%s\" points outside its table, to block %u",
					   RelationGetRelationName(scan->indexRelation), block),
				errhint("Please REINDEX it."));
}

bool
omendb_amgettuple(IndexScanDesc scan, ScanDirection direction)
{
	SearchState *state = (SearchState *) scan->opaque;
	ItemPointerData tid;
	double bound;
	bool recheck;

	if (!ScanDirectionIsForward(direction))
		elog(ERROR, "omen_hnsw only supports forward scans");
	if (!state->started)
		start_search(scan);
	if (!omendb_scan_next(state->search, &tid, &bound, &recheck))
		return false;

	check_tid(scan, &tid);
	scan->xs_heaptid = tid;
	scan->xs_recheck = false;
	store_distance(scan, bound, recheck);
	return true;
}

void
omendb_amendscan(IndexScanDesc scan)
{
	SearchState *state = (SearchState *) scan->opaque;

	if (state->search != NULL)
		omendb_scan_end(state->search);
	MemoryContextDelete(state->context);
	if (scan->numberOfOrderBys > 0)
	{
		pfree(state->types);
		pfree(state->distances);
	}
	pfree(state);
	scan->opaque = NULL;
}
