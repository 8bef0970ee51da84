/*
 * inspect.c - SQL functions that look into an index.
 *
 * omen_hnsw_check(index, heapallindexed, max_errors): findings of store/check.
 * omen_hnsw_stats(index): parameters and counts.
 *
 * Both work on a standby. The check wants a table without its owner's tricks:
 * expressions of an index run as the table's owner, in a restricted context.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "am/am.h"
#include "am/opclass.h"
#include "pg/compat.h"
#include "store/check.h"
#include "store/pages.h"

PG_FUNCTION_INFO_V1(omendb_hnsw_check);
PG_FUNCTION_INFO_V1(omendb_hnsw_stats);

/* Where the rows of the result go. */
typedef struct ResultRows
{
	Tuplestorestate *store;
	TupleDesc descriptor;
} ResultRows;

/* Prepare a result that is returned as a whole (the server's materialize mode). */
static void
start_result(FunctionCallInfo fcinfo, ResultRows *rows)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller;

	if (info == NULL || !IsA(info, ReturnSetInfo) || (info->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("set-valued function called in context that cannot accept a set"));

	caller = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &rows->descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rows->store =
		tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	info->returnMode = SFRM_Materialize;
	info->setResult = rows->store;
	info->setDesc = rows->descriptor;
	MemoryContextSwitchTo(caller);
}

/* ---- opening ---- */

/* ERROR unless the relation is an omen_hnsw index whose pages this session can read. */
static void
check_kind(Relation index)
{
	if (index->rd_rel->relkind != RELKIND_INDEX ||
		index->rd_rel->relam != get_index_am_oid("omen_hnsw", true))
		ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not an omen_hnsw index", RelationGetRelationName(index)));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("cannot access temporary tables of other sessions"));
	if (!index->rd_index->indisvalid)
		ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("index \"%s\" is not valid", RelationGetRelationName(index)));
	if (!RelationNeedsWAL(index) && RecoveryInProgress() &&
		index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED)
		ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("cannot access unlogged index \"%s\" during recovery",
					   RelationGetRelationName(index)));
}

/* The findings name rows and blocks: for the table's owner and who may read all data. */
static void
check_privilege(Relation heap)
{
	if (!object_ownercheck(RelationRelationId, RelationGetRelid(heap), GetUserId()) &&
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_DATA))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(heap));
}

/*
 * Lock the table, then the index, both AccessShare until the transaction's
 * end, and make sure that they still belong together.
 */
static Relation
open_index(Oid index_id, Relation *heap)
{
	Oid heap_id = IndexGetRelation(index_id, true);
	Relation index;

	*heap = NULL;
	if (OidIsValid(heap_id))
		*heap = table_open(heap_id, AccessShareLock);
	index = try_relation_open(index_id, AccessShareLock);
	if (index == NULL)
		ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("index with OID %u does not exist", index_id));
	if (index->rd_rel->relkind != RELKIND_INDEX || *heap == NULL)
		ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not an omen_hnsw index", RelationGetRelationName(index)));
	if (heap_id != IndexGetRelation(index_id, false))
		ereport(
			ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
			errmsg("could not open parent table of index \"%s\"", RelationGetRelationName(index)));
	check_kind(index);
	check_privilege(*heap);
	return index;
}

static void
close_index(Relation index, Relation heap)
{
	relation_close(index, NoLock);
	table_close(heap, NoLock);
}

/* ---- omen_hnsw_check ---- */

typedef struct FindingRows
{
	ResultRows rows;
	int left; /* how many more are wanted */
} FindingRows;

/* An OmendbReportFinding. */
static bool
put_finding(void *state, const char *severity, const char *invariant, int64 block,
			const char *detail)
{
	FindingRows *result = (FindingRows *) state;
	Datum values[4];
	bool nulls[4] = {false, false, false, false};

	values[0] = CStringGetTextDatum(severity);
	values[1] = CStringGetTextDatum(invariant);
	values[2] = Int64GetDatum(block);
	nulls[2] = block < 0;
	values[3] = CStringGetTextDatum(detail);
	tuplestore_putvalues(result->rows.store, result->rows.descriptor, values, nulls);
	return --result->left > 0;
}

/* What the callback of the table scan needs. */
typedef struct RowCheck
{
	OmendbCheck *check;
	const OmendbOpclass *opclass;
	MemoryContext context; /* reset for every row */
} RowCheck;

