/*
 * build.c - CREATE INDEX and REINDEX.
 *
 * All rows are loaded, the graph is made from them at once (graph/bulk.hpp), and
 * every participant writes and logs its part of the pages. The first pages, with
 * the entry point, come last.
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "am/am.h"
#include "am/build.h"
#include "pg/compat.h"
#include "store/index.h"
#include "store/pages.h"

/* Seed of the rotation and of the levels: the same table gives the same index. */
#define BUILD_SEED UINT64CONST(0x6F6D656E64620001)

/* Sparse rows of an index whose table is empty: 64 elements. */
#define EMPTY_SPARSE_BYTES (8 + 8 * 64)

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
		case OMENDB_PHASE_COMPARE:
			return "comparing vectors";
		case OMENDB_PHASE_LINK:
			return "linking nodes";
		case OMENDB_PHASE_WRITE:
			return "writing pages";
		default:
			return NULL;
	}
}

static void
set_phase(int phase)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, phase);
}

/* sizes: of some rows where they differ in length; none where nobody knows. */
static void
choose_layout(OmendbBuild *build, int storage, const uint32 *sizes, uint32 size_count)
{
	static const uint32 empty = EMPTY_SPARSE_BYTES;
	OmendbMetaPage *meta = &build->meta;

	if (meta->type_kind == OMENDB_TYPE_SPARSE && size_count == 0)
	{
		sizes = &empty;
		size_count = 1;
	}
	if (!omendb_choose_layout(meta, storage, sizes, size_count))
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("column with %u dimensions does not fit an omen_hnsw index page",
					   meta->input_dim),
				errdetail("A node with m = %u and this storage is larger than a page.", meta->m),
				errhint("Use a smaller m, storage = int8, or fewer dimensions."));
}

/* What does not depend on rows. */
static void
init_meta(OmendbBuild *build)
{
	OmendbMetaPage *meta = &build->meta;
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(build->index), 0);
	OmendbOptions options;
	const OmendbIndexedType *type = build->opclass->type;
	int dim = type->typmod_dim(attribute->atttypmod);

	omendb_get_options(build->index, &options);
	omendb_check_options(&options);
	/* Binary-coercible to bit, but of any length. */
	if (attribute->atttypid == VARBITOID)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("type not supported for omen_hnsw index"));
	if (dim < 1)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("column does not have dimensions"));
	if (dim > type->max_dim)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("column cannot have more than %d dimensions for omen_hnsw index",
					   type->max_dim));
	memset(meta, 0, sizeof(*meta));
	meta->magic = OMENDB_MAGIC;
	meta->format_version = OMENDB_FORMAT_VERSION;
	meta->metric = build->opclass->metric;
	meta->type_kind = type->kind;
	meta->slot_bits = OMENDB_SLOT_BITS;
	meta->m = (uint16) options.m;
	meta->ef_construction = (uint16) options.ef_construction;
	meta->input_dim = (uint32) dim;
	meta->seed = BUILD_SEED;
	meta->parameters_block = OMENDB_META_BLOCK + 1;
	meta->entry = meta->root = OMENDB_NO_ADDRESS;
	meta->pending_head = meta->pending_tail = OMENDB_NO_ADDRESS;
	choose_layout(build, options.storage, NULL, 0);
}

/* ---- rows ---- */

static void
load_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *opaque)
{
	OmendbBuild *build = (OmendbBuild *) opaque;
	MemoryContext old;
	const void *row;
	uint32 hash;

	if (isnull[0])
	{
		build->skipped++;
		return;
	}
	old = MemoryContextSwitchTo(build->row_context);
	row = omendb_read_value(build->opclass, values[0], (int) build->meta.input_dim, build->buffer,
							&hash);
	if (!omendb_builder_add(build->builder, row, hash, tid))
		build->skipped++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
	if (build->is_leader && omendb_build_rows(build->control) % 128 == 0)
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
									 (int64) omendb_build_rows(build->control));
}

/* ---- what the builder calls ---- */

