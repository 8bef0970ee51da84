/*
 * insert_room.cpp - where the next record goes.
 *
 * A backend fills a page of its own. Without one it takes, in this order: the one
 * that the relation's cache entry remembers from an earlier statement, what the
 * free space map names, the last page, a new one. VACUUM tells the map of graph pages
 * with free slots, slot_bytes each, and of overflow pages with free parts, one part's
 * bytes whatever their number: so a record is not led to a page of parts.
 */
#include "store/insert_state.hpp"

extern "C"
{
#include "storage/freespace.h"
#include "storage/lmgr.h"
}

namespace omendb::store
{

namespace
{

enum Stage : uint8_t
{
	kKnown,
	kCached,
	kMap,
	kLast,
	kExtend
};

/* Answers of the free space map that may be wrong before the relation grows. */
constexpr uint8_t kMapTries = 4;
/* With chunks, which may take a page each as records do: the map does not tell kinds apart. */
constexpr uint8_t kMapTriesOfTwo = 32;
/* New pages that others took before us. */
constexpr uint8_t kExtendTries = 100;

BlockNumber
ask_map(OmendbInsert *s, Room *room, Size bytes)
{
	BlockNumber block;

	if (room->from_map && room->left < bytes)
	{
		/* The map rounds down what there is, and up what is asked for. */
		constexpr Size kStep = 32;
		Size left = (room->left + kStep - 1) / kStep * kStep;

		block = RecordAndGetPageWithFreeSpace(s->index, room->block, left, bytes);
	}
	else
		block = GetPageWithFreeSpace(s->index, bytes);
	room->from_map = block != InvalidBlockNumber;
	return room->from_map && s->store.exists(block) ? block : InvalidBlockNumber;
}

/* A page of zeros at the end; nobody is told before it is written. */
BlockNumber
extend(OmendbInsert *s)
{
	Buffer buffer = omendb_extend(s->index);
	BlockNumber block = BufferGetBlockNumber(buffer);

	ReleaseBuffer(buffer);
	if (block >= address_block(kNoAddress))
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("index \"%s\" cannot grow beyond %u blocks",
					   RelationGetRelationName(s->index), address_block(kNoAddress)));
	(void) s->store.exists(block);
	OMENDB_FAULT(insert_extended);
	return block;
}

BlockNumber
last_page(OmendbInsert *s)
{
	s->store.recount();
	return s->store.blocks() > 1 ? s->store.blocks() - 1 : InvalidBlockNumber;
}

} // namespace

void
next_room(OmendbInsert *s, Room *room, Size bytes)
{
	bool record = room == &s->room;
	BlockNumber block = InvalidBlockNumber;

	/* Or the map would lead here again, and after a few such answers the index grows. */
	if (room->full != InvalidBlockNumber)
	{
		RecordPageWithFreeSpace(s->index, room->full, 0);
		room->full = InvalidBlockNumber;
	}

	while (block == InvalidBlockNumber || block == OMENDB_META_BLOCK)
	{
		switch (room->stage)
		{
			case kKnown:
				room->stage = kCached;
				break;
			case kCached:
				room->stage = kMap;
				if (record && !room->warm)
					block = RelationGetTargetBlock(s->index);
				if (block != InvalidBlockNumber && !s->store.exists(block))
					block = InvalidBlockNumber;
				break;
			case kMap:
				block = ask_map(s, room, bytes);
				if (block == InvalidBlockNumber ||
					++room->tries == (s->shape.chunks > 0 ? kMapTriesOfTwo : kMapTries))
					room->stage = kLast;
				break;
			case kLast:
				room->stage = kExtend;
				room->tries = 0;
				room->from_map = false;
				if (record && !room->warm)
					block = last_page(s);
				break;
			default:
				if (++room->tries > kExtendTries)
					ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("no room in new pages of index \"%s\"",
								   RelationGetRelationName(s->index)));
				block = extend(s);
		}
	}
	room->block = block;
	room->left = 0;
}

void
keep_room(OmendbInsert *s, Room *room, bool more)
{
	if (room == &s->room)
		RelationSetTargetBlock(s->index, more ? room->block : InvalidBlockNumber);
	if (!more)
	{
		room->full = room->block;
		room->block = InvalidBlockNumber;
	}
	room->stage = kKnown;
	room->tries = 0;
	room->from_map = false;
	room->warm = true;
}

} // namespace omendb::store
