/*
 * vacuum_free.cpp - step 4: the slots of dead records become free.
 *
 * No list and no protected link of a record that is not dead leads to them any
 * more. Records above go before their base, so that none is left that leads down
 * to a free slot; the parts of a node's TIDs go before its record, the oldest
 * first, so that the chain leads to all that are left. A freed slot has another
 * generation: whoever remembers its address sees that it is not the same node.
 */
#include "graph/rehang-inl.hpp"
#include "store/vacuum_state.hpp"

namespace omendb::store::vacuum
{

namespace
{

/* ---- parts ---- */

/* The chain of a dead node, newest part first. */
void
collect_parts(Vacuum *vacuum, Address node, uint16_t generation, Address first,
			  Array<Address> *parts)
{
	Address part = first;

	parts->size = 0;
	while (part != kNoAddress)
	{
		check_chain_length(vacuum, node, parts->size);
		(void) parts->push(part);
		Buffer buffer = read_part_page(vacuum, node, part, BUFFER_LOCK_SHARE);
		const OmendbTidPart *p = part_at(vacuum, BufferGetPage(buffer), part);
		bool mine = belongs(p, node, generation);
		Address next = p->next;
		UnlockReleaseBuffer(buffer);
		if (!mine)
		{
			parts->size--;
			return;
		}
		part = next;
		omendb_vacuum_delay_point();
	}
}

/*
 * Free parts, which lie on one page, of the node of that generation. One WAL
 * record.
 */
void
free_run(Vacuum *vacuum, Address node, uint16_t generation, const Address *parts, size_t count)
{
	Buffer buffer = read_part_page(vacuum, node, parts[0], BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);

	for (size_t i = 0; i < count; i++)
	{
		OmendbTidPart *part = part_at(vacuum, page, parts[i]);
		/* A chain in a circle has freed it before. */
		if (!belongs(part, node, generation))
			continue;
		memset(part, 0, sizeof(*part));
		part->owner = part->next = OMENDB_NO_ADDRESS;
	}
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	OMENDB_FAULT(vacuum_freed_parts);
	record_space(vacuum, address_block(parts[0]), 1, sizeof(OmendbTidPart));
}

void
free_parts(Vacuum *vacuum, Address node, uint16_t generation, Address first, Array<Address> *parts)
{
	collect_parts(vacuum, node, generation, first, parts);
	for (size_t end = parts->size; end > 0;)
	{
		size_t from = end - 1;
		while (from > 0 && address_block((*parts)[from - 1]) == address_block((*parts)[end - 1]))
			from--;
		omendb_vacuum_delay_point();
		free_run(vacuum, node, generation, parts->data + from, end - from);
		end = from;
	}
}

/* ---- records ---- */

bool
is_ours(const Vacuum *vacuum, Page page, BlockNumber block, uint32_t slot, bool base)
{
	const RecordHeader *h = graph::header(record_at(vacuum, page, slot));

	return h->state == (uint8_t) State::Dead && (h->level == 0) == base &&
		   vacuum->dead.test(make_address(block, slot));
}

/* The parts of all dead nodes of a page. */
void
free_parts_of_page(Vacuum *vacuum, BlockNumber block, Buffer buffer, Array<Address> *parts)
{
	for (uint32_t slot = 0; slot < vacuum->shape.slots; slot++)
	{
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		Page page = BufferGetPage(buffer);
		bool chained = slot < special_of(page)->slots && is_ours(vacuum, page, block, slot, true);
		uint16_t generation = 0;
		Address first = kNoAddress;
		if (chained)
		{
			const RecordHeader *h = graph::header(record_at(vacuum, page, slot));
			generation = h->generation;
			first = h->overflow;
		}
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		if (first != kNoAddress)
			free_parts(vacuum, make_address(block, slot), generation, first, parts);
	}
}

/* The chunks of all dead records of a page. */
void
free_chunks_of_page(Vacuum *vacuum, BlockNumber block, Buffer buffer, bool base,
					Array<Address> *chunks)
{
	for (uint32_t slot = 0; slot < vacuum->shape.slots; slot++)
	{
		uint16_t generation = 0;
		Address first = 0;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		Page page = BufferGetPage(buffer);
		if (slot < special_of(page)->slots && is_ours(vacuum, page, block, slot, base))
		{
			const RecordHeader *h = graph::header(record_at(vacuum, page, slot));
			generation = h->generation;
			first = h->rest;
		}
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		free_chunks(vacuum, make_address(block, slot), generation, first, chunks);
	}
}

/* The dead records of a page on level 0 (base) or above: one WAL record. */
void
free_page(Vacuum *vacuum, BlockNumber block, bool base, Array<Address> *parts)
{
	uint32_t freed = 0;

	omendb_vacuum_delay_point();
	Buffer buffer = read_graph_page(vacuum, block, BUFFER_LOCK_SHARE);
	if (!BufferIsValid(buffer))
		return;
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (base)
		free_parts_of_page(vacuum, block, buffer, parts);
	if (vacuum->shape.chunks > 0)
		free_chunks_of_page(vacuum, block, buffer, base, parts);

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	for (uint32_t slot = 0; slot < special_of(page)->slots; slot++)
	{
		if (!is_ours(vacuum, page, block, slot, base))
			continue;
		vacuum->extra_chunks += chunks_of(vacuum, record_at(vacuum, page, slot));
		graph::free_record(vacuum->shape, record_at(vacuum, page, slot));
		freed++;
	}
	uint32_t room = free_slots(vacuum, page);
	if (freed > 0)
		GenericXLogFinish(xlog);
	else
		GenericXLogAbort(xlog);
	UnlockReleaseBuffer(buffer);
	if (freed == 0)
		return;
	OMENDB_FAULT(vacuum_freed);
	record_space(vacuum, block, room, vacuum->shape.slot_bytes);
}

} // namespace

void
free_dead(Vacuum *vacuum)
{
	Array<Address> parts;
	BlockNumber last = InvalidBlockNumber;

	parts.init(&vacuum->memory);
	/* In the order of the sweep, so of blocks. */
	for (size_t i = 0; i < vacuum->above.size; i++)
	{
		Address address = vacuum->above[i].address;
		if (address_block(address) == last || !vacuum->dead.test(address))
			continue;
		last = address_block(address);
		free_page(vacuum, last, false, &parts);
	}
	for (BlockNumber block = 0; block < vacuum->dead.blocks(); block++)
	{
		if (vacuum->dead.touches(block))
			free_page(vacuum, block, true, &parts);
	}
}

} // namespace omendb::store::vacuum