static bool
build_meet(void *context)
{
	OmendbBuild *build = (OmendbBuild *) context;

	CHECK_FOR_INTERRUPTS();
	if (build->barrier == NULL)
		return true;
	return BarrierArriveAndWait(build->barrier, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
}

static void
build_poll(void *context)
{
	CHECK_FOR_INTERRUPTS();
}

/* Each phase counts the tuples again: a part of its pieces is that part of the tuples. */
static void
build_progress(void *context, uint32 step, uint32 first, uint32 limit)
{
	OmendbBuild *build = (OmendbBuild *) context;
	int phase = omendb_build_step_writes(step)     ? OMENDB_PHASE_WRITE
				: omendb_build_step_compares(step) ? OMENDB_PHASE_COMPARE
												   : OMENDB_PHASE_LINK;

	if (!build->is_leader)
		return;
	if (phase != build->phase)
	{
		set_phase(phase);
		build->phase = phase;
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL,
									 (int64) omendb_build_rows(build->control));
	}
	pgstat_progress_update_param(
		PROGRESS_CREATEIDX_TUPLES_DONE,
		(int64) ((double) omendb_build_rows(build->control) * first / limit));
}

static void
build_extend(void *context, uint32 region, uint32 segments, Size segment_bytes)
{
	omendb_area_extend(((OmendbBuild *) context)->area, region, segments, segment_bytes);
}

static uint8 *const *
build_map(void *context, uint32 region, uint32 *count)
{
	return omendb_area_map(((OmendbBuild *) context)->area, region, count);
}

/*
 * Extend the relation by pages of zeros, so that participants may write in any
 * order and a full disk is noticed here.
 */
static void
build_begin_pages(void *context, BlockNumber blocks)
{
	OmendbBuild *build = (OmendbBuild *) context;
	PGAlignedBlock zeros;

	memset(zeros.data, 0, BLCKSZ);
	for (BlockNumber block = RelationGetNumberOfBlocks(build->index); block < blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		smgrextend(RelationGetSmgr(build->index), MAIN_FORKNUM, block, zeros.data, false);
	}
}

/* A page that exists: header, special space, then `used` bytes of content. */
static void
put_page(Relation index, ForkNumber fork, BlockNumber block, uint16 kind, uint16 slots,
		 const char *content, Size used)
{
	Buffer buffer = ReadBufferExtended(index, fork, block, RBM_ZERO_AND_LOCK, NULL);
	Page page = BufferGetPage(buffer);

	omendb_init_page(page, kind, slots, used);
	memcpy(page + OMENDB_PAGE_HEADER, content, used);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

static void
build_write_page(void *context, BlockNumber block, uint16 kind, uint16 slots, const char *content,
				 Size bytes)
{
	put_page(((OmendbBuild *) context)->index, MAIN_FORKNUM, block, kind, slots, content, bytes);
}

static void
build_written(void *context, BlockNumber first, uint32 count)
{
	Relation index = ((OmendbBuild *) context)->index;

	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, first, first + count, true);
}

void
omendb_build_load(OmendbBuild *build, TableScanDesc scan)
{
	static const OmendbBuildCalls calls = {
		NULL,      build_meet,        build_poll,       build_progress, build_extend,
		build_map, build_begin_pages, build_write_page, build_written};
	OmendbBuildCalls own = calls;

	own.context = build;
	build->builder = omendb_builder_create(&build->meta, build->mean, build->control, &own);
	build->heap_tuples += table_index_build_scan(build->heap, build->index, build->info, true,
												 build->is_leader, load_row, build, scan);
}

void
omendb_build_finish(OmendbBuild *build)
{
	omendb_builder_finish(build->builder);
}

/* The whole build in this process. */
static void
build_serial(OmendbBuild *build)
{
	OmendbAreaShared *shared = (OmendbAreaShared *) palloc(sizeof(OmendbAreaShared));

	build->control = (OmendbBuildControl *) palloc0(omendb_build_control_size());
	omendb_build_control_init(build->control, &build->meta, build->tuples_expected);
	omendb_area_init_shared(shared, omendb_build_memory_limit(),
							omendb_build_bytes_expected(build));
	build->area = omendb_area_create(shared, true);
	omendb_build_load(build, NULL);
	omendb_build_finish(build);
}