/* An IndexBuildCallback: a row that the index should have. */
static void
check_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	RowCheck *rows = (RowCheck *) state;
	MemoryContext caller;
	Datum value;
	int dim;

	if (isnull[0] || !omendb_check_accepts_rows(rows->check))
		return;
	caller = MemoryContextSwitchTo(rows->context);
	value = PointerGetDatum(PG_DETOAST_DATUM(values[0]));
	dim = rows->opclass->type->dim(value);
	if (omendb_opclass_is_plain(rows->opclass))
	{
		Size bytes;
		const void *payload = rows->opclass->type->payload(value, &bytes);

		omendb_check_value(rows->check, tid, payload, bytes, dim);
	}
	else
	{
		float *buffer = (float *) palloc(sizeof(float) * dim);

		omendb_check_row(rows->check, tid, rows->opclass->type->elements(value, buffer), dim);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(rows->context);
}

/*
 * Every row that the snapshot sees, with the index's predicate and expression
 * applied. The scan unregisters nothing: the snapshot is the caller's.
 */
static void
check_rows(Relation heap, Relation index, OmendbCheck *check, Snapshot snapshot)
{
	IndexInfo *info = BuildIndexInfo(index);
	TableScanDesc scan;
	RowCheck rows;

	rows.check = check;
	rows.opclass = omendb_opclass(index);
	rows.context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw row", ALLOCSET_DEFAULT_SIZES);
	scan = table_beginscan_strat(heap, snapshot, 0, NULL, true, true);
	/* An MVCC scan: rows as the snapshot sees them. */
	info->ii_Concurrent = true;
	info->ii_Unique = false;
	info->ii_ExclusionOps = NULL;
	info->ii_ExclusionProcs = NULL;
	info->ii_ExclusionStrats = NULL;
	/* Ends the scan, too. */
	table_index_build_scan(heap, index, info, true, false, check_row, &rows, scan);
	MemoryContextDelete(rows.context);
}

/*
 * The snapshot comes first: a row it sees had its entry before the pages are
 * read. Rows of a broken HOT chain may be missing for a snapshot older than the
 * index, as for any index.
 */
static void
check_all(Relation heap, Relation index, bool heapallindexed, FindingRows *result)
{
	Snapshot snapshot = NULL;
	OmendbCheck *check;

	if (heapallindexed)
	{
		snapshot = RegisterSnapshot(GetTransactionSnapshot());
		if (IsolationUsesXactSnapshot() && index->rd_index->indcheckxmin &&
			!TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data),
								   snapshot->xmin))
			ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					errmsg("index \"%s\" cannot be verified using transaction snapshot",
						   RelationGetRelationName(index)));
	}
	check = omendb_check_index(index, heap, put_finding, result);
	if (heapallindexed && omendb_check_accepts_rows(check))
		check_rows(heap, index, check, snapshot);
	if (snapshot != NULL)
		UnregisterSnapshot(snapshot);
}

Datum
omendb_hnsw_check(PG_FUNCTION_ARGS)
{
	Oid index_id = PG_GETARG_OID(0);
	bool heapallindexed = PG_GETARG_BOOL(1);
	int max_errors = PG_GETARG_INT32(2);
	FindingRows result;
	Relation heap;
	Relation index;
	Oid user;
	int security;
	int guc_level;

	if (max_errors < 1)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("max_errors must be at least 1"));
	start_result(fcinfo, &result.rows);
	result.left = max_errors;
	index = open_index(index_id, &heap);

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(heap->rd_rel->relowner, security | SECURITY_RESTRICTED_OPERATION);
	guc_level = NewGUCNestLevel();
	RestrictSearchPath();
	check_all(heap, index, heapallindexed, &result);
	AtEOXact_GUC(false, guc_level);
	SetUserIdAndSecContext(user, security);

	close_index(index, heap);
	PG_RETURN_NULL();
}

/* ---- omen_hnsw_stats ---- */

static void put_stat(ResultRows *rows, const char *name, const char *format, ...)
	pg_attribute_printf(3, 4);

static void
put_stat(ResultRows *rows, const char *name, const char *format, ...)
{
	Datum values[2];
	bool nulls[2] = {false, false};
	char value[64];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(value, sizeof(value), format, arguments);
	va_end(arguments);
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(value);
	tuplestore_putvalues(rows->store, rows->descriptor, values, nulls);
}

static void
put_parameters(ResultRows *rows, const OmendbMetaPage *meta)
{
	put_stat(rows, "format_version", "%u", meta->format_version);
	put_stat(rows, "metric", "%s", omendb_metric_name(meta->metric));
	put_stat(rows, "storage", "%s", omendb_storage_name(meta->storage));
	put_stat(rows, "dimensions", "%u", meta->input_dim);
	put_stat(rows, "padded_dimensions", "%u", meta->dim);
	put_stat(rows, "code_dimensions", "%u", meta->code_dim);
	put_stat(rows, "code_bits", "%u", meta->code_bits);
	put_stat(rows, "m", "%u", meta->m);
	put_stat(rows, "ef_construction", "%u", meta->ef_construction);
	put_stat(rows, "slot_bytes", "%u", meta->slot_bytes);
	put_stat(rows, "slots_per_page", "%u", meta->slots);
	put_stat(rows, "sampled_rows", "%u", meta->sampled);
	put_stat(rows, "skipped_rows", UINT64_FORMAT, meta->skipped_rows);
	if (meta->entry != OMENDB_NO_ADDRESS)
		put_stat(rows, "entry_level", "%u", meta->entry_level);
}

