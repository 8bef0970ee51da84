/*
 * build.c - CREATE INDEX and REINDEX.
 *
 * Rows are inserted into final page images in memory (store/build.cpp), then
 * the pages are written in order and logged by range. Nothing reaches the disk
 * before the graph is complete.
 */
#include "postgres.h"

#include <math.h>

#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am.h"
#include "am/build.h"
#include "pg/compat.h"
#include "store/index.h"
#include "store/pages.h"

/* Rows between two updates of the progress report. */
#define PROGRESS_ROWS 128

/* Seed of the rotation and of the levels: the same table gives the same index. */
#define BUILD_SEED UINT64CONST(0x6F6D656E64620001)

char *
omendb_ambuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case OMENDB_PHASE_SAMPLE:
			return "sampling table";
		case OMENDB_PHASE_LOAD:
			return "loading tuples";
		case OMENDB_PHASE_WRITE:
			return "writing pages";
		case OMENDB_PHASE_LOG:
			return "logging pages";
		default:
			return NULL;
	}
}

static void
set_phase(int phase)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

/* What does not depend on rows. */
static void
init_meta(OmendbBuild *build)
{
	OmendbMetaPage *meta = &build->meta;
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(build->index), 0);
	OmendbOptions options;
	int dim = build->opclass->typmod_dim(attribute->atttypmod);

	omendb_get_options(build->index, &options);
	omendb_check_options(&options);
	if (dim < 1)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("column does not have dimensions"));
	memset(meta, 0, sizeof(*meta));
	meta->magic = OMENDB_MAGIC;
	meta->format_version = OMENDB_FORMAT_VERSION;
	meta->metric = build->opclass->metric;
	meta->type_kind = build->opclass->type_kind;
	meta->slot_bits = OMENDB_SLOT_BITS;
	meta->m = (uint16) options.m;
	meta->ef_construction = (uint16) options.ef_construction;
	meta->input_dim = (uint32) dim;
	meta->seed = BUILD_SEED;
	meta->parameters_block = OMENDB_META_BLOCK + 1;
	meta->entry = meta->root = OMENDB_NO_ADDRESS;
	meta->pending_head = meta->pending_tail = OMENDB_NO_ADDRESS;
	if (!omendb_choose_layout(meta, options.storage))
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("column with %d dimensions does not fit an omen_hnsw index page", dim),
				errdetail("A node with m = %d and this storage is larger than a page.", options.m),
				errhint("Use a smaller m, storage = int8, or fewer dimensions."));
}

/* ---- rows into the graph ---- */

static void
report_area_full(const OmendbBuild *build)
{
	double pages = omendb_build_pages(build->control);
	double rows = Max((double) omendb_build_tids(build->control), 1.0);
	double expected = Max(build->tuples_expected, rows * 1.2);
	double needed = pages * OMENDB_PAGE_SIZE * 1.1 * expected / rows / (1024.0 * 1024.0);

	ereport(ERROR, errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			errmsg("omen_hnsw graph does not fit into maintenance_work_mem"),
			errdetail("It reached %.0f MB after %.0f of about %.0f tuples.",
					  pages * OMENDB_PAGE_SIZE / (1024.0 * 1024.0), rows, expected),
			errhint("Set maintenance_work_mem to at least %.0f MB.", ceil(needed) + 1));
}

static void
insert_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *opaque)
{
	OmendbBuild *build = (OmendbBuild *) opaque;
	MemoryContext old;
	Datum value;
	int dim;
	const float *elements;
	uint32 hash;
	OmendbInsertResult result;

	if (isnull[0])
	{
		build->skipped++;
		return;
	}
	/* The build begins again without workers: hurry through the scan. */
	if (build->area.shared->shared_memory_full)
		return;
	old = MemoryContextSwitchTo(build->row_context);
	value = PointerGetDatum(PG_DETOAST_DATUM(values[0]));
	dim = build->opclass->dim(value);
	if (dim != (int) build->meta.input_dim)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("expected %d dimensions, not %d", (int) build->meta.input_dim, dim));
	elements = build->opclass->elements(value, build->buffer);
	hash = hash_bytes((const unsigned char *) elements, dim * (int) sizeof(float));
	result = omendb_builder_insert(build->builder, elements, hash, tid);
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);

	if (result == OMENDB_NOT_INDEXED)
		build->skipped++;
	else if (result == OMENDB_AREA_FULL && !build->area.shared->shared_memory_full)
		report_area_full(build);
	if (build->is_leader && ++build->seen % PROGRESS_ROWS == 0)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
									 (int64) omendb_build_tids(build->control));
}

