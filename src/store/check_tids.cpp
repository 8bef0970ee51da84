/*
 * check_tids.cpp - the TIDs: those in records and in chains of parts, and both
 * against the table.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "access/htup_details.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/shmem.h"

#include "store/pages.h"
}

#include "quant/value.hpp"
#include "store/check_state.hpp"

namespace omendb::store::check
{

/* ---- S1 and O1: the TIDs of a node ---- */

namespace
{

uint64_t
tid_number(const Tid &tid)
{
	return (uint64_t) tid.block_high << 32 | (uint64_t) tid.block_low << 16 | tid.offset;
}

void
remember_tids(OmendbCheck *check, Address node, const Tid *tids, uint32_t count)
{
	if (check->tid_count + count > check->tid_capacity)
	{
		check->tid_capacity = std::max<uint64_t>(check->tid_capacity * 2, 1024);
		check->tids = (TidEntry *) repalloc_huge(check->tids,
												 mul_size(check->tid_capacity, sizeof(TidEntry)));
	}
	for (uint32_t i = 0; i < count; i++)
		check->tids[check->tid_count++] = {tid_number(tids[i]), node};
}

/* Copy one part; false with a finding if there is none. */
bool
copy_part(OmendbCheck *check, Address node, Address address, OmendbTidPart *part)
{
	BlockNumber block = address_block(address);
	bool there = false;

	CHECK_FOR_INTERRUPTS();
	/* The index may have grown since. */
	if (block < check->blocks || block < RelationGetNumberOfBlocks(check->index))
	{
		Buffer buffer = ReadBuffer(check->index, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		uint8_t *page = (uint8_t *) BufferGetPage(buffer);
		there = omendb_page_problem((Page) page, OMENDB_PAGE_OVERFLOW) == nullptr &&
				address_slot(address) < special_of(page)->slots;
		if (there)
			memcpy(part, (OmendbTidPart *) (void *) contents_of(page) + address_slot(address),
				   sizeof(*part));
		UnlockReleaseBuffer(buffer);
	}
	if (!there)
		finding(check, "ERROR", "O1", address_block(node),
				"chain of slot %u leads to block %u, part %u, where there is none",
				address_slot(node), block, address_slot(address));
	return there;
}

/* Whether a node's record is another, or of another state, than when it was copied. */
bool
is_changed_now(OmendbCheck *check, Address node, const RecordHeader *h)
{
	const RecordHeader *now = graph::header((const uint8_t *) check->record);

	return copy_record(check, node, check->record) &&
		   (now->state != h->state || now->generation != h->generation);
}

/* Follow the chain of a node and remember its TIDs. Returns how many there are. */
uint64_t
check_chain(OmendbCheck *check, Address node, const RecordHeader *h)
{
	uint64_t limit = (uint64_t) check->blocks * OMENDB_PARTS_PER_PAGE;
	uint64_t count = 0;
	uint64_t parts = 0;
	OmendbTidPart part;

	for (Address next = h->overflow; next != kNoAddress && !check->stopped; next = part.next)
	{
		if (++parts > limit)
		{
			finding(check, "ERROR", "O1", address_block(node), "chain of slot %u is a circle",
					address_slot(node));
			break;
		}
		if (!copy_part(check, node, next, &part))
			break;
		if (part.owner != node || part.generation != h->generation)
		{
			/* VACUUM frees the parts of a dead node, oldest first, then the node. */
			bool freed = part.owner == kNoAddress && h->state == (uint8_t) State::Dead;
			if (freed || is_changed_now(check, node, h))
				break;
			finding(check, "ERROR", "O1", address_block(node),
					"chain of slot %u leads to a part of another node", address_slot(node));
			break;
		}
		if (part.count > OMENDB_PART_TIDS)
		{
			finding(check, "ERROR", "O1", address_block(next), "part %u claims %u TIDs",
					address_slot(next), part.count);
			break;
		}
		remember_tids(check, node, (const Tid *) (const void *) part.tids, part.count);
		count += part.count;
		check->chained_parts++;
	}
	return count;
}

} // namespace

void
check_tids(OmendbCheck *check, Address address, const RecordHeader *h)
{
	uint64_t count = h->tid_count + check_chain(check, address, h);

	remember_tids(check, address, h->tids, h->tid_count);
	if (h->state == (uint8_t) State::Live && count == 0)
		finding(check, "WARN", "S1", address_block(address), "slot %u is live without a TID",
				address_slot(address));
	if (h->state == (uint8_t) State::Dead && count > 0)
		finding(check, "ERROR", "S1", address_block(address),
				"slot %u is dead with " UINT64_FORMAT " TIDs", address_slot(address), count);
}

/* ---- H1: all TIDs ---- */

namespace
{

/* Whether a node has a TID now: VACUUM may have removed it, and the row's place been reused. */
bool
has_tid_now(OmendbCheck *check, const TidEntry *entry)
{
	const RecordHeader *h = graph::header((const uint8_t *) check->record);
	uint64_t limit = (uint64_t) check->blocks * OMENDB_PARTS_PER_PAGE;
	OmendbTidPart part;

	if (!copy_record(check, entry->node, check->record) || h->state == (uint8_t) State::Free ||
		h->level != 0)
		return false;
	for (uint32_t i = 0; i < h->tid_count && i < graph::kInlineTids; i++)
	{
		if (tid_number(h->tids[i]) == entry->tid)
			return true;
	}
	Address next = h->overflow;
	for (uint64_t parts = 0; next != kNoAddress && parts < limit; parts++, next = part.next)
	{
		if (!copy_part(check, entry->node, next, &part) || part.owner != entry->node ||
			part.generation != h->generation)
			break;
		for (uint32_t i = 0; i < part.count && i < OMENDB_PART_TIDS; i++)
		{
			if (tid_number(((const Tid *) (const void *) part.tids)[i]) == entry->tid)
				return true;
		}
	}
	return false;
}

int
compare_tids(const void *a, const void *b)
{
	uint64_t x = ((const TidEntry *) a)->tid;
	uint64_t y = ((const TidEntry *) b)->tid;

	return x < y ? -1 : x > y;
}

} // namespace

void
check_tid_range(OmendbCheck *check)
{
	BlockNumber heap_blocks = RelationGetNumberOfBlocks(check->heap);

	qsort(check->tids, check->tid_count, sizeof(TidEntry), compare_tids);
	for (uint64_t i = 0; i < check->tid_count && !check->stopped; i++)
	{
		const TidEntry *entry = &check->tids[i];
		uint32_t block = (uint32_t) (entry->tid >> 16);
		uint32_t offset = (uint32_t) (entry->tid & 0xFFFF);
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (block >= heap_blocks || offset == 0 || offset > MaxHeapTuplesPerPage)
			finding(check, "ERROR", "H1", address_block(entry->node),
					"slot %u has TID (%u,%u), outside the table", address_slot(entry->node), block,
					offset);
		if (i > 0 && entry->tid == check->tids[i - 1].tid && has_tid_now(check, entry) &&
			has_tid_now(check, entry - 1))
			finding(check, "ERROR", "H1", address_block(entry->node),
					"TID (%u,%u) is in slot %u and in slot %u of block %u", block, offset,
					address_slot(entry->node), address_slot(check->tids[i - 1].node),
					address_block(check->tids[i - 1].node));
	}
}

/* ---- H2 and C2: a row of the table ---- */

namespace
{

TidEntry *
find_tid(const OmendbCheck *check, uint64_t tid)
{
	TidEntry key = {tid, kNoAddress};

	return (TidEntry *) bsearch(&key, check->tids, check->tid_count, sizeof(TidEntry),
								compare_tids);
}

/* C2 against the row: the residual covers the distance between it and what is stored. */
void
check_residual(OmendbCheck *check, const TidEntry *entry, const float *row)
{
	const RecordHeader *h = graph::header(check->record);
	double distance2 = 0;
	double norm2 = 0;

	/* Vacuumed since, or reported as damaged. */
	if (!has_tid_now(check, entry))
		return;
	memcpy(check->value, graph::vector_of(check->shape, check->record), check->shape.value_room);
	if (!copy_rest(check, entry->node, h))
		return;
	quant::load_vector(check->space, check->value, h->scale, check->other);
	for (uint32_t i = 0; i < check->shape.dim; i++)
	{
		double d = (double) row[i] - check->other[i];
		distance2 += d * d;
		norm2 += (double) row[i] * row[i];
	}
	if (std::sqrt(distance2) > h->residual * (1 + 1e-6) + 1e-6 * std::sqrt(norm2) + 1e-30)
		finding(check, "ERROR", "C2", address_block(entry->node),
				"slot %u is %g away from row (%u,%u), but says at most %g",
				address_slot(entry->node), std::sqrt(distance2), (uint32_t) (entry->tid >> 16),
				(uint32_t) (entry->tid & 0xFFFF), h->residual);
}

/* V1 against the row: the record keeps its very bytes. */
void
check_same_value(OmendbCheck *check, const TidEntry *entry, const uint8_t *value, size_t bytes)
{
	const RecordHeader *h = graph::header(check->record);

	/* Vacuumed since, or reported as damaged. */
	if (!copy_record(check, entry->node, check->record) || h->level != 0 ||
		h->state == (uint8_t) State::Free)
		return;
	memcpy(check->value, graph::vector_of(check->shape, check->record), check->shape.value_room);
	if (!copy_rest(check, entry->node, h))
		return;
	if (quant::stored_size(check->space, check->value) != bytes ||
		memcmp(check->value, value, bytes) != 0)
		finding(check, "ERROR", "V1", address_block(entry->node),
				"slot %u has another value than row (%u,%u)", address_slot(entry->node),
				(uint32_t) (entry->tid >> 16), (uint32_t) (entry->tid & 0xFFFF));
}

/* Whether the row could be in the index at all. */
bool
is_of_dimension(OmendbCheck *check, ItemPointer tid, int dim)
{
	if ((uint32_t) dim == check->meta.input_dim)
		return true;
	finding(check, "ERROR", "H2", -1, "row (%u,%u) has %d dimensions, the index %u",
			ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid), dim,
			check->meta.input_dim);
	return false;
}

/* H2: the entry of a row, or NULL and a finding when it is not as it should be. */
const TidEntry *
entry_of_row(OmendbCheck *check, ItemPointer tid, bool needs_one)
{
	uint32_t block = ItemPointerGetBlockNumber(tid);
	uint32_t offset = ItemPointerGetOffsetNumber(tid);
	const TidEntry *entry = find_tid(check, (uint64_t) block << 16 | offset);

	if (entry == nullptr && needs_one)
		finding(check, "ERROR", "H2", -1, "row (%u,%u) is missing from the index", block, offset);
	if (entry != nullptr && !needs_one)
		finding(check, "WARN", "H2", address_block(entry->node),
				"row (%u,%u) is in the index, though it needs no entry", block, offset);
	return needs_one ? entry : nullptr;
}

} // namespace

} // namespace omendb::store::check

using namespace omendb::store::check;

void
omendb_check_row(OmendbCheck *check, ItemPointer tid, const float *x, int dim)
{
	float excess;

	if (!omendb_check_accepts_rows(check) || !is_of_dimension(check, tid, dim))
		return;
	bool needs_one = omendb::quant::transform_row(check->space, x, check->vector, &excess);
	const TidEntry *entry = entry_of_row(check, tid, needs_one);
	if (entry != nullptr)
		check_residual(check, entry, check->vector);
}

void
omendb_check_value(OmendbCheck *check, ItemPointer tid, const void *value, Size bytes, int dim)
{
	if (!omendb_check_accepts_rows(check) || !is_of_dimension(check, tid, dim))
		return;
	bool needs_one = omendb::quant::value_has_place(check->space, (const uint8_t *) value);
	const TidEntry *entry = entry_of_row(check, tid, needs_one);
	if (entry != nullptr)
		check_same_value(check, entry, (const uint8_t *) value, bytes);
}
