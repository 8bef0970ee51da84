/*
 * vacuum_sweep.cpp - step 1: dropping the TIDs of dead rows.
 *
 * One pass over the pages in physical order. A graph page is looked at under a
 * share lock; only if it would change, it is looked at again under an
 * exclusive lock and changed in one WAL record. TIDs that did not fit their
 * record lie in parts on overflow pages; they are reached through the chain
 * that starts in the record, never by reading overflow pages as such: a part
 * that no chain leads to is stale, and its TIDs are not in the index.
 *
 * Steps for a node, each of them one WAL record on one page:
 *   a. its TIDs in the record; without a chain and without TIDs left the node
 *      becomes dead in the same step
 *   b. the TIDs of its parts, one page of parts at a time
 *   c. if record and parts are all empty: dead, under the record's lock
 * A crash between any two leaves a node with fewer TIDs or none, which a
 * scan passes through without returning it and the next VACUUM marks.
 *
 * A linking node has its TID from its first byte on, and VACUUM drops a TID only
 * when its transaction has ended: without TIDs it was left by an insertion that
 * failed, and becomes dead as well.
 *
 * Locks: one content lock at a time, except in step c: record, then one part
 * after the other under share lock. Whoever adds a TID to a chain locks the
 * record first, so an empty chain stays empty while the record is locked.
 */
#include "store/vacuum_state.hpp"

