/*
 * bulk.cpp - the course of a bulk build: rows, equal rows, levels.
 */
#include "graph/bulk.hpp"

#include "base/random.hpp"

#include "base/no_postgres.hpp"

namespace omendb::graph
{

namespace
{

/* Places of the row store that a participant takes at a time. */
constexpr uint32_t kExtent = 64;

/* A segment is some 64 MB (the kernel takes 30 ms for that) unless a region needs too many. */
constexpr uint64_t kSegmentBytes = 64u << 20;
constexpr uint64_t kLeastSegmentBytes = 1u << 20;
constexpr uint64_t kManySegments = 128;

uint32_t
align_up(uint32_t n, uint32_t to)
{
	return (n + to - 1) / to * to;
}

/* Values of one length lie in their rows; of others those that fit a record. */
uint32_t
bytes_in_row(const quant::Space &space, const Shape &shape)
{
	return space.type == quant::Type::Sparse ? shape.value_room
											 : quant::stored_bytes(space.storage, space.dim);
}

uint32_t
leaf_dim(const quant::Space &space)
{
	return quant::is_plain(space) ? quant::sketch_dim(space.type, space.metric, space.input_dim)
								  : space.dim;
}

uint32_t
row_bytes(const quant::Space &space, const Shape &shape)
{
	uint32_t bytes = (uint32_t) sizeof(BulkRow) + bytes_in_row(space, shape);

	if (space.storage != quant::Storage::Int8)
		bytes += leaf_dim(space);
	if (most_answers(space, shape.max_links) > 0)
		bytes += leaf_dim(space) + (uint32_t) sizeof(LeafMeta);
	return align_up(bytes, 16);
}

/* Values that are longer than a row's room take pieces of this size, so many at a time. */
constexpr uint32_t kValuePiece = 64;
constexpr uint32_t kValueExtent = 1024;
constexpr uint32_t kValueExtentShift = 10;

/* Candidates a point keeps until it selects its links. */
uint32_t
candidates_kept(const Shape &shape, uint32_t ef_construction)
{
	return ef_construction > shape.max_links ? ef_construction : shape.max_links;
}

/* Nearest others that a point takes from each of its leaves. */
uint32_t
nearest_of_leaf(const Shape &shape, uint32_t ef_construction)
{
	uint32_t kept = candidates_kept(shape, ef_construction);
	return kept / 4 < 8 ? 8 : kept / 4;
}

/* Keys of a point: its candidates, then what one leaf brings, or what is offered to it. */
uint32_t
room_for(const Shape &shape, uint32_t ef_construction)
{
	uint32_t more = nearest_of_leaf(shape, ef_construction);

	if (more < shape.max_links)
		more = shape.max_links;
	return candidates_kept(shape, ef_construction) + more;
}

uint32_t
point_bytes(const quant::Space &space, const Shape &shape, uint32_t ef_construction)
{
	uint32_t answers = most_answers(space, shape.max_links);
	uint32_t leaders = answers > 0 ? 2 * kMaxFanout : kMaxFanout;
	uint32_t head = (uint32_t) sizeof(BulkPoint) + 8 * shape.blocks + 2 * leaders;

	return align_up(head, 8) +
		   8 * (room_for(shape, ef_construction) + kOtherKeys + (1 + kCompanions) * answers);
}

/* Segments of about 64 MB, fewer bytes when little is expected, more when very much is. */
uint32_t
shift_for(uint32_t stride, uint64_t elements)
{
	uint64_t bytes = elements * stride;
	uint64_t segment = bytes / kManySegments > kSegmentBytes ? bytes / kManySegments
					   : bytes < kSegmentBytes               ? bytes
															 : kSegmentBytes;
	uint32_t shift = 0;

	if (segment < kLeastSegmentBytes)
		segment = kLeastSegmentBytes;
	while (shift < 30 && ((uint64_t) stride << (shift + 1)) <= segment)
		shift++;
	return shift;
}

uint64_t
hash_bytes(const uint8_t *p, size_t n)
{
	uint64_t h = n;

	for (size_t i = 0; i + 8 <= n; i += 8)
	{
		uint64_t word;
		memcpy(&word, p + i, 8);
		h = (h ^ word) * 0x9E3779B97F4A7C15u;
		h ^= h >> 29;
	}
	return mix64(h);
}

/* Largest of two floats that are not negative, by their bits. */
void
raise_residual(uint32_t *residual, uint32_t bits)
{
	uint32_t old = __atomic_load_n(residual, __ATOMIC_RELAXED);

	while (old < bits && !__atomic_compare_exchange_n(residual, &old, bits, true, __ATOMIC_RELAXED,
													  __ATOMIC_RELAXED))
		;
}

} // namespace

size_t
bulk_bytes_per_row(const quant::Space &space, const Shape &shape, uint32_t ef_construction)
{
	uint32_t above = wide_shape(shape).slot_bytes / (OMENDB_LEVEL_FANOUT - 1) + 1;

	uint32_t asked = most_answers(space, shape.max_links) > 0 ? kAsked : 0;

	/* The hash table has two to four places a row; a row is in some eight members, and asks. */
	return row_bytes(space, shape) + point_bytes(space, shape, ef_construction) + above + 3 * 4 +
		   (8 + asked) * 4 + 4;
}

void
init_bulk(BulkShared *shared, const quant::Space &space, const Shape &shape,
		  uint32_t ef_construction, uint64_t expected_rows)
{
	uint64_t rows = expected_rows > 0 ? expected_rows : 1;

	uint32_t above_bytes = wide_shape(shape).slot_bytes;

	shared->regions[kBulkRows] = {row_bytes(space, shape), 0};
	shared->regions[kBulkEqual] = {4, 0};
	shared->regions[kBulkPoints] = {point_bytes(space, shape, ef_construction), 0};
	shared->regions[kBulkMembers] = {4, 0};
	shared->regions[kBulkOrder] = {4, 0};
	shared->regions[kBulkAbove] = {above_bytes, 0};
	shared->regions[kBulkParts] = {(uint32_t) sizeof(TidPart), 0};
	shared->regions[kBulkValues] = {kValuePiece, 0};
	for (BulkRegionShape &region : shared->regions)
		region.shift = shift_for(region.stride, rows);
	shared->regions[kBulkAbove].shift = shift_for(above_bytes, rows / OMENDB_LEVEL_FANOUT);
	/* An extent never crosses segments. */
	if (shared->regions[kBulkRows].shift < 6)
		shared->regions[kBulkRows].shift = 6;
	if (shared->regions[kBulkValues].shift < kValueExtentShift)
		shared->regions[kBulkValues].shift = kValueExtentShift;
	shared->entry = {kNoAddress, 0};
	shared->root = kNoAddress;
}

bool
Bulk::init(const quant::Space *space, const Shape *shape, BulkShared *shared,
		   const BulkHooks *hooks, const Memory *memory, uint32_t ef_construction,
		   uint32_t first_block)
{
	space_ = space;
	shape_ = shape;
	shared_ = shared;
	hooks_ = hooks;
	first_block_ = first_block;
	candidates_ = candidates_kept(*shape, ef_construction);
	room_ = room_for(*shape, ef_construction);
	leaf_nearest_ = nearest_of_leaf(*shape, ef_construction);
	leaf_space_ = *space;
	leaf_space_.storage = quant::Storage::Int8;
	leaf_space_.dim = leaf_dim(*space);
	leaf_at_ = space->storage == quant::Storage::Int8 ? 0 : bytes_in_row(*space, *shape);
	asker_at_ = leaf_at_ + leaf_space_.dim;
	answers_ = most_answers(*space, shape->max_links);
	wide_ = wide_shape(*shape);
	row_ = row_end_ = 0;
	value_ = value_end_ = 0;
	home_ = kMaxLeaders;
	for (uint32_t i = 0; i < kBulkRegions; i++)
		views_[i] = {nullptr, 0, shared->regions[i].shift, shared->regions[i].stride};
	s_.stack.init(memory);
	s_.near.init(memory);
	s_.tile.init(memory);
	s_.rows.init(memory);
	s_.scale.init(memory);
	s_.dot.init(memory);
	s_.products.init(memory);
	s_.distances.init(memory);
	s_.indexes.init(memory);
	s_.keys.init(memory);
	s_.options.init(memory);
	s_.own.init(memory);
	memory_ = memory;
	above_memory_.init(memory);
	/* All that one selection may choose from. */
	size_t keys = room_ + kOtherKeys + (1 + kCompanions) * answers_;
	return s_.own.reserve(space->dim) && s_.options.reserve(keys) && s_.keys.reserve(keys);
}

/* Look up the region's segments again. */
void
Bulk::see(uint32_t region)
{
	views_[region].segments = hooks_->map(hooks_->context, region, &views_[region].known);
}

/* Have room for so many elements; other participants must see() it. */
void
Bulk::need(uint32_t region, uint64_t elements)
{
	const BulkRegionShape &r = shared_->regions[region];
	uint64_t segments = (elements + ((uint64_t) 1 << r.shift) - 1) >> r.shift;

	if (segments > views_[region].known)
		hooks_->extend(hooks_->context, region, (uint32_t) segments, (size_t) r.stride << r.shift);
	see(region);
}

/* The next place of this participant. */
BulkRow *
Bulk::new_row(const Row &in)
{
	if (row_ == row_end_)
	{
		row_ = shared_->next_row.fetch_add(kExtent);
		row_end_ = row_ + kExtent;
		if (row_ >> views_[kBulkRows].shift >= views_[kBulkRows].known)
			need(kBulkRows, row_end_);
		for (uint32_t i = row_; i < row_end_; i++)
			row_at(i)->used = 0;
	}
	BulkRow *row = row_at(row_++);
	memset(row, 0, sizeof(*row));
	row->hash = in.hash;
	row->tid = in.tid;
	row->equal = kNoRow;
	row->value = kNoRow;
	row->above = kNoAddress;
	row->used = 1;
	shared_->rows.fetch_add(1, std::memory_order_relaxed);
	return row;
}

void
Bulk::add_row(const float *transformed, float excess, const float *asker, const Row &in)
{
	BulkRow *row = new_row(in);
	quant::StoredMeta meta;

	quant::store_vector(*space_, transformed, excess, (uint8_t *) (row + 1), &meta);
	row->scale = meta.scale;
	row->self_dot = meta.self_dot;
	row->residual = float_bits(meta.residual);
	if (space_->storage != quant::Storage::Int8)
		quant::store_vector(leaf_space_, transformed, excess, (uint8_t *) leaf_of(row), &meta);
	row->leaf_scale = meta.scale;
	row->leaf_dot = meta.self_dot;
	if (answers_ == 0)
		return;
	quant::store_vector(leaf_space_, asker, 0, (uint8_t *) asker_of(row), &meta);
	/* Longer than any row: else those that are longer than the radius would count as farther. */
	constexpr float kLonger = 16;
	*(LeafMeta *) asker_meta_of(row) = {kLonger * meta.scale, kLonger * kLonger * meta.self_dot};
	uint32_t length = float_bits(row->self_dot), longest = shared_->longest.load();
	while (longest < length && !shared_->longest.compare_exchange_weak(longest, length))
		;
}

/* Where a value of so many bytes goes: behind its row, or among those that do not fit there. */
uint8_t *
Bulk::room_for_value(BulkRow *row, uint32_t bytes)
{
	uint32_t pieces = (bytes + kValuePiece - 1) / kValuePiece;

	if (bytes <= bytes_in_row(*space_, *shape_))
	{
		memset(row + 1, 0, bytes_in_row(*space_, *shape_));
		return (uint8_t *) (row + 1);
	}
	if (value_end_ - value_ < pieces)
	{
		value_ = shared_->next_value.fetch_add(kValueExtent);
		value_end_ = value_ + kValueExtent;
		if (value_ >> views_[kBulkValues].shift >= views_[kBulkValues].known)
			need(kBulkValues, value_end_);
	}
	row->value = value_;
	value_ += pieces;
	return views_[kBulkValues].at(row->value);
}

void
Bulk::add_value(const uint8_t *value, const float *sketch, const Row &in)
{
	BulkRow *row = new_row(in);
	uint32_t bytes = quant::stored_size(*space_, value);
	quant::StoredMeta meta;

	memcpy(room_for_value(row, bytes), value, bytes);
	quant::store_vector(leaf_space_, sketch, 0, (uint8_t *) leaf_of(row), &meta);
	row->leaf_scale = meta.scale;
	row->leaf_dot = meta.self_dot;
}

/* Bytes of a row's stored vector or value. */
uint32_t
Bulk::size_of(const BulkRow *row) const
{
	return quant::stored_size(*space_, stored_of(row));
}

/* ---- rows with equal stored bytes ---- */

/* `index` joins the node of `first`. */
void
Bulk::add_equal(BulkRow *first, uint32_t index)
{
	BulkRow *row = row_at(index);
	uint32_t next = __atomic_load_n(&first->equal, __ATOMIC_RELAXED);

	do
		row->equal = next;
	while (!__atomic_compare_exchange_n(&first->equal, &next, index, true, __ATOMIC_RELEASE,
										__ATOMIC_RELAXED));
	__atomic_fetch_add(&first->equals, 1, __ATOMIC_RELAXED);
	raise_residual(&first->residual, __atomic_load_n(&row->residual, __ATOMIC_RELAXED));
	if (row->hash != first->hash)
		__atomic_store_n(&first->unequal, 1, __ATOMIC_RELAXED);
	row->used = 2; /* found through its node's first row */
}

void
Bulk::join_or_enter(uint32_t index)
{
	uint32_t places = (uint32_t) (views_[kBulkEqual].known << views_[kBulkEqual].shift);
	const BulkRow *row = row_at(index);
	size_t bytes = size_of(row);
	uint32_t at = (uint32_t) hash_bytes(stored_of(row), bytes) & (places - 1);

	while (true)
	{
		uint32_t *place = (uint32_t *) (void *) views_[kBulkEqual].at(at);
		uint32_t other = __atomic_load_n(place, __ATOMIC_ACQUIRE);
		if (other == 0 && __atomic_compare_exchange_n(place, &other, index + 1, false,
													  __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		{
			shared_->nodes.fetch_add(1, std::memory_order_relaxed);
			return;
		}
		BulkRow *first = row_at(other - 1);
		if (first->scale == row->scale && size_of(first) == bytes &&
			memcmp(stored_of(first), stored_of(row), bytes) == 0)
		{
			add_equal(first, index);
			return;
		}
		at = (at + 1) & (places - 1);
	}
}

void
Bulk::find_equal_rows()
{
	uint32_t limit = shared_->next_row.load();
	uint32_t first, end;

	while (take(kStepEqual, 256, limit, &first, &end))
	{
		for (uint32_t i = first; i < end; i++)
		{
			if (row_at(i)->used != 0)
				join_or_enter(i);
		}
	}
}

/* ---- levels ---- */

/*
 * One participant: which rows are points, in the order of the store; where the pages
 * will be; the leaders. The points themselves are begun where they are first used,
 * by all: the kernel takes as long to hand out their memory.
 */
void
Bulk::start_points()
{
	uint32_t limit = shared_->next_row.load();
	uint32_t points = 0, parts = 0;

	need(kBulkPoints, shared_->nodes.load());
	need(kBulkOrder, shared_->nodes.load());
	for (uint32_t i = 0; i < limit; i++)
	{
		const BulkRow *row = row_at(i);
		if (i % 1024 == 0)
			hooks_->poll(hooks_->context);
		if (row->used != 1)
			continue;
		*(uint32_t *) (void *) views_[kBulkOrder].at(points++) = i;
		if (row->equals >= kInlineTids)
			parts += (row->equals + 1 - kInlineTids + kPartTids - 1) / kPartTids;
	}
	shared_->points = points;
	if (points == 0)
		return;
	need(kBulkParts, parts);
	shared_->first_page = (parts + kPartsPerPage - 1) / kPartsPerPage;
	shared_->above_page = shared_->first_page + (points + shape_->slots - 1) / shape_->slots;
	choose_leaders();
}

/* Once a point: until the leaves decide it, the order is that of the store. */
void
Bulk::start_point(uint32_t index)
{
	BulkPoint *point = point_at(index);

	memset(point, 0, sizeof(*point) + 8 * shape_->blocks);
	point->row = ordered(index);
	point->rank = kNoRow;
	point->bound = float_bits(std::numeric_limits<float>::infinity());
}

/* Meet the others; false when somebody ran out of memory. */
bool
Bulk::meet()
{
	(void) hooks_->meet(hooks_->context);
	return !shared_->failed.load();
}

/* Final lists of all points. */
bool
Bulk::link_points()
{
	uint32_t first, end;

	if (!assign_points())
		shared_->failed.store(true);
	if (hooks_->meet(hooks_->context))
		start_places();
	if (!meet())
		return false;
	see(kBulkMembers);
	place_points();
	(void) meet();
	if (!cut_leaders())
		shared_->failed.store(true);
	if (!meet())
		return false;
	while (answers_ > 0 && take(kStepShare, 256, shared_->points, &first, &end))
	{
		for (uint32_t i = first; i < end; i++)
			share_answers(point_at(ordered(i)));
	}
	if (answers_ > 0)
		(void) meet();
	while (take(kStepChoose, 64, shared_->points, &first, &end))
	{
		for (uint32_t i = first; i < end; i++)
			choose_links(point_at(ordered(i)));
	}
	(void) meet();
	while (take(kStepReverse, 256, shared_->points, &first, &end))
	{
		for (uint32_t i = first; i < end; i++)
			offer_reverse(ordered(i));
	}
	(void) meet();
	while (take(kStepSettle, 64, shared_->points, &first, &end))
	{
		for (uint32_t i = first; i < end; i++)
			settle_links(point_at(ordered(i)));
	}
	if (hooks_->meet(hooks_->context))
	{
		if (!start_above() || !grow_tree())
			shared_->failed.store(true);
		finish_above();
		hooks_->begin_pages(hooks_->context, shared_->pages);
	}
	return meet();
}

/* One participant: the table of rows by their bytes, empty. */
void
Bulk::start_equal_rows()
{
	uint64_t places = 1;

	while (places < 2 * (shared_->rows.load() + 1))
		places *= 2;
	need(kBulkEqual, places);
	for (uint32_t i = 0; i < views_[kBulkEqual].known; i++)
	{
		hooks_->poll(hooks_->context);
		memset(views_[kBulkEqual].segments[i], 0, (size_t) 4 << views_[kBulkEqual].shift);
	}
}

OmendbStatus
Bulk::finish()
{
	if (!meet())
		return OMENDB_NO_MEMORY;
	see(kBulkRows);
	see(kBulkValues);
	if (hooks_->meet(hooks_->context))
		start_equal_rows();
	(void) meet();
	see(kBulkEqual);
	find_equal_rows();
	if (hooks_->meet(hooks_->context))
		start_points();
	(void) meet();
	if (shared_->points == 0)
		return OMENDB_OK;
	for (uint32_t region = 0; region < kBulkRegions; region++)
		see(region);
	if (!link_points())
		return OMENDB_NO_MEMORY;
	see(kBulkAbove);
	write_pages();
	write_above();
	(void) meet();
	write_parts();
	write_values();
	(void) meet();
	return OMENDB_OK;
}

} // namespace omendb::graph
