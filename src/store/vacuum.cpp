/*
 * vacuum.cpp - dropping the TIDs of dead rows.
 *
 * One pass over the pages in physical order. A graph page is looked at under a
 * share lock; only if it would change, it is looked at again under an
 * exclusive lock and changed in one WAL record. TIDs that did not fit their
 * record lie in parts on overflow pages; they are reached through the chain
 * that starts in the record, never by reading overflow pages as such: a part
 * that no chain leads to is stale, and its TIDs are not in the index.
 *
 * Steps for a node, each of them one WAL record on one page:
 *   1. its TIDs in the record; without a chain and without TIDs left the node
 *      becomes Dead in the same step
 *   2. the TIDs of its parts, one page of parts at a time
 *   3. if record and parts are all empty: Dead, under the record's lock
 * A crash between any two leaves a Live node with fewer TIDs or none, which a
 * scan passes through without returning it and the next VACUUM marks.
 *
 * A Linking node is never marked: its inserter does that when it finds no TID left.
 *
 * A Dead node keeps its vector, its links and its (empty) parts: it routes as
 * before. Nothing is freed here.
 *
 * Locks: one content lock at a time, except in step 3: record, then one part
 * after the other under share lock. Whoever adds a TID to a chain locks the
 * record first, so an empty chain stays empty while the record is locked.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "access/generic_xlog.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"

#include "store/pages.h"
#include "store/vacuum.h"
}

#include "graph/record.hpp"

namespace omendb
{

namespace
{

using graph::Address;
using graph::kNoAddress;
using graph::RecordHeader;
using graph::State;
using graph::Tid;

struct Sweep
{
	Relation index;
	BufferAccessStrategy strategy;
	IndexBulkDeleteCallback callback;
	void *callback_state;
	IndexBulkDeleteResult *stats;
	OmendbMetaPage meta;
	BlockNumber blocks; /* in the index, when last asked */
};

/* Nodes of one page whose TIDs go on in parts. */
struct Chains
{
	uint32_t count;

	struct
	{
		Address node;
		Address part;
		uint16_t generation;
	} nodes[graph::kMaxSlots];
};

static_assert(std::is_trivially_destructible_v<Sweep>);
static_assert(std::is_trivially_destructible_v<Chains>);

/*
 * Pin, lock and check a page, through VACUUM's ring of buffers. Returns the
 * locked buffer, or InvalidBuffer for a page never written.
 */
Buffer
read_page(const Sweep *sweep, BlockNumber block, int lockmode)
{
	Buffer buffer =
		ReadBufferExtended(sweep->index, MAIN_FORKNUM, block, RBM_NORMAL, sweep->strategy);

	LockBuffer(buffer, lockmode);

	Page page = BufferGetPage(buffer);
	if (PageIsNew(page))
	{
		UnlockReleaseBuffer(buffer);
		return InvalidBuffer;
	}
	const char *problem = omendb_page_problem(page, 0);
	if (problem != nullptr)
		omendb_page_damaged(sweep->index, block, problem);
	return buffer;
}

OmendbPageSpecial *
special_of(Page page)
{
	return (OmendbPageSpecial *) PageGetSpecialPointer(page);
}

bool
is_dead(const Sweep *sweep, const Tid &tid)
{
	ItemPointerData pointer;

	static_assert(sizeof(pointer) == sizeof(tid));
	memcpy(&pointer, &tid, sizeof(pointer));
	return sweep->callback(&pointer, sweep->callback_state);
}

/*
 * Ask about `count` TIDs. With apply the dead ones are removed, the last taking
 * their place; the order of TIDs means nothing. Returns how many are alive.
 */
uint32_t
sweep_tids(const Sweep *sweep, Tid *tids, uint32_t count, bool apply)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		if (is_dead(sweep, tids[i]))
			continue;
		if (apply)
			tids[kept] = tids[i];
		kept++;
	}
	if (apply)
		memset(tids + kept, 0, (count - kept) * sizeof(Tid));
	return kept;
}

/*
 * Sweep the records of a locked graph page; statistics are counted with apply,
 * or when there is nothing to apply. Returns whether the page (would) change.
 */
