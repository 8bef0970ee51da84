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
			hooks_->write_page(hooks_->context, shared_->first_page + page, BulkPage::Records,
							   s_.page, shape_->slots * shape_->slot_bytes);
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
	header(record)->answers = point->answers;
	write_tids(header(record), address, row);
	if (chunks_of(row) > 0)
		header(record)->rest = chunk_address(point->chunk);
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
	uint32_t pages = shared_->value_page - shared_->above_page;
	uint32_t first, end;

	while (take(kStepAbove, kPagesAtOnce, pages, &first, &end))
	{
		for (uint32_t page = first; page < end; page++)
		{
			memset(s_.page, 0, sizeof(s_.page));
			for (uint32_t slot = 0; slot < shape_->slots; slot++)
			{
				if (page * shape_->slots + slot < shared_->above)
					write_above_record(s_.page + slot * shape_->slot_bytes,
									   page * shape_->slots + slot);
			}
			hooks_->write_page(hooks_->context, shared_->above_page + page, BulkPage::Records,
							   s_.page, shape_->slots * shape_->slot_bytes);
		}
		hooks_->written(hooks_->context, shared_->above_page + first, end - first);
	}
}

/* The index-th record of the levels above, with as much of its value as there is room. */
void
Bulk::write_above_record(uint8_t *record, uint32_t index)
{
	const uint8_t *wide = views_[kBulkAbove].at(index);
	RecordHeader *h = header(record);
	const BulkRow *row = row_at(header(wide)->rest);

	memcpy(record, wide, shape_->neighbours_at);
	memcpy(record + shape_->neighbours_at, wide + wide_.neighbours_at,
		   shape_->slot_bytes - shape_->neighbours_at);
	h->rest = chunks_of(row) > 0 ? chunk_address(h->overflow) : 0;
	h->overflow = kNoAddress;
}

/* ---- values that continue beyond their records ---- */

uint32_t
Bulk::chunks_of(const BulkRow *row) const
{
	uint32_t room = shape_->chunk_bytes - (uint32_t) sizeof(ChunkHeader);

	if (shape_->chunks == 0 || size_of(row) <= shape_->value_room)
		return 0;
	return (size_of(row) - shape_->value_room + room - 1) / room;
}

Address
Bulk::chunk_address(uint32_t chunk) const
{
	return make_address(first_block_ + shared_->value_page + chunk / shape_->chunks,
						chunk % shape_->chunks);
}

/* The rank of the point, or behind all of them the record above, that a chunk is of. */
uint32_t
Bulk::owner_of_chunk(uint32_t chunk) const
{
	bool above = chunk >= shared_->point_chunks;
	uint32_t low = 0, high = above ? shared_->above : shared_->points;

	/* The last that begins no later: those without chunks begin where the next does. */
	while (high - low > 1)
	{
		uint32_t middle = low + (high - low) / 2;
		uint32_t first = above ? header(views_[kBulkAbove].at(middle))->overflow
							   : point_at(ordered(middle))->chunk;
		if (first <= chunk)
			low = middle;
		else
			high = middle;
	}
	return above ? shared_->points + low : low;
}

void
Bulk::write_chunk(uint8_t *out, uint32_t chunk)
{
	uint32_t owner = owner_of_chunk(chunk);
	bool above = owner >= shared_->points;
	const RecordHeader *wide =
		above ? header(views_[kBulkAbove].at(owner - shared_->points)) : nullptr;
	const BulkPoint *point = above ? nullptr : point_at(ordered(owner));
	const BulkRow *row = row_at(above ? wide->rest : point->row);
	uint32_t first = above ? wide->overflow : point->chunk;
	uint32_t room = shape_->chunk_bytes - (uint32_t) sizeof(ChunkHeader);
	uint32_t at = shape_->value_room + (chunk - first) * room;
	ChunkHeader *h = (ChunkHeader *) (void *) out;

	h->owner = above ? make_address(first_block_ + shared_->above_page +
										(owner - shared_->points) / shape_->slots,
									(owner - shared_->points) % shape_->slots)
					 : address_of(point);
	h->next = chunk + 1 < first + chunks_of(row) ? chunk_address(chunk + 1) : 0;
	h->length = (uint16_t) std::min(room, size_of(row) - at);
	memcpy(h + 1, stored_of(row) + at, h->length);
}

void
Bulk::write_values()
{
	uint32_t pages = shared_->pages - shared_->value_page;
	uint32_t first, end;

	while (take(kStepValues, kPagesAtOnce, pages, &first, &end))
	{
		for (uint32_t page = first; page < end; page++)
		{
			memset(s_.page, 0, sizeof(s_.page));
			for (uint32_t slot = 0; slot < shape_->chunks; slot++)
			{
				uint8_t *out = s_.page + slot * shape_->chunk_bytes;
				uint32_t chunk = page * shape_->chunks + slot;
				if (chunk < shared_->chunks)
					write_chunk(out, chunk);
				else
					((ChunkHeader *) (void *) out)->owner = kNoAddress;
			}
			hooks_->write_page(hooks_->context, shared_->value_page + page, BulkPage::Values,
							   s_.page, shape_->chunks * shape_->chunk_bytes);
		}
		hooks_->written(hooks_->context, shared_->value_page + first, end - first);
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
			hooks_->write_page(hooks_->context, page, BulkPage::Parts, s_.page,
							   kPartsPerPage * sizeof(TidPart));
		}
		hooks_->written(hooks_->context, first, end - first);
	}
}

} // namespace omendb::graph
