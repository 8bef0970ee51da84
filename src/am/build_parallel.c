/*
 * build_parallel.c - a build by the leader and parallel workers.
 *
 * The heap is divided by a parallel table scan; what follows (graph/bulk.hpp) is
 * divided in small pieces between meetings at a barrier. The leader takes part. A
 * worker that comes after the first meeting goes away again.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_proc.h"
#include "commands/progress.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/paths.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "am/am.h"
#include "am/build.h"
#include "pg/compat.h"

/* Keys of the shared table of contents. */
#define KEY_SHARED       1
#define KEY_SCAN         2
#define KEY_MEAN         3
#define KEY_CONTROL      4
#define KEY_QUERY_TEXT   5
#define KEY_WAL_USAGE    6
#define KEY_BUFFER_USAGE 7

/* maintenance_work_mem each participant must have, as core asks for its own builds. */
#define PARTICIPANT_KB (32 * 1024)

typedef struct SharedBuild
{
	Oid heap;
	Oid index;
	bool concurrent;
	double tuples_expected;
	OmendbMetaPage meta;

	Barrier barrier;
	slock_t mutex; /* protects what follows */
	double heap_tuples;
	uint64 skipped;

	OmendbAreaShared area;
} SharedBuild;

struct OmendbParallelBuild
{
	ParallelContext *context;
	SharedBuild *shared;
	OmendbArea *area;
	WalUsage *wal_usage;
	BufferUsage *buffer_usage;
	Snapshot snapshot;
};

/* ---- how many workers ---- */

/*
 * Expressions and predicate must be safe to run in workers. A planner root
 * that knows nothing but "something may be unsafe" makes the check look.
 */
static bool
is_safe(OmendbBuild *build)
{
	PlannerInfo *root = makeNode(PlannerInfo);

	root->parse = makeNode(Query);
	root->glob = makeNode(PlannerGlobal);
	root->glob->maxParallelHazard = PROPARALLEL_UNSAFE;
	return is_parallel_safe(root, (Node *) RelationGetIndexExpressions(build->index)) &&
		   is_parallel_safe(root, (Node *) RelationGetIndexPredicate(build->index));
}

/* Blocks of the table and of its TOAST table, where long vectors are. */
static BlockNumber
table_blocks(Relation heap)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(heap);

	if (OidIsValid(heap->rd_rel->reltoastrelid))
	{
		Relation toast = table_open(heap->rd_rel->reltoastrelid, AccessShareLock);

		blocks += RelationGetNumberOfBlocks(toast);
		table_close(toast, AccessShareLock);
	}
	return blocks;
}

int
omendb_plan_build_workers(OmendbBuild *build)
{
	int workers = RelationGetParallelWorkers(build->heap, -1);
	BlockNumber blocks;
	BlockNumber threshold;

	if (!IsUnderPostmaster || max_parallel_maintenance_workers == 0 ||
		build->heap->rd_rel->relpersistence == RELPERSISTENCE_TEMP || !is_safe(build))
		return 0;
	if (workers != -1)
		return Min(workers, max_parallel_maintenance_workers);

	/* As core: one worker from min_parallel_table_scan_size, one more for every factor of 3. */
	blocks = table_blocks(build->heap);
	threshold = (BlockNumber) Max(min_parallel_table_scan_size, 1);
	if (blocks < threshold)
		return 0;
	workers = 1;
	while (threshold < MaxBlockNumber / 3 && blocks >= threshold * 3)
	{
		workers++;
		threshold *= 3;
	}
	workers = Min(workers, max_parallel_maintenance_workers);
	while (workers > 0 && maintenance_work_mem / (workers + 1) < PARTICIPANT_KB)
		workers--;
	return workers;
}

/* ---- what every participant does ---- */

/* All rows of its own are loaded: the rest of the build, with the others. */
static void
participate(OmendbBuild *build, SharedBuild *shared)
{
	SpinLockAcquire(&shared->mutex);
	shared->heap_tuples += build->heap_tuples;
	shared->skipped += build->skipped;
	SpinLockRelease(&shared->mutex);
	omendb_build_finish(build);
}

static LOCKMODE
heap_lock(const SharedBuild *shared)
{
	return shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
}

static LOCKMODE
index_lock(const SharedBuild *shared)
{
	return shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;
}

/* Entry point of a worker, found by name. */
PGDLLEXPORT void omendb_parallel_build_main(dsm_segment *segment, shm_toc *toc);