bool
sweep_records(Sweep *sweep, BlockNumber block, Page page, bool apply, Chains *chains)
{
	uint8_t *records = (uint8_t *) PageGetContents(page);
	uint32_t slots = special_of(page)->slots;
	bool changed = false;
	uint32_t kept_tids = 0;
	uint32_t removed = 0;

	if (slots > sweep->meta.slots)
		omendb_page_damaged(sweep->index, block, "number of slots is out of range");
	chains->count = 0;
	for (uint32_t slot = 0; slot < slots; slot++)
	{
		RecordHeader *h = graph::header(records + slot * sweep->meta.slot_bytes);

		if (h->level != 0 || h->state == (uint8_t) State::Free)
			continue;
		if (h->tid_count > graph::kInlineTids)
			omendb_page_damaged(sweep->index, block, "number of TIDs is out of range");
		uint32_t kept = sweep_tids(sweep, h->tids, h->tid_count, apply);
		bool dies = kept == 0 && h->overflow == kNoAddress && h->state == (uint8_t) State::Live;
		removed += h->tid_count - kept;
		kept_tids += kept;
		changed |= dies || kept != h->tid_count;
		if (h->overflow != kNoAddress)
		{
			auto *chain = &chains->nodes[chains->count++];
			chain->node = graph::make_address(block, slot);
			chain->part = h->overflow;
			chain->generation = h->generation;
		}
		if (!apply)
			continue;
		h->tid_count = (uint8_t) kept;
		if (dies)
			h->state = (uint8_t) State::Dead;
	}
	if (apply || !changed)
	{
		sweep->stats->num_index_tuples += kept_tids;
		sweep->stats->tuples_removed += removed;
	}
	return changed;
}

/* Step 1 for all records of a page. Returns with no lock held. */
void
sweep_graph_page(Sweep *sweep, BlockNumber block, Buffer buffer, Chains *chains)
{
	bool changed = sweep_records(sweep, block, BufferGetPage(buffer), false, chains);

	if (changed)
	{
		/* Rows may have come in between, so ask again. */
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);

		GenericXLogState *xlog = GenericXLogStart(sweep->index);
		Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
		if (sweep_records(sweep, block, page, true, chains))
			GenericXLogFinish(xlog);
		else
			GenericXLogAbort(xlog);
	}
	UnlockReleaseBuffer(buffer);
}

/* The part at an address of a checked overflow page; ERROR when there is none. */
OmendbTidPart *
part_at(const Sweep *sweep, Page page, Address address)
{
	uint32_t slot = graph::address_slot(address);

	if (special_of(page)->kind != OMENDB_PAGE_OVERFLOW || slot >= special_of(page)->slots)
		omendb_page_damaged(sweep->index, graph::address_block(address),
							"no TID part where a chain leads");
	OmendbTidPart *part = (OmendbTidPart *) PageGetContents(page) + slot;
	if (part->count > OMENDB_PART_TIDS)
		omendb_page_damaged(sweep->index, graph::address_block(address),
							"number of TIDs is out of range");
	return part;
}

/* Pin, lock and check the page of a part. An address out of range is the fault of node's page. */
Buffer
read_part_page(Sweep *sweep, Address node, Address address)
{
	BlockNumber block = graph::address_block(address);

	if (block >= sweep->blocks)
		sweep->blocks = RelationGetNumberOfBlocks(sweep->index);
	if (block >= sweep->blocks)
		omendb_page_damaged(sweep->index, graph::address_block(node),
							"chain of TIDs leaves the index");
	Buffer buffer = read_page(sweep, block, BUFFER_LOCK_SHARE);
	if (!BufferIsValid(buffer))
		omendb_page_damaged(sweep->index, block, "page is empty");
	return buffer;
}

/* Whether the part belongs to the node; it does not once the node's slot is reused. */
bool
belongs(const OmendbTidPart *part, Address node, uint16_t generation)
{
	return part->owner == node && part->generation == generation;
}

/* What sweeping the parts of a chain on one page found. */
struct Run
{
	Address next; /* first part on another page, or kNoAddress */
	uint32_t kept;
	uint32_t removed;
	uint32_t parts;
};

/*
 * Sweep the parts of a chain from `first` as long as they stay on its page.
 * page is locked. A part of another owner ends the chain.
 */
Run
sweep_run(const Sweep *sweep, Page page, Address node, uint16_t generation, Address first,
		  bool apply)
{
	BlockNumber block = graph::address_block(first);
	Run run = {first, 0, 0, 0};

	while (run.next != kNoAddress && graph::address_block(run.next) == block)
	{
		OmendbTidPart *part = part_at(sweep, page, run.next);
		if (!belongs(part, node, generation))
		{
			run.next = kNoAddress;
			break;
		}
		if (++run.parts > OMENDB_PARTS_PER_PAGE)
			omendb_page_damaged(sweep->index, block, "chain of TIDs is a circle");
		/* Tid has the alignment of uint16_t, as the array has. */
		uint32_t kept = sweep_tids(sweep, (Tid *) (void *) part->tids, part->count, apply);
		run.kept += kept;
		run.removed += part->count - kept;
		if (apply)
			part->count = (uint16_t) kept;
		run.next = part->next;
	}
	return run;
}

/* Step 2 for the parts on one page. Returns with no lock held. */
Run
sweep_part_page(Sweep *sweep, Address node, uint16_t generation, Address first)
{
	Buffer buffer = read_part_page(sweep, node, first);
	Run run = sweep_run(sweep, BufferGetPage(buffer), node, generation, first, false);

	if (run.removed > 0)
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);

		GenericXLogState *xlog = GenericXLogStart(sweep->index);
		Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
		run = sweep_run(sweep, page, node, generation, first, true);
		if (run.removed > 0)
			GenericXLogFinish(xlog);
		else
			GenericXLogAbort(xlog);
	}
	UnlockReleaseBuffer(buffer);
	sweep->stats->num_index_tuples += run.kept;
	sweep->stats->tuples_removed += run.removed;
	return run;
}

