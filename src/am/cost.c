/*
 * cost.c - what the planner is told an index scan costs.
 *
 * A scan is a stream: it visits a window of nodes before the first row and one
 * more node for every further row. A node is one page, wherever it lies. The
 * window is settled for several rows at a time, so it is larger than ef_search
 * (store/scan.cpp, window()), and some nodes are visited that do not enter it.
 * So the cost is
 *
 *   startup = hops of the first window * cost of a hop
 *   total   = startup + nodes * cost of a hop
 *
 * and LIMIT, which interpolates between the two, is priced as what it is: a
 * small one costs a window, one near the size of the table costs more than
 * reading the table, and a filter that keeps one row in a thousand costs a
 * thousand hops a row. The caps of a scan (max_scan_tuples) are left out on
 * purpose: a scan that would stop early must not look cheap.
 *
 * Heap pages of the returned rows are added by cost_index(). TOAST is on
 * neither side: the planner prices a sequential scan as if every vector lay in
 * the heap page, and charging only this path for it would be unjust.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/float.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

#include "am/am.h"
#include "pg/compat.h"
#include "store/pages.h"

/* As btcostestimate charges for a page of the upper tree: work, but no read. */
#define PAGE_OPERATIONS 50.0

/* A distance or an estimate from this many bytes is about one operation. */
#define BYTES_AN_OPERATION 512.0

/* Operations for the lanes that enter the queue, and for leaving it. */
#define QUEUE_OPERATIONS 8.0

/*
 * The first window: ef_search and what its steps add; and the nodes visited for
 * one that stays in it. Measured hops at ef_search 10, 40, 100, 400 are 54 to
 * 88, 91 to 149, 158 to 213, 498 to 687, over 32 to 1536 dimensions.
 */
#define WINDOW_MORE        24.0
#define HOPS_A_WINDOW_NODE 1.5

/* Nodes visited on the way down a level (graph/search-inl.hpp, kDescentWidth). */
#define HOPS_A_LEVEL 4.0

/*
 * An index that fits the cache is read by every search all over, and so stays
 * there; this share of its hops is taken to miss nonetheless.
 */
#define COLD_SHARE 0.02

/* What the model needs to know of an index. */
typedef struct IndexProfile
{
	double nodes;
	double levels; /* above the lowest */
	double slot_bytes;
	double reads; /* records a hop looks at */
} IndexProfile;

/* From the meta page where there is one; a hypothetical index gets a typical shape. */
static void
profile_index(const IndexOptInfo *info, IndexProfile *profile)
{
	OmendbMetaPage meta;
	bool known = false;

	profile->nodes = Max(info->tuples, 1.0);
	if (!info->hypothetical)
	{
		/* The planner holds a lock on it already. */
		Relation index = index_open(info->indexoid, NoLock);

		known = omendb_try_read_meta(index, &meta);
		index_close(index, NoLock);
	}
	profile->slot_bytes = known ? meta.slot_bytes : 1024.0;
	/* Without codes every neighbour not met before is read; some half of them were. */
	profile->reads = known && meta.code_bits == 0 ? 1.0 + meta.max_links / 2.0 : 1.0;
	profile->levels = known ? meta.entry_level : floor(log(profile->nodes) / log(32.0));
}

/* The share of hops that have to read their page. */
static double
miss_share(PlannerInfo *root, const IndexOptInfo *info)
{
	double pages = Max(info->pages, 1.0);
	double all_pages = Max(root->total_table_pages + pages, 1.0);
	double cached = (double) effective_cache_size * pages / all_pages;

	if (cached >= pages)
		return COLD_SHARE;
	return Max(COLD_SHARE, 1.0 - cached / pages);
}