void
omendb_parallel_build_main(dsm_segment *segment, shm_toc *toc)
{
	SharedBuild *shared = (SharedBuild *) shm_toc_lookup(toc, KEY_SHARED, false);
	WalUsage *wal_usage = (WalUsage *) shm_toc_lookup(toc, KEY_WAL_USAGE, false);
	BufferUsage *buffer_usage = (BufferUsage *) shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);
	char *query = (char *) shm_toc_lookup(toc, KEY_QUERY_TEXT, true);
	OmendbBuild build;

	debug_query_string = query;
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	(void) omendb_build_tranche();
	memset(&build, 0, sizeof(build));
	/* What the leader holds. */
	build.heap = table_open(shared->heap, heap_lock(shared));
	build.index = index_open(shared->index, index_lock(shared));
	build.info = BuildIndexInfo(build.index);
	build.info->ii_Concurrent = shared->concurrent;
	build.opclass = omendb_opclass(build.index);
	build.meta = shared->meta;
	if (!omendb_opclass_is_plain(build.opclass))
	{
		build.mean = (const float *) shm_toc_lookup(toc, KEY_MEAN, false);
		build.buffer = (float *) palloc(build.meta.input_dim * sizeof(float));
	}
	build.tuples_expected = shared->tuples_expected;
	build.control = (OmendbBuildControl *) shm_toc_lookup(toc, KEY_CONTROL, false);
	build.row_context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw row", ALLOCSET_DEFAULT_SIZES);
	SharedFileSetAttach(&shared->area.files, segment);
	build.area = omendb_area_create(&shared->area, false);
	build.barrier = &shared->barrier;

	InstrStartParallelQuery();
	if (BarrierAttach(build.barrier) == 0)
	{
		ParallelTableScanDesc scan = (ParallelTableScanDesc) shm_toc_lookup(toc, KEY_SCAN, false);

		omendb_build_load(&build, table_beginscan_parallel(build.heap, scan));
		participate(&build, shared);
	}
	BarrierDetach(build.barrier);
	omendb_area_detach(build.area);
	InstrEndParallelQuery(&buffer_usage[ParallelWorkerNumber], &wal_usage[ParallelWorkerNumber]);
	ereport(DEBUG1, errmsg_internal("worker processed %.0f tuples", build.heap_tuples));

	index_close(build.index, index_lock(shared));
	table_close(build.heap, heap_lock(shared));
}

/* ---- the leader ---- */

static Size
mean_bytes(const OmendbBuild *build)
{
	return build->mean != NULL ? build->meta.input_dim * sizeof(float) : 8;
}

static void
estimate(ParallelContext *context, const OmendbBuild *build, Snapshot snapshot)
{
	shm_toc_estimator *e = &context->estimator;

	shm_toc_estimate_chunk(e, sizeof(SharedBuild));
	shm_toc_estimate_chunk(e, table_parallelscan_estimate(build->heap, snapshot));
	shm_toc_estimate_chunk(e, mean_bytes(build));
	shm_toc_estimate_chunk(e, omendb_build_control_size());
	shm_toc_estimate_chunk(e, mul_size(sizeof(WalUsage), context->nworkers));
	shm_toc_estimate_chunk(e, mul_size(sizeof(BufferUsage), context->nworkers));
	if (debug_query_string)
		shm_toc_estimate_chunk(e, strlen(debug_query_string) + 1);
	shm_toc_estimate_keys(e, 7);
}

static SharedBuild *
store_shared(ParallelContext *context, OmendbBuild *build)
{
	shm_toc *toc = context->toc;
	SharedBuild *shared = (SharedBuild *) shm_toc_allocate(toc, sizeof(SharedBuild));
	float *mean = (float *) shm_toc_allocate(toc, mean_bytes(build));

	memset(shared, 0, sizeof(*shared));
	shared->heap = RelationGetRelid(build->heap);
	shared->index = RelationGetRelid(build->index);
	shared->concurrent = build->info->ii_Concurrent;
	shared->tuples_expected = build->tuples_expected;
	shared->meta = build->meta;
	BarrierInit(&shared->barrier, 0);
	SpinLockInit(&shared->mutex);
	omendb_area_init_shared(&shared->area, omendb_build_memory_limit(),
							omendb_build_bytes_expected(build));
	SharedFileSetInit(&shared->area.files, context->seg);
	shm_toc_insert(toc, KEY_SHARED, shared);
	if (build->mean != NULL)
		memcpy(mean, build->mean, mean_bytes(build));
	shm_toc_insert(toc, KEY_MEAN, mean);
	build->control = (OmendbBuildControl *) shm_toc_allocate(toc, omendb_build_control_size());
	memset(build->control, 0, omendb_build_control_size());
	omendb_build_control_init(build->control, &build->meta, build->tuples_expected);
	shm_toc_insert(toc, KEY_CONTROL, build->control);
	return shared;
}

