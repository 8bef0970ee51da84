/*
 * bulk_above.cpp - the levels above level 0, by insertion: a node in 32.
 */
#include "graph/bulk.hpp"

#include "base/no_postgres.hpp"

namespace omendb::graph
{

/* Whoever is to insert above: the one that begins, and the one that grows the tree. */
bool
Bulk::start_above()
{
	see(kBulkAbove);
	above_store_.init(space_, &wide_, shared_, &views_[kBulkAbove], first_block_, shape_->slots);
	inserter_.init(&above_store_, &above_memory_, candidates_);
	return above_memory_.allocate(*space_, memory_);
}

/* The level of a point, by its first row. */
uint32_t
Bulk::level_of(uint32_t index) const
{
	return level_for(space_->seed, row_at(point_at(index)->row)->tid);
}

/* One participant, beside the others' leaves. Where the nodes are on level 0 is not known yet. */
bool
Bulk::insert_above()
{
	Array<uint32_t> *order = &s_.stack;

	if (!start_above())
		return false;
	order->size = 0;
	for (uint32_t i = 0; i < shared_->points; i++)
	{
		if (i % 1024 == 0)
			hooks_->poll(hooks_->context);
		if (level_of(i) > 0 && !order->push(i))
			return false;
	}
	/*
	 * Rows may come sorted: insertion by chance. The highest first: it stays the entry
	 * point, and is where the protected links of every level begin.
	 */
	std::sort(order->data, order->data + order->size,
			  [this](uint32_t a, uint32_t b)
			  {
				  uint32_t level_a = level_of(a);
				  uint32_t level_b = level_of(b);
				  return level_a != level_b ? level_a > level_b : mix64(a) < mix64(b);
			  });
	for (size_t i = 0; i < order->size; i++)
	{
		hooks_->poll(hooks_->context);
		if (!promote((*order)[i]))
			return false;
	}
	return true;
}

/* The point gets its nodes above, on level 1 at least. */
bool
Bulk::promote(uint32_t index)
{
	BulkRow *row = row_at(point_at(index)->row);
	uint32_t level = level_of(index);
	quant::StoredMeta meta = {row->scale, row->self_dot, bits_float(row->residual)};

	if (row->above != kNoAddress)
		return true;
	if (level == 0)
		level = 1;
	uint32_t at = shared_->above;
	need(kBulkAbove, at + level);
	for (uint32_t i = at; i < at + level; i++)
		memset(views_[kBulkAbove].at(i), 0, wide_.slot_bytes);
	if (inserter_.insert_above(stored_of(row), meta, level, kNoAddress) != OMENDB_OK)
		return false;
	for (uint32_t i = at; i < at + level; i++)
		header(views_[kBulkAbove].at(i))->rest = point_at(index)->row;
	row->above = above_store_.address_of(at);
	return true;
}

/*
 * One participant, all being placed: where the nodes are on level 0, the numbers of
 * their chunks, and how many pages there are.
 */
void
Bulk::finish_above()
{
	shared_->root = address_of(point_at(ordered(0)));
	shared_->value_page =
		shared_->above_page + (shared_->above + shape_->slots - 1) / shape_->slots;
	shared_->pages = shared_->value_page;
	if (shared_->entry.address == kNoAddress)
		shared_->entry = {shared_->root, 0};
	/* On disk only level 0 has protected links. */
	for (uint32_t i = 0; i < shared_->above; i++)
		memset(protected_mask(wide_, views_[kBulkAbove].at(i)), 0, sizeof(uint32_t) * wide_.blocks);
	for (uint32_t i = 0; i < shared_->points; i++)
	{
		const BulkPoint *point = point_at(i);
		Address above = row_at(point->row)->above;
		if (i % 1024 == 0)
			hooks_->poll(hooks_->context);
		if (above != kNoAddress)
			header(above_store_.new_record(above))->down = address_of(point);
	}
	if (shape_->chunks == 0)
		return;
	for (uint32_t rank = 0; rank < shared_->points; rank++)
	{
		BulkPoint *point = point_at(ordered(rank));
		if (rank % 1024 == 0)
			hooks_->poll(hooks_->context);
		point->chunk = shared_->chunks;
		shared_->chunks += chunks_of(row_at(point->row));
	}
	shared_->point_chunks = shared_->chunks;
	for (uint32_t i = 0; i < shared_->above; i++)
	{
		RecordHeader *h = header(views_[kBulkAbove].at(i));
		h->overflow = shared_->chunks;
		shared_->chunks += chunks_of(row_at(h->rest));
	}
	shared_->pages += (shared_->chunks + shape_->chunks - 1) / shape_->chunks;
}

} // namespace omendb::graph