/*
 * A chain longer than all overflow pages can hold is a circle. Counts pages
 * visited, which may repeat, since a chain may return to a page.
 */
void
check_chain_length(Sweep *sweep, Address node, uint64_t visits)
{
	if (visits > (uint64_t) sweep->blocks * OMENDB_PARTS_PER_PAGE)
		omendb_page_damaged(sweep->index, graph::address_block(node), "chain of TIDs is a circle");
}

/* Whether no part of the chain holds a TID. The record is locked by the caller. */
bool
chain_is_empty(Sweep *sweep, Address node, uint16_t generation, Address part)
{
	for (uint64_t visits = 0; part != kNoAddress; visits++)
	{
		check_chain_length(sweep, node, visits);
		Buffer buffer = read_part_page(sweep, node, part);
		const OmendbTidPart *p = part_at(sweep, BufferGetPage(buffer), part);
		bool mine = belongs(p, node, generation);
		bool empty = p->count == 0;
		Address next = p->next;
		UnlockReleaseBuffer(buffer);
		if (!mine)
			return true;
		if (!empty)
			return false;
		part = next;
	}
	return true;
}

/* Step 3: mark the node Dead if it is still the same one and has no TID anywhere. */
void
bury_node(Sweep *sweep, Address node, uint16_t generation)
{
	BlockNumber block = graph::address_block(node);
	Buffer buffer = read_page(sweep, block, BUFFER_LOCK_EXCLUSIVE);

	if (!BufferIsValid(buffer))
		return;
	uint8_t *records = (uint8_t *) PageGetContents(BufferGetPage(buffer));
	Size at = graph::address_slot(node) * sweep->meta.slot_bytes;
	const RecordHeader *h = graph::header((const uint8_t *) records + at);

	if (h->state == (uint8_t) State::Live && h->generation == generation && h->tid_count == 0 &&
		chain_is_empty(sweep, node, generation, h->overflow))
	{
		GenericXLogState *xlog = GenericXLogStart(sweep->index);
		Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
		uint8_t *copy = (uint8_t *) PageGetContents(page) + at;
		graph::header(copy)->state = (uint8_t) State::Dead;
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
}

/* Steps 2 and 3 for the nodes of one page that have parts. No lock is held. */
void
sweep_chains(Sweep *sweep, const Chains *chains)
{
	for (uint32_t i = 0; i < chains->count; i++)
	{
		Address node = chains->nodes[i].node;
		Address part = chains->nodes[i].part;
		uint16_t generation = chains->nodes[i].generation;
		uint64_t kept = 0;

		for (uint64_t visits = 0; part != kNoAddress; visits++)
		{
			omendb_vacuum_delay_point();
			check_chain_length(sweep, node, visits);
			Run run = sweep_part_page(sweep, node, generation, part);
			kept += run.kept;
			part = run.next;
		}
		if (kept == 0)
			bury_node(sweep, node, generation);
	}
}

void
sweep_block(Sweep *sweep, BlockNumber block)
{
	Chains chains;

	omendb_vacuum_delay_point();
	Buffer buffer = read_page(sweep, block, BUFFER_LOCK_SHARE);
	if (!BufferIsValid(buffer))
		return;
	if (special_of(BufferGetPage(buffer))->kind != OMENDB_PAGE_GRAPH)
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	sweep_graph_page(sweep, block, buffer, &chains);
	sweep_chains(sweep, &chains);
}

} // namespace

} // namespace omendb

void
omendb_vacuum_tids(IndexVacuumInfo *info, IndexBulkDeleteCallback callback, void *callback_state,
				   IndexBulkDeleteResult *stats)
{
	omendb::Sweep sweep;

	sweep.index = info->index;
	sweep.strategy = info->strategy;
	sweep.callback = callback;
	sweep.callback_state = callback_state;
	sweep.stats = stats;
	omendb_read_meta(info->index, &sweep.meta);

	/* Exact as of this pass, unlike tuples_removed, which adds up over passes. */
	stats->num_index_tuples = 0;
	stats->estimated_count = false;
	/*
	 * A page added behind our back holds only rows that are not dead yet, but
	 * CREATE INDEX CONCURRENTLY wants them all.
	 */
	BlockNumber block = OMENDB_META_BLOCK + 1;
	do
	{
		sweep.blocks = RelationGetNumberOfBlocks(info->index);
		for (; block < sweep.blocks; block++)
			omendb::sweep_block(&sweep, block);
	} while (block < RelationGetNumberOfBlocks(info->index));
	stats->num_pages = sweep.blocks;
}