namespace omendb::store::vacuum
{

namespace
{

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

static_assert(std::is_trivially_destructible_v<Chains>);

bool
is_dead(const Vacuum *vacuum, const Tid &tid)
{
	ItemPointerData pointer;

	static_assert(sizeof(pointer) == sizeof(tid));
	memcpy(&pointer, &tid, sizeof(pointer));
	return vacuum->callback(&pointer, vacuum->callback_state);
}

/*
 * Ask about `count` TIDs. With apply the dead ones are removed, the last taking
 * their place; the order of TIDs means nothing. Returns how many are alive.
 */
uint32_t
sweep_tids(const Vacuum *vacuum, Tid *tids, uint32_t count, bool apply)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
	{
		if (is_dead(vacuum, tids[i]))
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
sweep_records(Vacuum *vacuum, BlockNumber block, Page page, bool apply, Chains *chains)
{
	uint8_t *records = (uint8_t *) PageGetContents(page);
	uint32_t slots = special_of(page)->slots;
	bool changed = false;
	uint32_t kept_tids = 0;
	uint32_t removed = 0;

	chains->count = 0;
	for (uint32_t slot = 0; slot < slots; slot++)
	{
		RecordHeader *h = graph::header(records + slot * vacuum->shape.slot_bytes);

		if (h->level != 0 || h->state == (uint8_t) State::Free)
			continue;
		if (h->tid_count > graph::kInlineTids)
			omendb_page_damaged(vacuum->index, block, "number of TIDs is out of range");
		uint32_t kept = sweep_tids(vacuum, h->tids, h->tid_count, apply);
		bool dies = kept == 0 && h->overflow == kNoAddress && h->state != (uint8_t) State::Dead;
		removed += h->tid_count - kept;
		kept_tids += kept;
		changed |= dies || kept != h->tid_count;
		if (h->overflow != kNoAddress)
		{
			auto *chain = &chains->nodes[chains->count++];
			chain->node = make_address(block, slot);
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
		vacuum->stats->num_index_tuples += kept_tids;
		vacuum->stats->tuples_removed += removed;
	}
	return changed;
}

/*
 * Remember the dead, and the records above. The page is locked, and `above` has
 * room.
 */
void
note_records(Vacuum *vacuum, BlockNumber block, Page page)
{
	for (uint32_t slot = 0; slot < special_of(page)->slots; slot++)
	{
		const RecordHeader *h = graph::header(record_at(vacuum, page, slot));
		Address address = make_address(block, slot);

		if (h->state > (uint8_t) State::Dead || h->level > OMENDB_MAX_LEVEL)
			omendb_page_damaged(vacuum->index, block, "record header out of range");
		if (h->state == (uint8_t) State::Free)
			continue;
		if (h->level > 0)
			(void) vacuum->above.push(
				AboveRecord{address, h->down, h->level, h->state == (uint8_t) State::Live});
		if (h->state == (uint8_t) State::Dead)
			(void) vacuum->dead.add(address);
		vacuum->extra_chunks -= chunks_of(vacuum, record_at(vacuum, page, slot));
	}
}

/* Step a for all records of a page. Returns with no lock held. */
void
sweep_graph_page(Vacuum *vacuum, BlockNumber block, Buffer buffer, Chains *chains)
{
	bool changed = sweep_records(vacuum, block, BufferGetPage(buffer), false, chains);

	if (changed)
	{
		/* Rows may have come in between, so ask again. */
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);

		GenericXLogState *xlog = GenericXLogStart(vacuum->index);
		Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
		if (sweep_records(vacuum, block, page, true, chains))
			GenericXLogFinish(xlog);
		else
			GenericXLogAbort(xlog);
	}
	note_records(vacuum, block, BufferGetPage(buffer));
	uint32_t room = free_slots(vacuum, BufferGetPage(buffer));
	UnlockReleaseBuffer(buffer);
	if (changed)
		OMENDB_FAULT(vacuum_swept_page);
	if (room > 0)
		record_space(vacuum, block, room, vacuum->shape.slot_bytes);
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
sweep_run(const Vacuum *vacuum, Page page, Address node, uint16_t generation, Address first,
		  bool apply)
{
	BlockNumber block = address_block(first);
	Run run = {first, 0, 0, 0};

	while (run.next != kNoAddress && address_block(run.next) == block)
	{
		OmendbTidPart *part = part_at(vacuum, page, run.next);
		if (!belongs(part, node, generation))
		{
			run.next = kNoAddress;
			break;
		}
		if (++run.parts > OMENDB_PARTS_PER_PAGE)
			omendb_page_damaged(vacuum->index, block, "chain of TIDs is a circle");
		/* Tid has the alignment of uint16_t, as the array has. */
		uint32_t kept = sweep_tids(vacuum, (Tid *) (void *) part->tids, part->count, apply);
		run.kept += kept;
		run.removed += part->count - kept;
		if (apply)
			part->count = (uint16_t) kept;
		run.next = part->next;
	}
	return run;
}

/* Step b for the parts on one page. Returns with no lock held. */
Run
sweep_part_page(Vacuum *vacuum, Address node, uint16_t generation, Address first)
{
	Buffer buffer = read_part_page(vacuum, node, first, BUFFER_LOCK_SHARE);
	Run run = sweep_run(vacuum, BufferGetPage(buffer), node, generation, first, false);

	if (run.removed > 0)
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);

		GenericXLogState *xlog = GenericXLogStart(vacuum->index);
		Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
		run = sweep_run(vacuum, page, node, generation, first, true);
		if (run.removed > 0)
			GenericXLogFinish(xlog);
		else
			GenericXLogAbort(xlog);
	}
	UnlockReleaseBuffer(buffer);
	if (run.removed > 0)
		OMENDB_FAULT(vacuum_swept_parts);
	vacuum->stats->num_index_tuples += run.kept;
	vacuum->stats->tuples_removed += run.removed;
	return run;
}

/* Whether no part of the chain holds a TID. The record is locked by the caller. */
bool
chain_is_empty(Vacuum *vacuum, Address node, uint16_t generation, Address part)
{
	for (uint64_t visits = 0; part != kNoAddress; visits++)
	{
		check_chain_length(vacuum, node, visits);
		Buffer buffer = read_part_page(vacuum, node, part, BUFFER_LOCK_SHARE);
		const OmendbTidPart *p = part_at(vacuum, BufferGetPage(buffer), part);
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

/* Step c: mark the node dead if it is still the same one and has no TID anywhere. */
void
bury_node(Vacuum *vacuum, Address node, uint16_t generation)
{
	BlockNumber block = address_block(node);
	Buffer buffer = read_page(vacuum, block, BUFFER_LOCK_EXCLUSIVE);

	if (!BufferIsValid(buffer))
		return;
	uint8_t *records = (uint8_t *) PageGetContents(BufferGetPage(buffer));
	Size at = address_slot(node) * vacuum->shape.slot_bytes;
	const RecordHeader *h = graph::header((const uint8_t *) records + at);

	bool stays = h->state == (uint8_t) State::Live || h->state == (uint8_t) State::Linking;
	if (stays && h->generation == generation && h->tid_count == 0 &&
		chain_is_empty(vacuum, node, generation, h->overflow))
	{
		GenericXLogState *xlog = GenericXLogStart(vacuum->index);
		Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
		uint8_t *copy = (uint8_t *) PageGetContents(page) + at;
		graph::header(copy)->state = (uint8_t) State::Dead;
		GenericXLogFinish(xlog);
		(void) vacuum->dead.add(node);
	}
	UnlockReleaseBuffer(buffer);
	if (vacuum->dead.test(node))
		OMENDB_FAULT(vacuum_buried);
}

/* Steps b and c for the nodes of one page that have parts. No lock is held. */
void
sweep_chains(Vacuum *vacuum, const Chains *chains)
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
			check_chain_length(vacuum, node, visits);
			Run run = sweep_part_page(vacuum, node, generation, part);
			kept += run.kept;
			part = run.next;
		}
		if (kept == 0)
			bury_node(vacuum, node, generation);
	}
}

/* A page of parts or values: whether it has room. Returns with no lock held. */
void
sweep_other_page(Vacuum *vacuum, BlockNumber block, Buffer buffer)
{
	Page page = BufferGetPage(buffer);
	uint16_t kind = special_of(page)->kind;
	bool parts = kind == OMENDB_PAGE_OVERFLOW && has_free_part(page);
	bool chunks = kind == OMENDB_PAGE_VALUES && sweep_values_page(vacuum, block, page);

	UnlockReleaseBuffer(buffer);
	if (parts)
		record_space(vacuum, block, 1, sizeof(OmendbTidPart));
	if (chunks)
		record_space(vacuum, block, 1, vacuum->shape.chunk_bytes);
}

void
sweep_block(Vacuum *vacuum, BlockNumber block)
{
	Chains chains;

	omendb_vacuum_delay_point();
	/* Never fails: it raises an error. */
	(void) vacuum->above.reserve(vacuum->above.size + graph::kMaxSlots);
	(void) vacuum->values.reserve(vacuum->values.size + 1);
	Buffer buffer = read_page(vacuum, block, BUFFER_LOCK_SHARE);
	if (!BufferIsValid(buffer))
	{
		/* Extended, and never written: a new page for who asks for space. */
		record_space(vacuum, block, vacuum->shape.slots, vacuum->shape.slot_bytes);
		return;
	}
	if (special_of(BufferGetPage(buffer))->kind != OMENDB_PAGE_GRAPH)
	{
		sweep_other_page(vacuum, block, buffer);
		return;
	}
	sweep_graph_page(vacuum, block, buffer, &chains);
	sweep_chains(vacuum, &chains);
}

} // namespace

void
sweep(Vacuum *vacuum)
{
	/* Exact as of this pass, unlike tuples_removed, which adds up over passes. */
	vacuum->stats->num_index_tuples = 0;
	vacuum->stats->estimated_count = false;
	/*
	 * A page added behind our back holds only rows that are not dead yet, but
	 * CREATE INDEX CONCURRENTLY wants them all.
	 */
	BlockNumber block = OMENDB_META_BLOCK + 1;
	BlockNumber end;
	do
	{
		end = RelationGetNumberOfBlocks(vacuum->index);
		vacuum->blocks = end;
		(void) vacuum->dead.grow(end);
		for (; block < end; block++)
			sweep_block(vacuum, block);
	} while (end < RelationGetNumberOfBlocks(vacuum->index));
	vacuum->stats->num_pages = end;
}

} // namespace omendb::store::vacuum
