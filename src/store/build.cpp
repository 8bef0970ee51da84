/*
 * build.cpp - the C face of the bulk builder.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "utils/memutils.h"

#include "store/build.h"
#include "store/index.h"
}

#include "graph/bulk.hpp"
#include "store/context_memory.hpp"
#include "store/shape.hpp"

using namespace omendb;

struct OmendbBuildControl
{
	graph::BulkShared shared;
};

struct OmendbBuilder
{
	OmendbBuildCalls calls;
	graph::BulkHooks hooks;
	graph::Bulk bulk;
	graph::Shape shape;
	quant::Space space;
	Memory memory;
	uint32 first_block;
	float *transformed;
	float *asker; /* where rows ask, else NULL */
};

static_assert(std::is_trivially_destructible_v<OmendbBuilder>);
static_assert(OMENDB_BUILD_REGIONS == graph::kBulkRegions);
static_assert(graph::kPageContent == OMENDB_PAGE_SIZE - OMENDB_PAGE_HEADER);
static_assert(sizeof(graph::TidPart) == sizeof(OmendbTidPart));
static_assert(graph::kPartTids == OMENDB_PART_TIDS);
static_assert(graph::kPartsPerPage == OMENDB_PARTS_PER_PAGE);

namespace
{

bool
hook_meet(void *context)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	return builder->calls.meet(builder->calls.context);
}

void
hook_poll(void *context)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	builder->calls.poll(builder->calls.context);
}

void
hook_progress(void *context, uint32_t step, uint32_t first, uint32_t limit)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	builder->calls.progress(builder->calls.context, step, first, limit);
}

void
hook_extend(void *context, uint32_t region, uint32_t segments, size_t segment_bytes)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	builder->calls.extend(builder->calls.context, region, segments, segment_bytes);
}

uint8_t *const *
hook_map(void *context, uint32_t region, uint32_t *count)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	return builder->calls.map(builder->calls.context, region, count);
}

void
hook_begin_pages(void *context, uint32_t pages)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	builder->calls.begin_pages(builder->calls.context, builder->first_block + pages);
}

void
hook_write_page(void *context, uint32_t page, graph::BulkPage what, const uint8_t *content,
				size_t bytes)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;
	uint16 kind = OMENDB_PAGE_GRAPH;
	uint32 slots = builder->shape.slots;

	if (what == graph::BulkPage::Parts)
	{
		kind = OMENDB_PAGE_OVERFLOW;
		slots = OMENDB_PARTS_PER_PAGE;
	}
	else if (what == graph::BulkPage::Values)
	{
		kind = OMENDB_PAGE_VALUES;
		slots = builder->shape.chunks;
	}
	builder->calls.write_page(builder->calls.context, builder->first_block + page, kind,
							  (uint16) slots, (const char *) content, bytes);
}

void
hook_written(void *context, uint32_t first, uint32_t count)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	builder->calls.written(builder->calls.context, builder->first_block + first, count);
}

} // namespace

Size
omendb_build_control_size(void)
{
	return sizeof(OmendbBuildControl);
}

void
omendb_build_control_init(OmendbBuildControl *control, const OmendbMetaPage *meta,
						  double expected_rows)
{
	graph::init_bulk(&control->shared, store::space_of(*meta, nullptr, nullptr),
					 store::shape_of(*meta), meta->ef_construction,
					 expected_rows > 1 ? (uint64) expected_rows : 1);
}

Size
omendb_build_row_bytes(const OmendbMetaPage *meta)
{
	return graph::bulk_bytes_per_row(store::space_of(*meta, nullptr, nullptr),
									 store::shape_of(*meta), meta->ef_construction);
}

bool
omendb_build_step_compares(uint32 step)
{
	return step <= graph::kStepLeaves;
}

bool
omendb_build_step_writes(uint32 step)
{
	return step >= graph::kStepWrite;
}

uint64
omendb_build_rows(OmendbBuildControl *control)
{
	return control->shared.rows.load(std::memory_order_relaxed);
}

void
omendb_build_result(OmendbBuildControl *control, OmendbMetaPage *meta)
{
	const graph::BulkShared &shared = control->shared;

	meta->entry = shared.entry.address;
	meta->entry_level = shared.entry.level;
	meta->root = shared.root;
	meta->built_nodes = shared.nodes.load();
	meta->built_tids = shared.rows.load();
	meta->query_length =
		quant::query_length_for(store::space_of(*meta, nullptr, nullptr),
								std::sqrt(graph::bits_float(control->shared.longest.load())));
}

OmendbBuilder *
omendb_builder_create(const OmendbMetaPage *meta, const float *mean, OmendbBuildControl *control,
					  const OmendbBuildCalls *calls)
{
	OmendbBuilder *builder = (OmendbBuilder *) palloc0(sizeof(OmendbBuilder));
	bool plain = omendb_keeps_values(meta->type_kind, meta->metric);
	uint8_t *signs = plain ? nullptr : (uint8_t *) palloc(meta->dim / 2);

	if (!plain)
		quant::make_signs(meta->seed, meta->dim, signs);
	builder->calls = *calls;
	builder->first_block = meta->parameters_block + meta->parameter_blocks;
	builder->shape = store::shape_of(*meta);
	builder->space = store::space_of(*meta, mean, signs);
	builder->hooks =
		graph::BulkHooks{builder,  hook_meet,        hook_poll,       hook_progress, hook_extend,
						 hook_map, hook_begin_pages, hook_write_page, hook_written};
	builder->memory = store::memory_in(CurrentMemoryContext);
	builder->transformed = (float *) palloc(
		sizeof(float) *
		(plain ? quant::sketch_dim(builder->space.type, builder->space.metric, meta->input_dim)
			   : meta->dim));
	if (graph::most_answers(builder->space, builder->shape.max_links) > 0)
		builder->asker = (float *) palloc(sizeof(float) * meta->dim);
	/* Memory is palloc'd: it raises an error instead of failing, here and below. */
	(void) builder->bulk.init(&builder->space, &builder->shape, &control->shared, &builder->hooks,
							  &builder->memory, meta->ef_construction, builder->first_block);
	return builder;
}

bool
omendb_builder_add(OmendbBuilder *builder, const void *row, uint32 hash, ItemPointer tid)
{
	const uint8_t *value = (const uint8_t *) row;
	graph::Row in;
	float excess;

	memcpy(&in.tid, tid, sizeof(in.tid));
	in.hash = hash;
	in.residual = 0;
	if (quant::is_plain(builder->space))
	{
		if (!quant::value_has_place(builder->space, value))
			return false;
		quant::sketch(builder->space, value, builder->transformed);
		builder->bulk.add_value(value, builder->transformed, in);
		return true;
	}
	if (!quant::transform_row(builder->space, (const float *) row, builder->transformed, &excess))
		return false;
	if (builder->asker != nullptr)
		quant::transform_query(builder->space, (const float *) row, builder->asker);
	builder->bulk.add_row(builder->transformed, excess, builder->asker, in);
	return true;
}

void
omendb_builder_finish(OmendbBuilder *builder)
{
	(void) builder->bulk.finish();
}