void
omendb_build_insert_all(OmendbBuild *build, TableScanDesc scan)
{
	build->builder =
		omendb_builder_create(&build->meta, build->mean, build->control, &build->area.calls);
	build->heap_tuples += table_index_build_scan(build->heap, build->index, build->info, true,
												 build->is_leader, insert_row, build, scan);
}

/* The whole build in this process, in private memory. */
static void
build_serial(OmendbBuild *build, Size bytes_wanted, Size bytes_limit)
{
	OmendbAreaShared *shared = (OmendbAreaShared *) palloc(sizeof(OmendbAreaShared));

	build->control = (OmendbBuildControl *) palloc0(omendb_build_control_size());
	omendb_build_control_init(build->control);
	omendb_area_init_shared(shared, bytes_wanted, bytes_limit);
	omendb_area_init(&build->area, shared, build->control, NULL);
	build->heap_tuples = 0;
	build->skipped = 0;
	omendb_build_insert_all(build, NULL);
}

/* ---- pages to the relation ---- */

/* Append a page: header, special space, then `used` bytes of content. */
static void
append_page(Relation index, ForkNumber fork, uint16 kind, uint16 slots, const char *content,
			Size used)
{
	Buffer buffer = ReadBufferExtended(index, fork, P_NEW, RBM_ZERO_AND_LOCK, NULL);
	Page page = BufferGetPage(buffer);

	omendb_init_page(page, kind, slots, used);
	memcpy(page + OMENDB_PAGE_HEADER, content, used);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	CHECK_FOR_INTERRUPTS();
}

static void
write_parameters(const OmendbBuild *build, ForkNumber fork)
{
	uint32 done = 0;

	while (build->meta.sampled > 0 && done < build->meta.input_dim)
	{
		uint32 n = Min(build->meta.input_dim - done, OMENDB_MEAN_PER_PAGE);

		append_page(build->index, fork, OMENDB_PAGE_PARAMETERS, 0,
					(const char *) (build->mean + done), n * sizeof(float));
		done += n;
	}
}

static void
write_graph(OmendbBuild *build)
{
	uint32 pages = omendb_build_pages(build->control);

	for (uint32 i = 0; i < pages; i++)
	{
		const char *image = omendb_builder_page(build->builder, i);
		const OmendbPageSpecial *special =
			(const OmendbPageSpecial *) (image + OMENDB_PAGE_SIZE - sizeof(OmendbPageSpecial));
		Size slot =
			special->kind == OMENDB_PAGE_GRAPH ? build->meta.slot_bytes : sizeof(OmendbTidPart);

		append_page(build->index, MAIN_FORKNUM, special->kind, special->slots,
					image + OMENDB_PAGE_HEADER, special->slots * slot);
	}
}

static void
write_pages(OmendbBuild *build, ForkNumber fork)
{
	build->meta.mean_checksum =
		build->meta.sampled > 0 ? omendb_mean_checksum(&build->meta, build->mean) : 0;
	build->meta.checksum = omendb_meta_checksum(&build->meta);
	append_page(build->index, fork, OMENDB_PAGE_META, 0, (const char *) &build->meta,
				sizeof(OmendbMetaPage));
	write_parameters(build, fork);
	if (build->control != NULL)
		write_graph(build);
	if (RelationNeedsWAL(build->index) || fork == INIT_FORKNUM)
	{
		set_phase(OMENDB_PHASE_LOG);
		log_newpage_range(build->index, fork, 0,
						  RelationGetNumberOfBlocksInFork(build->index, fork), true);
	}
}

