/*
 * bulk_write.cpp - points to records, records to pages.
 */
#include "graph/bulk.hpp"
#include "graph/insert-inl.hpp"

#include "base/no_postgres.hpp"

namespace omendb::graph
{

/* Pages of level 0, a few at a time. */
void
Bulk::write_pages()
{
	uint32_t pages = (shared_->points + shape_->slots - 1) / shape_->slots;
	uint32_t first, end;

	while (take(kStepWrite, kPagesAtOnce, pages, &first, &end))
	{
		for (uint32_t page = first; page < end; page++)
		{
			memset(s_.page, 0, sizeof(s_.page));
			for (uint32_t slot = 0; slot < shape_->slots; slot++)
			{
				uint32_t rank = page * shape_->slots + slot;
				if (rank >= shared_->points)
					break;
				write_record(s_.page + slot * shape_->slot_bytes, ordered(rank));
			}
			hooks_->write_page(hooks_->context, shared_->first_page + page, false, s_.page,
							   shape_->slots * shape_->slot_bytes);
		}
		hooks_->written(hooks_->context, shared_->first_page + first, end - first);
	}
}

void
Bulk::write_record(uint8_t *record, uint32_t index)
{
	BulkPoint *point = point_at(index);
	const BulkKey *keys = keys_of(point);
	const BulkRow *row = row_at(point->row);
	Address address = address_of(point);
	quant::StoredMeta meta = {row->scale, row->self_dot, bits_float(row->residual)};

	init_record(*space_, *shape_, record, 0, kNoAddress, meta, stored_of(row));
	for (uint32_t block = 0; block < shape_->blocks; block++)
	{
		protected_mask(*shape_, record)[block] = protected_of(point)[block];
		diverse_mask(*shape_, record)[block] = diverse_of(point)[block];
	}
	write_tids(header(record), address, row);
	set_options(keys, point->count);
	quant::load_vector(*space_, stored_of(row), row->scale, s_.own.data);
	for (uint32_t first = 0; first < point->count; first += OMENDB_LANES)
	{
		quant::StoredVector others[OMENDB_LANES];
		uint32_t n = std::min<uint32_t>(point->count - first, OMENDB_LANES);
		for (uint32_t i = 0; i < n; i++)
		{
			const Option &option = s_.options[first + i];
			others[i] = {option.vector, option.scale};
			neighbours(*shape_, record)[first + i] = address_of(point_at(option.address));
		}
		quant::encode_block(*space_, s_.own.data, others, n,
							code_block(*shape_, record, first / OMENDB_LANES));
	}
}

/* TIDs of all rows of a node: two in the record, the others in parts. */
void
Bulk::write_tids(RecordHeader *h, Address address, const BulkRow *row)
{
	TidPart *part = nullptr;

	h->hash = row->hash;
	h->tids[h->tid_count++] = row->tid;
	if (row->unequal != 0)
		h->flags &= (uint8_t) ~kFlagUniform;
	for (uint32_t i = row->equal; i != kNoRow; i = row_at(i)->equal)
	{
		const Tid &tid = row_at(i)->tid;
		if (h->tid_count < kInlineTids)
		{
			h->tids[h->tid_count++] = tid;
			continue;
		}
		if (part == nullptr || part->count == kPartTids)
		{
			uint32_t at = shared_->parts.fetch_add(1, std::memory_order_relaxed);
			part = (TidPart *) (void *) views_[kBulkParts].at(at);
			memset(part, 0, sizeof(*part));
			part->owner = address;
			part->next = h->overflow;
			h->overflow = make_address(first_block_ + at / kPartsPerPage, at % kPartsPerPage);
		}
		part->tids[part->count++] = tid;
	}
}

void
Bulk::write_above()
{
	uint32_t pages = shared_->pages - shared_->above_page;
	uint32_t first, end;

	while (take(kStepAbove, kPagesAtOnce, pages, &first, &end))
	{
		for (uint32_t page = first; page < end; page++)
			hooks_->write_page(hooks_->context, shared_->above_page + page, false,
							   views_[kBulkAbove].at(page), shape_->slots * shape_->slot_bytes);
		hooks_->written(hooks_->context, shared_->above_page + first, end - first);
	}
}

void
Bulk::write_parts()
{
	uint32_t parts = shared_->parts.load();
	uint32_t pages = (parts + kPartsPerPage - 1) / kPartsPerPage;
	uint32_t first, end;

	while (take(kStepParts, kPagesAtOnce, pages, &first, &end))
	{
		for (uint32_t page = first; page < end; page++)
		{
			memset(s_.page, 0, sizeof(s_.page));
			for (uint32_t slot = 0; slot < kPartsPerPage; slot++)
			{
				TidPart *part = (TidPart *) (void *) s_.page + slot;
				uint32_t at = page * kPartsPerPage + slot;
				if (at < parts)
					memcpy(part, views_[kBulkParts].at(at), sizeof(*part));
				else
					part->owner = kNoAddress;
			}
			hooks_->write_page(hooks_->context, page, true, s_.page,
							   kPartsPerPage * sizeof(TidPart));
		}
		hooks_->written(hooks_->context, first, end - first);
	}
}

} // namespace omendb::graph
