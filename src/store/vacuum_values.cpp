/*
 * vacuum_values.cpp - the chunks of values that do not fit their records.
 *
 * A dead record's chunks are freed before its slot, the last first, so that it leads to
 * all that are left. An insertion that failed leaves chunks that no record leads to: its
 * record was linking, and `rest` is written with all else. They are looked for when the
 * sweep counted more chunks than its records have, page by page of values: a chunk is
 * lost when its owner's slot is free, or was used again, or when its owner is live and
 * its value has other chunks.
 *
 * None of an insertion under way is lost: its linking record, of the generation that its
 * chunks name, is written before them, and nobody frees a slot but VACUUM, when the
 * row's transaction has ended.
 */
#include "quant/value.hpp"
#include "store/vacuum_state.hpp"

namespace omendb::store::vacuum
{

namespace
{

using graph::ChunkHeader;

ChunkHeader *
chunk_at(const Vacuum *vacuum, Page page, uint32_t slot)
{
	return (ChunkHeader *) (void *) (PageGetContents(page) + slot * vacuum->shape.chunk_bytes);
}

/* Chunks of a page that a chunk's address may lead to. */
uint32_t
chunks_on(const Vacuum *vacuum, Page page)
{
	return std::min<uint32_t>(special_of(page)->slots, vacuum->shape.chunks);
}

bool
belongs_to(const ChunkHeader *chunk, Address owner, uint16_t generation)
{
	return chunk->owner == owner && chunk->generation == generation;
}

/* Chunks that a value can have at most. */
uint32_t
most_chunks(const Vacuum *vacuum)
{
	uint32_t room = vacuum->shape.chunk_bytes - (uint32_t) sizeof(ChunkHeader);

	return quant::stored_bytes(vacuum->shape.storage, vacuum->shape.dim) / room + 1;
}

/* The chunks of a record from `first` on, in order; one of another owner ends them. */
void
collect_chunks(Vacuum *vacuum, Address owner, uint16_t generation, Address first,
			   Array<Address> *chunks)
{
	uint32_t most = most_chunks(vacuum);

	chunks->size = 0;
	(void) chunks->reserve(most);
	for (Address next = first; next != 0 && chunks->size < most;)
	{
		Buffer buffer;
		const ChunkHeader *chunk = lock_chunk(vacuum, next, BUFFER_LOCK_SHARE, &buffer);
		if (chunk == nullptr)
			return;
		if (belongs_to(chunk, owner, generation))
		{
			(void) chunks->push(next);
			next = chunk->next;
		}
		else
			next = 0;
		UnlockReleaseBuffer(buffer);
	}
}

/*
 * Free chunks of one page, a bit a slot, that still have the owners they had when
 * `before`, a copy of the page, was made. One WAL record. Returns how many.
 */
uint32_t
free_chunks_on(Vacuum *vacuum, BlockNumber block, uint64_t slots, uint8_t *before)
{
	uint32_t freed = 0;
	Buffer buffer = read_page(vacuum, block, BUFFER_LOCK_EXCLUSIVE);

	if (!BufferIsValid(buffer))
		return 0;
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	for (uint32_t slot = 0; slot < chunks_on(vacuum, page); slot++)
	{
		const ChunkHeader *old = chunk_at(vacuum, (Page) before, slot);
		ChunkHeader *chunk = chunk_at(vacuum, page, slot);
		if ((slots >> slot & 1) == 0 || !belongs_to(chunk, old->owner, old->generation))
			continue;
		memset(chunk, 0, sizeof(*chunk));
		chunk->owner = kNoAddress;
		freed++;
	}
	if (freed > 0)
		GenericXLogFinish(xlog);
	else
		GenericXLogAbort(xlog);
	UnlockReleaseBuffer(buffer);
	if (freed > 0)
		record_space(vacuum, block, 1, vacuum->shape.chunk_bytes);
	return freed;
}

/* Copy a page of values under share lock; false: it is none. */
bool
copy_values_page(Vacuum *vacuum, BlockNumber block, uint8_t *copy)
{
	Buffer buffer = read_page(vacuum, block, BUFFER_LOCK_SHARE);

	if (!BufferIsValid(buffer))
		return false;
	memcpy(copy, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	return special_of((Page) copy)->kind == OMENDB_PAGE_VALUES;
}

/* Which chunks of a block may be an owner's: a bit a slot. */
uint64_t
owned_slots(Vacuum *vacuum, Address owner, uint16_t generation, BlockNumber block,
			Array<Address> *chunks)
{
	RecordHeader h;
	uint64_t slots = 0;

	if (!copy_record(vacuum, owner, (uint8_t *) &h, sizeof(h)) ||
		h.state == (uint8_t) State::Free || h.generation != generation)
		return 0;
	/* On its way in, or not yet freed. */
	if (h.state != (uint8_t) State::Live)
		return UINT64_MAX;
	collect_chunks(vacuum, owner, generation, h.rest, chunks);
	for (size_t i = 0; i < chunks->size; i++)
	{
		if (address_block((*chunks)[i]) == block)
			slots |= (uint64_t) 1 << address_slot((*chunks)[i]);
	}
	return slots;
}

/* The chunks of a copied page that nobody owns. Those of one owner follow each other, mostly. */
uint64_t
lost_slots(Vacuum *vacuum, BlockNumber block, uint8_t *copy, Array<Address> *chunks)
{
	uint64_t lost = 0, owned = 0;
	const ChunkHeader *last = nullptr;

	for (uint32_t slot = 0; slot < chunks_on(vacuum, (Page) copy); slot++)
	{
		const ChunkHeader *chunk = chunk_at(vacuum, (Page) copy, slot);
		if (chunk->owner == kNoAddress)
			continue;
		if (last == nullptr || !belongs_to(chunk, last->owner, last->generation))
		{
			omendb_vacuum_delay_point();
			owned = owned_slots(vacuum, chunk->owner, chunk->generation, block, chunks);
			last = chunk;
		}
		lost |= ~owned & (uint64_t) 1 << slot;
	}
	return lost;
}

} // namespace

uint32_t
chunks_of(const Vacuum *vacuum, const uint8_t *record)
{
	uint32_t room = vacuum->shape.chunk_bytes - (uint32_t) sizeof(ChunkHeader);

	if (vacuum->shape.chunks == 0 || graph::header(record)->rest == 0)
		return 0;
	uint32_t size = quant::stored_size(vacuum->space, graph::vector_of(vacuum->shape, record));
	return size > vacuum->shape.value_room ? (size - vacuum->shape.value_room + room - 1) / room
										   : 0;
}

bool
sweep_values_page(Vacuum *vacuum, BlockNumber block, Page page)
{
	uint32_t slots = chunks_on(vacuum, page);
	uint32_t owned = 0;

	for (uint32_t slot = 0; slot < slots; slot++)
		owned += chunk_at(vacuum, page, slot)->owner != kNoAddress;
	if (owned > 0)
		(void) vacuum->values.push(block);
	vacuum->extra_chunks += owned;
	return owned < slots;
}

void
free_chunks(Vacuum *vacuum, Address owner, uint16_t generation, Address first,
			Array<Address> *chunks)
{
	PGAlignedBlock copy;

	if (first == 0)
		return;
	collect_chunks(vacuum, owner, generation, first, chunks);
	for (size_t end = chunks->size; end > 0;)
	{
		BlockNumber block = address_block((*chunks)[end - 1]);
		uint64_t slots = 0;

		omendb_vacuum_delay_point();
		while (end > 0 && address_block((*chunks)[end - 1]) == block)
			slots |= (uint64_t) 1 << address_slot((*chunks)[--end]);
		if (!copy_values_page(vacuum, block, (uint8_t *) copy.data))
			return;
		vacuum->extra_chunks -= free_chunks_on(vacuum, block, slots, (uint8_t *) copy.data);
		OMENDB_FAULT(vacuum_freed_rest);
	}
}

void
free_lost_chunks(Vacuum *vacuum)
{
	PGAlignedBlock copy;
	Array<Address> chunks;

	if (vacuum->extra_chunks <= 0)
		return;
	chunks.init(&vacuum->memory);
	for (size_t i = 0; i < vacuum->values.size; i++)
	{
		BlockNumber block = vacuum->values[i];
		omendb_vacuum_delay_point();
		if (!copy_values_page(vacuum, block, (uint8_t *) copy.data))
			continue;
		uint64_t lost = lost_slots(vacuum, block, (uint8_t *) copy.data, &chunks);
		if (lost != 0 && free_chunks_on(vacuum, block, lost, (uint8_t *) copy.data) > 0)
			OMENDB_FAULT(vacuum_freed_lost);
	}
}

} // namespace omendb::store::vacuum