/* ---- pages to the relation ---- */

/* The meta page and the mean, in front of the graph. */
static void
write_first_pages(OmendbBuild *build, ForkNumber fork)
{
	OmendbMetaPage *meta = &build->meta;
	BlockNumber first = meta->parameters_block + meta->parameter_blocks;

	meta->mean_checksum = meta->sampled > 0 ? omendb_mean_checksum(meta, build->mean) : 0;
	meta->checksum = omendb_meta_checksum(meta);
	put_page(build->index, fork, OMENDB_META_BLOCK, OMENDB_PAGE_META, 0, (const char *) meta,
			 sizeof(OmendbMetaPage));
	for (uint32 i = 0; i < meta->parameter_blocks; i++)
	{
		uint32 done = i * OMENDB_MEAN_PER_PAGE;
		uint32 n = Min(meta->input_dim - done, OMENDB_MEAN_PER_PAGE);

		put_page(build->index, fork, meta->parameters_block + i, OMENDB_PAGE_PARAMETERS, 0,
				 (const char *) (build->mean + done), n * sizeof(float));
	}
	if (RelationNeedsWAL(build->index) || fork == INIT_FORKNUM)
		log_newpage_range(build->index, fork, 0, first, true);
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
	if (!omendb_opclass_is_plain(build->opclass))
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
	/* Room in records for values of these sizes. */
	if (build->meta.type_kind == OMENDB_TYPE_SPARSE)
		choose_layout(build, OMENDB_STORAGE_AUTO, sample.sizes, sample.size_count);
	build->meta.sampled = sample.rows;
	build->meta.radius = sample.radius;
	build->meta.parameter_blocks =
		sample.rows == 0 || build->mean == NULL
			? 0
			: (build->meta.input_dim + OMENDB_MEAN_PER_PAGE - 1) / OMENDB_MEAN_PER_PAGE;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) sample.tuples);
}

Size
omendb_build_memory_limit(void)
{
	return (Size) maintenance_work_mem * 1024;
}

Size
omendb_build_bytes_expected(const OmendbBuild *build)
{
	double rows = Max(build->tuples_expected, (double) 0) * 1.1 + 4096;

	return (Size) Min(rows * (double) omendb_build_row_bytes(&build->meta),
					  (double) (SIZE_MAX / 4));
}

static OmendbParallelBuild *
build_graph(OmendbBuild *build)
{
	int workers = omendb_plan_build_workers(build);
	OmendbParallelBuild *parallel = NULL;

	set_phase(OMENDB_PHASE_LOAD);
	if (workers > 0)
		parallel = omendb_parallel_build(build, workers);
	if (parallel == NULL)
		build_serial(build);
	return parallel;
}

IndexBuildResult *
omendb_ambuild(Relation heap, Relation index, IndexInfo *info)
{
	IndexBuildResult *result;
	OmendbParallelBuild *parallel;
	OmendbBuild build;
	MemoryContext caller;
	MemoryContext context;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw build", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	init_build(&build, heap, index, info);
	take_sample(&build);
	parallel = build_graph(&build);
	omendb_build_result(build.control, &build.meta);
	build.meta.skipped_rows = build.skipped;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) build.meta.built_tids);
	build_begin_pages(&build, build.meta.parameters_block + build.meta.parameter_blocks);
	write_first_pages(&build, MAIN_FORKNUM);
	if (parallel != NULL)
		omendb_parallel_build_end(parallel);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);

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
	PGAlignedBlock zeros;

	init_build(&build, NULL, index, NULL);
	build.meta.radius = 1.0f;
	memset(zeros.data, 0, BLCKSZ);
	smgrextend(RelationGetSmgr(index), INIT_FORKNUM, OMENDB_META_BLOCK, zeros.data, false);
	write_first_pages(&build, INIT_FORKNUM);
}