static ParallelTableScanDesc
store_scan(ParallelContext *context, OmendbBuild *build, OmendbParallelBuild *parallel,
		   Snapshot snapshot)
{
	shm_toc *toc = context->toc;
	ParallelTableScanDesc scan = (ParallelTableScanDesc) shm_toc_allocate(
		toc, table_parallelscan_estimate(build->heap, snapshot));

	table_parallelscan_initialize(build->heap, scan, snapshot);
	shm_toc_insert(toc, KEY_SCAN, scan);
	parallel->wal_usage =
		(WalUsage *) shm_toc_allocate(toc, mul_size(sizeof(WalUsage), context->nworkers));
	shm_toc_insert(toc, KEY_WAL_USAGE, parallel->wal_usage);
	parallel->buffer_usage =
		(BufferUsage *) shm_toc_allocate(toc, mul_size(sizeof(BufferUsage), context->nworkers));
	shm_toc_insert(toc, KEY_BUFFER_USAGE, parallel->buffer_usage);
	if (debug_query_string)
	{
		char *text = (char *) shm_toc_allocate(toc, strlen(debug_query_string) + 1);

		strcpy(text, debug_query_string);
		shm_toc_insert(toc, KEY_QUERY_TEXT, text);
	}
	return scan;
}

/*
 * Loading is the smaller part of a build: a worker that starts while the leader
 * loads a small table alone is worth waiting for.
 */
static void
wait_for_workers(OmendbBuild *build, ParallelContext *context)
{
	WaitForParallelWorkersToAttach(context);
	for (int i = 0; i < 1000 && BarrierParticipants(build->barrier) <= context->nworkers_launched;
		 i++)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000L);
	}
}

static void
release_snapshot(Snapshot snapshot)
{
	if (IsMVCCSnapshot(snapshot))
		UnregisterSnapshot(snapshot);
}

OmendbParallelBuild *
omendb_parallel_build(OmendbBuild *build, int workers)
{
	OmendbParallelBuild *parallel = (OmendbParallelBuild *) palloc0(sizeof(OmendbParallelBuild));
	ParallelContext *context;
	SharedBuild *shared;
	ParallelTableScanDesc scan;
	Snapshot snapshot = SnapshotAny;

	EnterParallelMode();
	context = CreateParallelContext("omendb", "omendb_parallel_build_main", workers);
	parallel->context = context;
	/* Rows come and go during a concurrent build: only a snapshot holds still. */
	if (build->info->ii_Concurrent)
		snapshot = RegisterSnapshot(GetTransactionSnapshot());
	parallel->snapshot = snapshot;
	estimate(context, build, snapshot);
	InitializeParallelDSM(context);
	if (context->seg == NULL)
	{
		/* No slot for a segment: the caller builds alone. */
		release_snapshot(snapshot);
		DestroyParallelContext(context);
		ExitParallelMode();
		return NULL;
	}
	shared = store_shared(context, build);
	scan = store_scan(context, build, parallel, snapshot);
	build->area = omendb_area_create(&shared->area, false);
	build->barrier = &shared->barrier;
	parallel->shared = shared;
	parallel->area = build->area;

	LaunchParallelWorkers(context);
	ereport(DEBUG1, errmsg_internal("using %d parallel workers", context->nworkers_launched));
	(void) BarrierAttach(build->barrier);
	omendb_build_load(build, table_beginscan_parallel(build->heap, scan));
	wait_for_workers(build, context);
	participate(build, shared);
	BarrierDetach(build->barrier);
	WaitForParallelWorkersToFinish(context);
	for (int i = 0; i < context->nworkers_launched; i++)
		InstrAccumParallelQuery(&parallel->buffer_usage[i], &parallel->wal_usage[i]);
	build->heap_tuples = shared->heap_tuples;
	build->skipped = shared->skipped;
	return parallel;
}

void
omendb_parallel_build_end(OmendbParallelBuild *parallel)
{
	omendb_area_detach(parallel->area);
	release_snapshot(parallel->snapshot);
	DestroyParallelContext(parallel->context);
	ExitParallelMode();
	pfree(parallel);
}
