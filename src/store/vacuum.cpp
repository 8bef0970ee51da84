/*
 * vacuum.cpp - one bulk delete.
 *
 *   1 sweep   (vacuum_sweep.cpp)   dead TIDs go, nodes without any become dead
 *   2 above   (vacuum_repair.cpp)  their records on the levels above, a dead entry point
 *   3 repair  (vacuum_repair.cpp)  the tree and the lists lose their links to them;
 *                                  the entry point
 *   4 free    (vacuum_free.cpp)    their slots can be used again
 *   5 values  (vacuum_values.cpp)  so can chunks that no record owns
 *
 * src/README, VACUUM, has the protocol, and what lies between two WAL records.
 *
 * Memory: a bit a slot of the index, once more while the tree is repaired; 12
 * bytes a record above level 0; 4 bytes a page of values; the stack of the tree's
 * repair, at most 4 bytes a dead node; copies of records (record_cache.hpp), a quarter
 * of the maintenance memory, or twice what the records take.
 */
#include "store/vacuum_state.hpp"

extern "C"
{
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "utils/memutils.h"
}

namespace omendb::store::vacuum
{

Buffer
read_page(const Vacuum *vacuum, BlockNumber block, int lockmode)
{
	Buffer buffer =
		ReadBufferExtended(vacuum->index, MAIN_FORKNUM, block, RBM_NORMAL, vacuum->strategy);

	LockBuffer(buffer, lockmode);

	Page page = BufferGetPage(buffer);
	if (PageIsNew(page))
	{
		UnlockReleaseBuffer(buffer);
		return InvalidBuffer;
	}
	const char *problem = omendb_page_problem(page, 0);
	if (problem == nullptr && special_of(page)->kind == OMENDB_PAGE_GRAPH &&
		special_of(page)->slots > vacuum->shape.slots)
		problem = "number of slots is out of range";
	if (problem != nullptr)
		omendb_page_damaged(vacuum->index, block, problem);
	return buffer;
}

Buffer
read_graph_page(const Vacuum *vacuum, BlockNumber block, int lockmode)
{
	Buffer buffer = read_page(vacuum, block, lockmode);

	if (!BufferIsValid(buffer) || special_of(BufferGetPage(buffer))->kind == OMENDB_PAGE_GRAPH)
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

bool
copy_record(Vacuum *vacuum, Address address, uint8_t *copy, Size bytes)
{
	BlockNumber block = address_block(address);
	uint32_t slot = address_slot(address);

	if (!block_exists(vacuum, block))
		return false;
	Buffer buffer = read_graph_page(vacuum, block, BUFFER_LOCK_SHARE);
	if (!BufferIsValid(buffer))
		return false;
	Page page = BufferGetPage(buffer);
	bool there = slot < special_of(page)->slots;
	if (there)
		memcpy(copy, record_at(vacuum, page, slot), bytes);
	UnlockReleaseBuffer(buffer);
	if (there && (graph::header(copy)->state > (uint8_t) State::Dead ||
				  graph::header(copy)->level > OMENDB_MAX_LEVEL))
		omendb_page_damaged(vacuum->index, block, "record header out of range");
	return there;
}

graph::ChunkHeader *
lock_chunk(Vacuum *vacuum, Address address, int lockmode, Buffer *buffer)
{
	BlockNumber block = address_block(address);
	uint32_t slot = address_slot(address);

	if (!block_exists(vacuum, block) || slot >= vacuum->shape.chunks)
		return nullptr;
	*buffer = read_page(vacuum, block, lockmode);
	if (!BufferIsValid(*buffer))
		return nullptr;
	Page page = BufferGetPage(*buffer);
	const OmendbPageSpecial *special = special_of(page);
	if (special->kind == OMENDB_PAGE_VALUES && slot < special->slots &&
		special->slots <= vacuum->shape.chunks)
		return (graph::ChunkHeader *) (void *) (PageGetContents(page) +
												slot * vacuum->shape.chunk_bytes);
	UnlockReleaseBuffer(*buffer);
	return nullptr;
}

namespace
{

/* Chunks of a record behind what of its value is there; up to `most` bytes in all. */
bool
copy_chunks(Vacuum *vacuum, Address owner, const RecordHeader &h, uint8_t *value)
{
	uint32_t at = vacuum->shape.value_room;
	uint32_t most = quant::stored_bytes(vacuum->shape.storage, vacuum->shape.dim);

	for (Address next = h.rest; next != 0 && at < most;)
	{
		Buffer buffer;
		const graph::ChunkHeader *chunk = lock_chunk(vacuum, next, BUFFER_LOCK_SHARE, &buffer);
		if (chunk == nullptr)
			return false;
		uint32_t length = chunk->length;
		bool ours = chunk->owner == owner && chunk->generation == h.generation && length > 0 &&
					length <= vacuum->shape.chunk_bytes - sizeof(*chunk) && length <= most - at;
		if (ours)
		{
			memcpy(value + at, chunk + 1, length);
			at += length;
			next = chunk->next;
		}
		UnlockReleaseBuffer(buffer);
		if (!ours)
			return false;
	}
	return at >= quant::stored_size(vacuum->space, value);
}

} // namespace

bool
copy_wide(Vacuum *vacuum, Address address, uint8_t *copy, Size bytes)
{
	const graph::Shape &shape = vacuum->shape;
	const graph::Shape &wide = vacuum->wide;

	if (shape.chunks == 0)
		return copy_record(vacuum, address, copy, bytes);
	if (!copy_record(vacuum, address, vacuum->slot, shape.slot_bytes))
		return false;
	memcpy(copy, vacuum->slot, shape.neighbours_at);
	if (bytes > wide.neighbours_at)
		memcpy(copy + wide.neighbours_at, vacuum->slot + shape.neighbours_at,
			   shape.slot_bytes - shape.neighbours_at);
	return copy_chunks(vacuum, address, *graph::header((const uint8_t *) vacuum->slot),
					   copy + wide.vector_at);
}

void
record_space(Vacuum *vacuum, BlockNumber block, uint32_t count, Size bytes)
{
	/*
	 * The map counts in steps of 32 bytes, rounding space down and requests up: what
	 * is to be found by a request for one thing is rounded up.
	 */
	constexpr Size kStep = 32;
	Size rounded = (bytes + kStep - 1) / kStep * kStep;

	RecordPageWithFreeSpace(vacuum->index, block, std::min<Size>(count * rounded, BLCKSZ - 1));
	vacuum->space_recorded = true;
}

uint32_t
free_slots(const Vacuum *vacuum, Page page)
{
	uint32_t slots = special_of(page)->slots;
	uint32_t count = vacuum->shape.slots - slots;

	for (uint32_t slot = 0; slot < slots; slot++)
	{
		const RecordHeader *h = graph::header(record_at(vacuum, page, slot));
		count += h->state == (uint8_t) State::Free;
	}
	return count;
}

bool
has_free_part(Page page)
{
	const OmendbTidPart *parts = (const OmendbTidPart *) (const void *) PageGetContents(page);

	for (uint32_t i = 0; i < special_of(page)->slots; i++)
	{
		if (parts[i].owner == OMENDB_NO_ADDRESS)
			return true;
	}
	return false;
}

OmendbTidPart *
part_at(const Vacuum *vacuum, Page page, Address address)
{
	uint32_t slot = address_slot(address);

	if (special_of(page)->kind != OMENDB_PAGE_OVERFLOW || slot >= special_of(page)->slots)
		omendb_page_damaged(vacuum->index, address_block(address),
							"no TID part where a chain leads");
	OmendbTidPart *part = (OmendbTidPart *) PageGetContents(page) + slot;
	if (part->count > OMENDB_PART_TIDS)
		omendb_page_damaged(vacuum->index, address_block(address),
							"number of TIDs is out of range");
	return part;
}

Buffer
read_part_page(Vacuum *vacuum, Address node, Address address, int lockmode)
{
	BlockNumber block = address_block(address);

	if (!block_exists(vacuum, block))
		omendb_page_damaged(vacuum->index, address_block(node), "chain of TIDs leaves the index");
	Buffer buffer = read_page(vacuum, block, lockmode);
	if (!BufferIsValid(buffer))
		omendb_page_damaged(vacuum->index, block, "page is empty");
	return buffer;
}

namespace
{

void
run(Vacuum *vacuum)
{
	bool damaged;

	sweep(vacuum);
	OMENDB_FAULT(vacuum_swept);
	damaged = vacuum->dead.count() > 0;
	if (damaged)
	{
		mark_above(vacuum);
		repair(vacuum);
		OMENDB_FAULT(vacuum_linked);
	}
	raise_entry(vacuum);
	if (damaged)
		free_dead(vacuum);
	free_lost_chunks(vacuum);
	relink_thin(vacuum);
	if (vacuum->space_recorded)
		IndexFreeSpaceMapVacuum(vacuum->index);
}

} // namespace

} // namespace omendb::store::vacuum

void
omendb_bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteCallback callback, void *callback_state,
				   IndexBulkDeleteResult *stats)
{
	using omendb::store::vacuum::Vacuum;

	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw vacuum", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Vacuum *vacuum = (Vacuum *) palloc0(sizeof(Vacuum));

	vacuum->index = info->index;
	vacuum->strategy = info->strategy;
	vacuum->callback = callback;
	vacuum->callback_state = callback_state;
	vacuum->stats = stats;
	vacuum->context = context;
	vacuum->memory = omendb::store::memory_in(context);
	omendb_read_meta(info->index, &vacuum->meta);
	vacuum->shape = omendb::store::shape_of(vacuum->meta);
	vacuum->wide = omendb::graph::wide_shape(vacuum->shape);
	vacuum->slot = (uint8_t *) palloc(vacuum->shape.slot_bytes);
	vacuum->space = omendb::store::space_of(vacuum->meta, nullptr, nullptr);
	vacuum->dead.init(&vacuum->memory, vacuum->shape.slots);
	vacuum->thin.init(&vacuum->memory, vacuum->shape.slots);
	vacuum->above.init(&vacuum->memory);
	vacuum->values.init(&vacuum->memory);
	omendb::store::vacuum::run(vacuum);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
