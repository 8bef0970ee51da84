/*
 * insert_values.cpp - a row whose value is longer than a record's room.
 *
 * The slot comes first, as linking and with the row's TID: chunks name their owner.
 * Then the chunks, the last one first, one WAL record each; then the record becomes
 * what it is to be (insert_place.cpp). What an error or a crash in between leaves
 * behind is a linking record, which VACUUM frees as soon as its TID is dead, and
 * chunks of it.
 */
#include "store/insert_state.hpp"

extern "C"
{
#include "storage/freespace.h"
}

#include "quant/value.hpp"

namespace omendb::store
{

namespace
{

using graph::ChunkHeader;

uint8_t *
chunk_on(const OmendbInsert *s, Page page, uint32_t slot)
{
	return (uint8_t *) PageGetContents(page) + slot * s->shape.chunk_bytes;
}

/* As has_parts(): pages never change their kind. */
bool
has_chunks(Buffer buffer)
{
	Page page = BufferGetPage(buffer);

	return !PageIsNew(page) && omendb_page_problem(page, OMENDB_PAGE_VALUES) == nullptr;
}

/* A page of zeros becomes one of free chunks. False: it was none any more. */
bool
init_chunks(OmendbInsert *s, BlockNumber block)
{
	PGAlignedBlock content;
	OmendbChange *change = &s->changes[0];
	Buffer buffer = s->store.pin_page(block);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	bool fresh = PageIsNew(BufferGetPage(buffer));
	if (fresh)
	{
		memset(content.data, 0, sizeof(content.data));
		for (uint32_t slot = 0; slot < s->shape.chunks; slot++)
			((ChunkHeader *) (void *) (content.data + slot * s->shape.chunk_bytes))->owner =
				kNoAddress;
		omendb_change_begin(change, buffer);
		omendb_change_init(change, OMENDB_PAGE_VALUES, (uint16) s->shape.chunks, content.data,
						   s->shape.chunks * s->shape.chunk_bytes);
		omendb_change_apply(s->index, &change, 1);
	}
	UnlockReleaseBuffer(buffer);
	OMENDB_FAULT(insert_chunk_page);
	return fresh;
}

/* Another page of chunks into s->chunk_room. Nothing is locked. */
void
next_chunk_page(OmendbInsert *s)
{
	Room *room = &s->chunk_room;

	while (true)
	{
		CHECK_FOR_INTERRUPTS();
		next_room(s, room, s->shape.chunk_bytes);
		Buffer buffer = s->store.pin_page(room->block);
		bool chunks = has_chunks(buffer);
		bool fresh = PageIsNew(BufferGetPage(buffer));
		ReleaseBuffer(buffer);
		if (chunks || (fresh && init_chunks(s, room->block)))
			return;
		/* A graph page with free slots: the map is right about it. */
		room->left = BLCKSZ;
	}
}

/* A chunk that nobody owns becomes the row's. False: the page has none. */
bool
take_chunk(OmendbInsert *s, const ChunkHeader &head, const uint8_t *bytes, Address *address)
{
	BlockNumber block = s->chunk_room.block;
	Buffer buffer = s->store.pin_page(block);
	OmendbChange *change = &s->changes[0];
	bool taken = false;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	Page page = BufferGetPage(buffer);
	const OmendbPageSpecial *special = (const OmendbPageSpecial *) PageGetSpecialPointer(page);
	uint32_t slots = std::min<uint32_t>(special->slots, s->shape.chunks);
	for (uint32_t slot = 0; slot < slots && !taken; slot++)
	{
		const uint8_t *chunk = chunk_on(s, page, slot);
		Size offset = OMENDB_PAGE_HEADER + slot * s->shape.chunk_bytes;

		if (((const ChunkHeader *) (const void *) chunk)->owner != kNoAddress)
			continue;
		omendb_change_begin(change, buffer);
		omendb_change_put(change, offset, &head, sizeof(head));
		omendb_change_compare(change, offset + sizeof(head), bytes, head.length);
		omendb_change_apply(s->index, &change, 1);
		*address = make_address(block, slot);
		taken = true;
	}
	UnlockReleaseBuffer(buffer);
	s->chunk_room.left = 0;
	return taken;
}

} // namespace

bool
has_rest(const OmendbInsert *s)
{
	return s->shape.chunks > 0 && quant::stored_size(s->space, s->stored) > s->shape.value_room;
}

void
reserve_record(OmendbInsert *s)
{
	uint32_t room = s->shape.chunk_bytes - (uint32_t) sizeof(ChunkHeader);
	uint32_t rest = quant::stored_size(s->space, s->stored) - s->shape.value_room;
	uint32_t count = (rest + room - 1) / room;

	graph::header(s->record)->state = (uint8_t) State::Linking;
	place_above(s);
	OMENDB_FAULT(insert_reserved);
	s->rest = 0;
	for (uint32_t i = count; i-- > 0;)
	{
		const uint8_t *bytes = s->stored + s->shape.value_room + i * room;
		ChunkHeader head = {s->address, s->rest, s->generation,
							(uint16_t) std::min(room, rest - i * room), 0};

		while (s->chunk_room.block == InvalidBlockNumber || !take_chunk(s, head, bytes, &s->rest))
			next_chunk_page(s);
		OMENDB_FAULT(insert_chunk);
	}
	keep_room(s, &s->chunk_room, true);
	s->reserved = true;
}

} // namespace omendb::store