/* ---- the callbacks ---- */

static void
init_build(OmendbBuild *build, Relation heap, Relation index, IndexInfo *info)
{
	memset(build, 0, sizeof(*build));
	build->heap = heap;
	build->index = index;
	build->info = info;
	build->is_leader = true;
	build->opclass = omendb_opclass(index);
	init_meta(build);
	build->row_context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw row", ALLOCSET_DEFAULT_SIZES);
	build->buffer = (float *) palloc(build->meta.input_dim * sizeof(float));
}

static void
take_sample(OmendbBuild *build)
{
	OmendbSample sample;

	set_phase(OMENDB_PHASE_SAMPLE);
	omendb_sample_table(build, &sample);
	build->mean = sample.mean;
	build->tuples_expected = sample.tuples;
	build->meta.sampled = sample.rows;
	build->meta.radius = sample.radius;
	build->meta.parameter_blocks =
		sample.rows == 0
			? 0
			: (build->meta.input_dim + OMENDB_MEAN_PER_PAGE - 1) / OMENDB_MEAN_PER_PAGE;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) sample.tuples);
}

/* Bytes of the pages the expected rows will fill, upper levels and part-filled pages included. */
static Size
expected_bytes(const OmendbBuild *build)
{
	double pages = build->tuples_expected * (1.0 + 1.0 / 31) / build->meta.slots * 1.02 + 16;

	return (Size) Min(pages * OMENDB_PAGE_SIZE, (double) (SIZE_MAX / 4));
}

static OmendbParallelBuild *
build_graph(OmendbBuild *build)
{
	Size limit = (Size) maintenance_work_mem * 1024;
	Size wanted = expected_bytes(build);
	int workers = omendb_plan_build_workers(build);
	OmendbParallelBuild *parallel = NULL;

	set_phase(OMENDB_PHASE_LOAD);
	if (workers > 0 && !omendb_shared_memory_has(Min(wanted, limit) + OMENDB_CHUNK_SIZE))
	{
		ereport(DEBUG1, errmsg_internal("not enough shared memory for parallel workers"));
		workers = 0;
	}
	if (workers > 0)
	{
		bool memory_full;

		parallel = omendb_parallel_build(build, workers, wanted, limit, &memory_full);
		if (parallel != NULL && !memory_full)
			return parallel;
		if (parallel != NULL)
		{
			omendb_parallel_build_end(parallel);
			ereport(NOTICE, errmsg("shared memory is full, building the omen_hnsw index again "
								   "without parallel workers"));
		}
	}
	build_serial(build, wanted, limit);
	return NULL;
}

IndexBuildResult *
omendb_ambuild(Relation heap, Relation index, IndexInfo *info)
{
	IndexBuildResult *result;
	OmendbParallelBuild *parallel;
	OmendbBuild build;

	omendb_refuse_concurrent(info);
	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	init_build(&build, heap, index, info);
	take_sample(&build);
	parallel = build_graph(&build);
	omendb_build_result(build.control, &build.meta);
	build.meta.skipped_rows = build.skipped;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) build.meta.built_tids);

	set_phase(OMENDB_PHASE_WRITE);
	write_pages(&build, MAIN_FORKNUM);
	if (parallel != NULL)
		omendb_parallel_build_end(parallel);

	result = (IndexBuildResult *) palloc(sizeof(IndexBuildResult));
	result->heap_tuples = build.heap_tuples;
	result->index_tuples = (double) build.meta.built_tids;
	return result;
}

/* The INIT fork of an unlogged index: an empty graph, WAL-logged all the same. */
void
omendb_ambuildempty(Relation index)
{
	OmendbBuild build;

	init_build(&build, NULL, index, NULL);
	build.meta.radius = 1.0f;
	write_pages(&build, INIT_FORKNUM);
}