static double
hop_cost(PlannerInfo *root, const IndexOptInfo *info, const IndexProfile *profile)
{
	double operations =
		PAGE_OPERATIONS + QUEUE_OPERATIONS + profile->slot_bytes / BYTES_AN_OPERATION;
	double random_page;

	get_tablespace_page_costs(info->reltablespace, &random_page, NULL);
	return profile->reads * (operations * cpu_operator_cost + miss_share(root, info) * random_page);
}

/* The share of the table's rows that the index returns when asked for all. */
static double
index_share(const IndexOptInfo *info)
{
	if (info->indpred == NIL || info->rel->tuples <= 0)
		return 1.0;
	return Min(info->tuples / info->rel->tuples, 1.0);
}

/*
 * Whether a row that has been through the executor's reorder queue still knows where it
 * is in the table. On some servers (seen: 15.18, 16.14, 17.10, 18.4, but not 15.20) it
 * does not, with any index whose distances are rechecked: its ctid is (4294967295,0), FOR
 * UPDATE fails, and what it tried to lock has extended the table. So the server is asked.
 */
static bool
reorder_keeps_ctid(void)
{
	static enum { UNKNOWN, KEEPS, LOSES } answer = UNKNOWN;

	if (answer == UNKNOWN)
	{
		TupleDesc descriptor = CreateTemplateTupleDesc(1);
		Datum value = Int32GetDatum(0);
		bool null = false;
		TupleTableSlot *slot;
		HeapTuple tuple;

		TupleDescInitEntry(descriptor, 1, "a", INT4OID, -1, 0);
		tuple = heap_form_tuple(descriptor, &value, &null);
		ItemPointerSet(&tuple->t_self, 1, 1);
		slot = MakeSingleTupleTableSlot(descriptor, &TTSOpsBufferHeapTuple);
		ItemPointerSetInvalid(&slot->tts_tid);
		ExecForceStoreHeapTuple(tuple, slot, false);
		answer = ItemPointerEquals(&slot->tts_tid, &tuple->t_self) ? KEEPS : LOSES;
		ExecDropSingleTupleTableSlot(slot);
		heap_freetuple(tuple);
	}
	return answer == KEEPS;
}

/* Whether anybody asks a table's rows for their ctid: FOR UPDATE, an expression, a filter. */
static bool
needs_ctid(const RelOptInfo *rel)
{
	Bitmapset *columns = NULL;
	ListCell *cell;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &columns);
	foreach (cell, rel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, cell)->clause, rel->relid, &columns);
	return bms_is_member(SelfItemPointerAttributeNumber - FirstLowInvalidHeapAttributeNumber,
						 columns);
}

/* Never an ERROR of its own: that would make every query on the table fail. */
void
omendb_amcostestimate(PlannerInfo *root, IndexPath *path, double loop_count, Cost *startup_cost,
					  Cost *total_cost, Selectivity *selectivity, double *correlation,
					  double *pages)
{
	IndexOptInfo *info = path->indexinfo;
	IndexProfile profile;
	double first_hops;
	double hop;

	*correlation = 0;
	*pages = info->pages;
	/* Offered for the sake of a partial index's predicate alone: unable. */
	if (path->indexorderbys == NIL || (needs_ctid(info->rel) && !reorder_keeps_ctid()))
	{
		*startup_cost = get_float8_infinity();
		*total_cost = get_float8_infinity();
		*selectivity = 0;
		omendb_disable_path(&path->path);
		return;
	}

	profile_index(info, &profile);
	hop = hop_cost(root, info, &profile);
	first_hops = (omendb_ef_search + WINDOW_MORE) * HOPS_A_WINDOW_NODE;
	first_hops = Min(first_hops + profile.levels * HOPS_A_LEVEL, profile.nodes);

	*startup_cost = first_hops * hop;
	/* The query vector is computed once; looking up its operator costs next to nothing. */
	*startup_cost += index_other_operands_eval_cost(root, path->indexorderbys);
	*total_cost = *startup_cost + profile.nodes * (hop + cpu_index_tuple_cost);
	*selectivity = index_share(info);
}
