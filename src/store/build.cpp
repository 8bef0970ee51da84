/*
 * build.cpp - the C face of BuildStore and Inserter.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "utils/memutils.h"

#include "store/build.h"
}

#include "store/build_store.hpp"
#include "store/context_memory.hpp"
#include "store/shape.hpp"

using namespace omendb;

struct OmendbBuildControl
{
	store::BuildControl control;
};

struct OmendbBuilder
{
	OmendbBuildArea area;
	store::BuildHooks hooks;
	store::BuildStore store;
	graph::Shape shape;
	quant::Space space;
	Memory memory;
	graph::InsertMemory insert_memory;
	graph::Inserter<store::BuildStore> inserter;
	uint64_t seed;
	float *transformed;
};

static_assert(std::is_trivially_destructible_v<OmendbBuilder>);
static_assert(OMENDB_CHUNK_SIZE == store::kChunkBytes);

namespace
{

void
hook_map(void *context, uint32_t wanted)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;
	uint32_t count = 0;
	uint8_t *const *chunks = builder->area.map(builder->area.context, wanted, &count);

	builder->store.set_chunks(chunks, count);
}

bool
hook_grow(void *context)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	return builder->area.grow(builder->area.context);
}

void
hook_lock_entry(void *context)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	builder->area.lock_entry(builder->area.context);
}

void
hook_unlock_entry(void *context)
{
	OmendbBuilder *builder = (OmendbBuilder *) context;

	builder->area.unlock_entry(builder->area.context);
}

} // namespace

Size
omendb_build_control_size(void)
{
	return sizeof(OmendbBuildControl);
}

void
omendb_build_control_init(OmendbBuildControl *control)
{
	store::init_control(&control->control);
}

uint32
omendb_build_chunks(OmendbBuildControl *control)
{
	return control->control.chunks.load();
}

void
omendb_build_set_chunks(OmendbBuildControl *control, uint32 chunks)
{
	control->control.chunks.store(chunks);
}

uint32
omendb_build_pages(OmendbBuildControl *control)
{
	return control->control.next_page.load();
}

uint64
omendb_build_tids(OmendbBuildControl *control)
{
	return control->control.tids.load(std::memory_order_relaxed);
}

void
omendb_build_result(OmendbBuildControl *control, OmendbMetaPage *meta)
{
	uint64_t entry = control->control.entry.load();

	meta->entry = (uint32_t) entry;
	meta->entry_level = (uint32_t) (entry >> 32);
	meta->root = control->control.root.load();
	meta->built_nodes = control->control.nodes.load();
	meta->built_tids = control->control.tids.load();
}

OmendbBuilder *
omendb_builder_create(const OmendbMetaPage *meta, const float *mean, OmendbBuildControl *control,
					  const OmendbBuildArea *area)
{
	OmendbBuilder *builder = (OmendbBuilder *) palloc0(sizeof(OmendbBuilder));
	uint8_t *signs = (uint8_t *) palloc(meta->dim / 2);

	quant::make_signs(meta->seed, meta->dim, signs);
	builder->area = *area;
	builder->shape = store::shape_of(*meta);
	builder->space = store::space_of(*meta, mean, signs);
	builder->seed = meta->seed;
	builder->hooks =
		store::BuildHooks{builder, hook_map, hook_grow, hook_lock_entry, hook_unlock_entry};
	builder->store.init(&builder->space, &builder->shape, &control->control, &builder->hooks,
						meta->parameters_block + meta->parameter_blocks);
	builder->memory = store::memory_in(CurrentMemoryContext);
	builder->insert_memory.init(&builder->memory);
	(void) builder->insert_memory.allocate(builder->space, &builder->memory);
	builder->inserter.init(&builder->store, &builder->insert_memory, meta->ef_construction);
	builder->transformed = (float *) palloc(meta->dim * sizeof(float));
	return builder;
}

OmendbInsertResult
omendb_builder_insert(OmendbBuilder *builder, const float *elements, uint32 hash, ItemPointer tid)
{
	graph::Row row;
	float excess;

	if (!quant::transform_row(builder->space, elements, builder->transformed, &excess))
		return OMENDB_NOT_INDEXED;
	memcpy(&row.tid, tid, sizeof(row.tid));
	row.hash = hash;
	row.residual = 0;
	uint32_t level = graph::level_for(builder->seed, row.tid);
	if (!builder->store.reserve(level + 1))
		return OMENDB_AREA_FULL;
	/* Memory is palloc'd: it raises an error instead of failing. */
	(void) builder->inserter.insert(builder->transformed, excess, row, level);
	return OMENDB_INSERTED;
}

const char *
omendb_builder_page(OmendbBuilder *builder, uint32 index)
{
	hook_map(builder, index / store::kChunkPages + 1);
	return (const char *) builder->store.page(index);
}
