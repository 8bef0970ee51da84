/*
 * shape.cpp - between the meta page's fields and the core's Shape and Space.
 */
#include "pg/postgres.hpp"

#include "quant/value.hpp"
#include "store/shape.hpp"

extern "C"
{
#include "store/index.h"
}

namespace omendb::store
{

graph::Shape
shape_of(const OmendbMetaPage &meta)
{
	graph::Shape shape = {};

	shape.dim = meta.dim;
	shape.code_dim = meta.code_dim;
	shape.code_bits = meta.code_bits;
	shape.storage = (quant::Storage) meta.storage;
	shape.blocks = meta.blocks;
	shape.max_links = meta.max_links;
	shape.value_room = meta.value_room;
	shape.chunk_bytes = meta.chunk_bytes;
	shape.chunks = meta.chunks;
	shape.masks_at = meta.masks_at;
	shape.vector_at = meta.vector_at;
	shape.neighbours_at = meta.neighbours_at;
	shape.blocks_at = meta.blocks_at;
	shape.block_bytes = meta.block_bytes;
	shape.slot_bytes = meta.slot_bytes;
	shape.slots = meta.slots;
	return shape;
}

quant::Space
space_of(const OmendbMetaPage &meta, const float *mean, const uint8_t *signs)
{
	quant::Space space = {};

	space.metric = (quant::Metric) meta.metric;
	space.storage = (quant::Storage) meta.storage;
	space.type = (quant::Type) meta.type_kind;
	space.input_dim = meta.input_dim;
	space.dim = meta.dim;
	space.code_dim = meta.code_dim;
	space.code_bits = meta.code_bits;
	space.radius = meta.radius;
	space.query_length = meta.query_length;
	space.seed = meta.seed;
	space.mean = mean;
	space.signs = signs;
	space.kernels = omendb_kernels;
	return space;
}

namespace
{

void
set_shape(OmendbMetaPage *meta, const graph::Shape &shape)
{
	meta->dim = shape.dim;
	meta->code_dim = shape.code_dim;
	meta->code_bits = shape.code_bits;
	meta->storage = (uint8_t) shape.storage;
	meta->blocks = shape.blocks;
	meta->max_links = shape.max_links;
	meta->value_room = shape.value_room;
	meta->chunk_bytes = shape.chunk_bytes;
	meta->chunks = shape.chunks;
	meta->masks_at = shape.masks_at;
	meta->vector_at = shape.vector_at;
	meta->neighbours_at = shape.neighbours_at;
	meta->blocks_at = shape.blocks_at;
	meta->block_bytes = shape.block_bytes;
	meta->slot_bytes = shape.slot_bytes;
	meta->slots = shape.slots;
}

} // namespace

} // namespace omendb::store

bool
omendb_keeps_values(uint8 type_kind, uint8 metric)
{
	using namespace omendb::quant;
	return keeps_values((Type) type_kind, (Metric) metric);
}

bool
omendb_choose_layout(OmendbMetaPage *meta, int storage, const uint32 *sizes, uint32 size_count)
{
	using namespace omendb;
	quant::Metric metric = (quant::Metric) meta->metric;
	quant::Type type = (quant::Type) meta->type_kind;
	graph::ShapeRequest request = {};
	graph::Shape shape = {};

	request.dim = quant::padded_dim(metric, meta->input_dim);
	request.m = meta->m;
	request.storage_auto = storage == 0;
	request.storage = (quant::Storage) storage;
	request.page_bytes = OMENDB_PAGE_USABLE;
	if (quant::keeps_values(type, metric))
	{
		request.storage = quant::Storage::Value;
		request.dim = quant::value_capacity(type, meta->input_dim);
		request.sizes = sizes;
		request.size_count = size_count;
	}
	else if (request.dim > 16384)
		return false;
	if (!graph::choose_shape(request, &shape))
		return false;
	store::set_shape(meta, shape);
	return true;
}

namespace
{

/* Whether the index may be of this type and metric, and dim is what follows from them. */
bool
value_consistent(const OmendbMetaPage *meta)
{
	using namespace omendb::quant;
	Metric metric = (Metric) meta->metric;
	Type type = (Type) meta->type_kind;
	bool bits = metric == Metric::Hamming || metric == Metric::Jaccard;

	if (meta->metric < (uint8_t) Metric::L2 || meta->metric > (uint8_t) Metric::Jaccard ||
		meta->type_kind < (uint8_t) Type::Vector || meta->type_kind > (uint8_t) Type::Sparse ||
		bits != (type == Type::Bit) || meta->input_dim < 1)
		return false;
	if (keeps_values(type, metric))
		return meta->storage == (uint8_t) Storage::Value &&
			   (type != Type::Bit || meta->input_dim <= OMENDB_BIT_MAX_INDEXED_DIM) &&
			   (type == Type::Bit || type == Type::Sparse ||
				meta->input_dim <= OMENDB_VECTOR_MAX_DIM) &&
			   meta->dim == value_capacity(type, meta->input_dim);
	return meta->storage >= (uint8_t) Storage::Int8 && meta->storage <= (uint8_t) Storage::Full &&
		   meta->input_dim <= OMENDB_VECTOR_MAX_DIM &&
		   meta->dim == padded_dim(metric, meta->input_dim);
}

} // namespace

bool
omendb_layout_consistent(const OmendbMetaPage *meta)
{
	using namespace omendb;

	if (!value_consistent(meta))
		return false;

	graph::Shape stored = store::shape_of(*meta);
	graph::Shape computed = stored;
	return graph::complete_shape(&computed, OMENDB_PAGE_USABLE) &&
		   memcmp(&stored, &computed, sizeof(stored)) == 0;
}