static void
put_counts(ResultRows *rows, const OmendbMetaPage *meta, const OmendbIndexStats *stats)
{
	uint64 nodes = stats->nodes[0];

	for (int level = 0; level <= OMENDB_MAX_LEVEL; level++)
	{
		char name[32];

		snprintf(name, sizeof(name), "nodes_level_%d", level);
		if (level == 0 || stats->nodes[level] > 0)
			put_stat(rows, name, UINT64_FORMAT, stats->nodes[level]);
	}
	put_stat(rows, "linking_nodes", UINT64_FORMAT, stats->linking_nodes);
	put_stat(rows, "dead_nodes", UINT64_FORMAT, stats->dead_nodes);
	put_stat(rows, "free_slots", UINT64_FORMAT, stats->free_slots);
	put_stat(rows, "tids", UINT64_FORMAT, stats->tids);
	put_stat(rows, "overflow_parts", UINT64_FORMAT, stats->overflow_parts);
	put_stat(rows, "free_parts", UINT64_FORMAT, stats->free_parts);
	/*
	 * Of the rows that a build would take the mean from today, the share that it was
	 * taken from. Codes and int8 vectors tell less around another mean, or none: where
	 * that is 0 or little, REINDEX pays.
	 */
	put_stat(rows, "rows_at_build", UINT64_FORMAT, meta->built_tids + meta->skipped_rows);
	put_stat(rows, "sampled_share", "%.2f",
			 stats->tids > 0
				 ? Min(meta->sampled / (double) Min(stats->tids, OMENDB_SAMPLE_ROWS), 1.0)
				 : 1.0);
	put_stat(rows, "average_degree", "%.2f", nodes > 0 ? (double) stats->links / nodes : 0.0);
	put_stat(rows, "average_protected", "%.2f",
			 nodes > 0 ? (double) stats->protected_links / nodes : 0.0);
}

/* Where the bytes of graph pages are; "unused" is what no record can fill. */
static void
put_sizes(ResultRows *rows, const OmendbMetaPage *meta, const OmendbIndexStats *stats)
{
	static const char *const kinds[] = {"pages_empty",    "pages_meta",       "pages_graph",
										"pages_overflow", "pages_parameters", "pages_pending",
										"pages_values"};
	uint64 records = 0;
	uint64 lanes = (uint64) meta->blocks * OMENDB_LANES * 4;
	uint64 graph_bytes = stats->pages[OMENDB_PAGE_GRAPH] * BLCKSZ;

	for (int level = 0; level <= OMENDB_MAX_LEVEL; level++)
		records += stats->nodes[level];
	put_stat(rows, "bytes_headers", UINT64_FORMAT, records * meta->vector_at);
	put_stat(rows, "bytes_vectors", UINT64_FORMAT,
			 records * (meta->neighbours_at - meta->vector_at));
	put_stat(rows, "bytes_neighbors", UINT64_FORMAT, records * lanes);
	put_stat(rows, "bytes_codes", UINT64_FORMAT, records * (meta->slot_bytes - meta->blocks_at));
	put_stat(rows, "bytes_unused", UINT64_FORMAT,
			 graph_bytes - Min(graph_bytes, records * meta->slot_bytes));
	for (int kind = 0; kind < (int) lengthof(kinds); kind++)
		put_stat(rows, kinds[kind], UINT64_FORMAT, stats->pages[kind]);
	put_stat(rows, "pages_damaged", UINT64_FORMAT, stats->damaged_pages);
}

Datum
omendb_hnsw_stats(PG_FUNCTION_ARGS)
{
	ResultRows rows;
	OmendbMetaPage meta;
	OmendbIndexStats stats;
	Relation heap;
	Relation index;

	start_result(fcinfo, &rows);
	index = open_index(PG_GETARG_OID(0), &heap);
	omendb_read_meta(index, &meta);
	omendb_collect_stats(index, &meta, &stats);
	put_parameters(&rows, &meta);
	put_counts(&rows, &meta, &stats);
	put_sizes(&rows, &meta, &stats);
	close_index(index, heap);
	PG_RETURN_NULL();
}
