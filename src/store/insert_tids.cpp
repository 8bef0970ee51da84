/*
 * insert_tids.cpp - a row whose vector is there already: its TID joins the node.
 *
 * The record has room for two TIDs, the newest part of its chain for 19; then a
 * new part begins the chain. One WAL record, record page before part page.
 */
#include "store/insert_state.hpp"

extern "C"
{
#include "storage/freespace.h"
}

namespace omendb::store
{

namespace
{

constexpr int kNoPart = -1;

OmendbTidPart *
parts_of(Page page)
{
	return (OmendbTidPart *) PageGetContents(page);
}

Size
part_offset(uint32_t slot)
{
	return OMENDB_PAGE_HEADER + slot * sizeof(OmendbTidPart);
}

/* Whether the record on the page is still the node that the search met. */
bool
still_equal(const OmendbInsert *s, const uint8_t *record)
{
	const RecordHeader *h = graph::header(record);

	return record != nullptr && h->state == (uint8_t) State::Live && h->level == 0 &&
		   h->generation == s->equal.generation && h->scale == s->row_meta.scale &&
		   memcmp(graph::vector_of(s->shape, record), s->stored,
				  std::min(s->shape.value_room,
						   quant::stored_bytes(s->shape.storage, s->shape.dim))) == 0;
}

/* The header of the node with what the row changes in it besides TIDs. */
RecordHeader
joined_header(const OmendbInsert *s, const uint8_t *record)
{
	RecordHeader h = *graph::header(record);

	if (h.hash != s->row.hash)
		h.flags &= (uint8_t) ~graph::kFlagUniform;
	if (s->row.residual > h.residual)
		h.residual = s->row.residual;
	return h;
}

/* The node's newest part on a locked page, or NULL when that is none of its own. */
const OmendbTidPart *
newest_part(const OmendbInsert *s, Page page, const RecordHeader &h)
{
	uint32_t slot = address_slot(h.overflow);

	const OmendbPageSpecial *special = (const OmendbPageSpecial *) PageGetSpecialPointer(page);
	if (slot >= special->slots)
		return nullptr;
	const OmendbTidPart *part = parts_of(page) + slot;
	if (part->owner != s->equal.address || part->generation != h.generation)
		return nullptr;
	if (part->count > OMENDB_PART_TIDS)
		omendb_page_damaged(s->index, address_block(h.overflow), "overflow part out of range");
	return part;
}

/*
 * Whether a pinned page is one of parts, without its lock: pages never change their
 * kind. Locks are taken on overflow pages last, so a page must not turn out to be
 * another kind once it is waited for.
 */
bool
has_parts(Buffer buffer)
{
	Page page = BufferGetPage(buffer);

	return !PageIsNew(page) && omendb_page_problem(page, OMENDB_PAGE_OVERFLOW) == nullptr;
}

/* A part that nobody owns, on a locked page of parts. */
int
free_part(Page page)
{
	const OmendbPageSpecial *special = (const OmendbPageSpecial *) PageGetSpecialPointer(page);

	for (uint32_t slot = 0; slot < special->slots; slot++)
	{
		if (parts_of(page)[slot].owner == kNoAddress)
			return (int) slot;
	}
	return kNoPart;
}

/* A page of zeros becomes one of free parts. False: it was none any more. */
bool
init_parts(OmendbInsert *s, BlockNumber block)
{
	OmendbTidPart parts[OMENDB_PARTS_PER_PAGE];
	OmendbChange *change = &s->changes[0];
	Buffer buffer = s->store.pin_page(block);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	bool fresh = PageIsNew(BufferGetPage(buffer));
	if (fresh)
	{
		memset(parts, 0, sizeof(parts));
		for (OmendbTidPart &part : parts)
			part.owner = kNoAddress;
		omendb_change_begin(change, buffer);
		omendb_change_init(change, OMENDB_PAGE_OVERFLOW, OMENDB_PARTS_PER_PAGE, parts,
						   sizeof(parts));
		omendb_change_apply(s->index, &change, 1);
	}
	UnlockReleaseBuffer(buffer);
	OMENDB_FAULT(insert_part_page);
	return fresh;
}

/* Another page of parts into s->part_room. Nothing is locked. */
void
next_part_page(OmendbInsert *s)
{
	Room *room = &s->part_room;

	while (true)
	{
		CHECK_FOR_INTERRUPTS();
		next_room(s, room, sizeof(OmendbTidPart));
		Buffer buffer = s->store.pin_page(room->block);
		bool parts = has_parts(buffer);
		bool fresh = PageIsNew(BufferGetPage(buffer));
		ReleaseBuffer(buffer);
		if (parts)
			return;
		if (fresh && init_parts(s, room->block))
		{
			/* Others may use the parts of a new page. */
			RecordPageWithFreeSpace(s->index, room->block, sizeof(OmendbTidPart));
			FreeSpaceMapVacuumRange(s->index, room->block, room->block + 1);
			return;
		}
		/* A graph page with free slots: the map is right about it. */
		room->left = BLCKSZ;
	}
}

/* The record's page is locked and its change begun; h is the header as it will be. */
void
apply_join(OmendbInsert *s, const RecordHeader &h, OmendbChange *part)
{
	OmendbChange *changes[2] = {&s->changes[0], part};

	omendb_change_compare(changes[0], record_offset(s, s->equal.address), &h, sizeof(h));
	omendb_change_apply(s->index, changes, part != nullptr ? 2 : 1);
}

/* Into the newest part. False: it is full, or there is none. */
bool
append_to_part(OmendbInsert *s, const RecordHeader &h)
{
	if (h.overflow == kNoAddress || !s->store.exists(address_block(h.overflow)))
		return false;
	Buffer buffer = s->store.pin_page(address_block(h.overflow));
	if (!has_parts(buffer))
		omendb_page_damaged(s->index, address_block(s->equal.address),
							"chain of TIDs leads to no part");
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	const OmendbTidPart *part = newest_part(s, BufferGetPage(buffer), h);
	bool room = part != nullptr && part->count < OMENDB_PART_TIDS;

	if (room)
	{
		OmendbChange *change = &s->changes[1];
		OmendbTidPart copy = *part;

		memcpy(&copy.tids[3 * copy.count++], &s->row.tid, sizeof(s->row.tid));
		omendb_change_begin(change, buffer);
		omendb_change_compare(change, part_offset(address_slot(h.overflow)), &copy, sizeof(copy));
		apply_join(s, h, change);
	}
	UnlockReleaseBuffer(buffer);
	return room;
}

/* A part of the page of s->part_room becomes the newest. False: it has none that is free. */
bool
begin_part(OmendbInsert *s, RecordHeader h)
{
	Room *room = &s->part_room;
	OmendbChange *change = &s->changes[1];
	OmendbTidPart part;
	Buffer buffer = s->store.pin_page(room->block);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	int slot = free_part(BufferGetPage(buffer));
	if (slot != kNoPart)
	{
		memset(&part, 0, sizeof(part));
		part.owner = s->equal.address;
		part.generation = h.generation;
		part.next = h.overflow;
		part.count = 1;
		memcpy(part.tids, &s->row.tid, sizeof(s->row.tid));
		omendb_change_begin(change, buffer);
		omendb_change_compare(change, part_offset((uint32_t) slot), &part, sizeof(part));
		h.overflow = make_address(room->block, (uint32_t) slot);
		apply_join(s, h, change);
	}
	UnlockReleaseBuffer(buffer);
	room->left = 0;
	return slot != kNoPart;
}

enum class Joined : uint8_t
{
	Yes,
	No,       /* the node is another one now */
	NeedsPart /* and s->part_room has none */
};

/* Under the record's exclusive lock. */
Joined
join_locked(OmendbInsert *s, Buffer buffer, const uint8_t *record)
{
	RecordHeader h = joined_header(s, record);

	omendb_change_begin(&s->changes[0], buffer);
	if (h.tid_count < graph::kInlineTids)
	{
		h.tids[h.tid_count++] = s->row.tid;
		apply_join(s, h, nullptr);
		return Joined::Yes;
	}
	if (append_to_part(s, h))
		return Joined::Yes;
	/* append_to_part() has seen that it is a page of parts. */
	if (s->part_room.block == InvalidBlockNumber && h.overflow != kNoAddress &&
		s->store.exists(address_block(h.overflow)))
		s->part_room.block = address_block(h.overflow);
	if (s->part_room.block != InvalidBlockNumber && begin_part(s, h))
		return Joined::Yes;
	return Joined::NeedsPart;
}

} // namespace

bool
join_node(OmendbInsert *s)
{
	while (true)
	{
		uint8_t *record;
		Joined joined = Joined::No;

		CHECK_FOR_INTERRUPTS();
		Buffer buffer = lock_record(s, s->equal.address, BUFFER_LOCK_EXCLUSIVE, &record);
		if (record == nullptr)
			return false;
		if (still_equal(s, record))
			joined = join_locked(s, buffer, record);
		UnlockReleaseBuffer(buffer);
		if (joined == Joined::NeedsPart)
		{
			OMENDB_FAULT(insert_no_part);
			next_part_page(s);
			continue;
		}
		if (joined == Joined::Yes)
			OMENDB_FAULT(insert_joined);
		if (joined == Joined::Yes && s->part_room.block != InvalidBlockNumber)
			keep_room(s, &s->part_room, true);
		return joined == Joined::Yes;
	}
}

} // namespace omendb::store
