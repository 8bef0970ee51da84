/*
 * vacuum_state.hpp - what the files of vacuum.cpp share: the state of one bulk
 * delete, and pages through VACUUM's ring of buffers.
 *
 * Private to them.
 */
#ifndef OMENDB_STORE_VACUUM_STATE_HPP
#define OMENDB_STORE_VACUUM_STATE_HPP

#include "pg/postgres.hpp"

extern "C"
{
#include "access/genam.h"
#include "access/generic_xlog.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"

#include "store/fault.h"
#include "store/pages.h"
#include "store/vacuum.h"
}

#include "graph/slot_set.hpp"
#include "graph/store.hpp"
#include "quant/value.hpp"
#include "store/context_memory.hpp"
#include "store/shape.hpp"

namespace omendb::store::vacuum
{

using graph::Address;
using graph::address_block;
using graph::address_slot;
using graph::kNoAddress;
using graph::make_address;
using graph::RecordHeader;
using graph::State;
using graph::Tid;

/* A record of a level above 0, to be known as dead when its base is. */
struct AboveRecord
{
	Address address;
	Address down;
	uint16_t level;
	bool live; /* it was; neither dead nor linking */
};

/* One bulk delete. */
struct Vacuum
{
	Relation index;
	BufferAccessStrategy strategy;
	IndexBulkDeleteCallback callback;
	void *callback_state;
	IndexBulkDeleteResult *stats;

	MemoryContext context; /* of all that follows */
	Memory memory;         /* in it */
	OmendbMetaPage meta;
	graph::Shape shape;
	graph::Shape wide;  /* of records with all of their values */
	uint8_t *slot;      /* slot_bytes */
	quant::Space space; /* without mean and signs */
	BlockNumber blocks; /* in the index, when last asked */

	graph::SlotSet dead;       /* records of all levels */
	graph::SlotSet thin;       /* records whose lists step 3 could not fill */
	Array<AboveRecord> above;  /* all of them, dead or not */
	graph::EntryPoint highest; /* live record that step 3 met, above level 0 */
	bool space_recorded;       /* in the free space map */

	Array<BlockNumber> values; /* pages with chunks that have owners */
	int64_t extra_chunks;      /* of these, less those that records have */
};

static_assert(std::is_trivially_destructible_v<Vacuum>);

/*
 * Pin, lock and check a page. Returns the locked buffer, or InvalidBuffer for a
 * page never written.
 */
Buffer read_page(const Vacuum *vacuum, BlockNumber block, int lockmode);

/* The same where only a graph page will do; InvalidBuffer for another kind, too. */
Buffer read_graph_page(const Vacuum *vacuum, BlockNumber block, int lockmode);

/* Copy the first bytes of a record as it is now; false when the address leads to none. */
bool copy_record(Vacuum *vacuum, Address address, uint8_t *copy, Size bytes);

/*
 * The same in the shape vacuum->wide: of a value that continues in chunks all of it.
 * False also when a chunk is not the record's.
 */
bool copy_wide(Vacuum *vacuum, Address address, uint8_t *copy, Size bytes);

/* The chunk at an address, on a page pinned and locked in *buffer; NULL: there is none. */
graph::ChunkHeader *lock_chunk(Vacuum *vacuum, Address address, int lockmode, Buffer *buffer);

/*
 * Tell the free space map that a page has room for so many things of that size.
 * Nothing is locked.
 */
void record_space(Vacuum *vacuum, BlockNumber block, uint32_t count, Size bytes);

/* Records that a graph page has room for: free slots, and those it does not have yet. */
uint32_t free_slots(const Vacuum *vacuum, Page page);

/* Whether a page of parts has a free one. */
bool has_free_part(Page page);

/* Steps 1 to 4 (vacuum.cpp). */
void sweep(Vacuum *vacuum);
void mark_above(Vacuum *vacuum);
void repair(Vacuum *vacuum);
/* The entry point becomes the highest record that was met, if it lies below it. */
void raise_entry(Vacuum *vacuum);
void free_dead(Vacuum *vacuum);
/* Step 5 (vacuum_values.cpp): chunks that no record owns, if there can be any. */
void free_lost_chunks(Vacuum *vacuum);
/* Step 6 (vacuum_relink.cpp): new neighbours for thin lists. */
void relink_thin(Vacuum *vacuum);

/* Chunks of a record whose `rest` is set. */
uint32_t chunks_of(const Vacuum *vacuum, const uint8_t *record);
/*
 * Count the chunks of a locked page that have owners; vacuum->values has room.
 * Returns whether there are others.
 */
bool sweep_values_page(Vacuum *vacuum, BlockNumber block, Page page);
/* The chunks of a dead record, one WAL record a page; a chunk of another owner ends them. */
void free_chunks(Vacuum *vacuum, Address owner, uint16_t generation, Address first,
				 Array<Address> *chunks);

inline OmendbPageSpecial *
special_of(Page page)
{
	return (OmendbPageSpecial *) PageGetSpecialPointer(page);
}

/* The record of a slot of a graph page. */
inline uint8_t *
record_at(const Vacuum *vacuum, Page page, uint32_t slot)
{
	return (uint8_t *) PageGetContents(page) + slot * vacuum->shape.slot_bytes;
}

/* Whether a block that something points to exists. */
inline bool
block_exists(Vacuum *vacuum, BlockNumber block)
{
	if (block >= vacuum->blocks && block != address_block(kNoAddress))
		vacuum->blocks = RelationGetNumberOfBlocks(vacuum->index);
	return block < vacuum->blocks;
}

/* The part at an address of a checked page; ERROR when there is none. */
OmendbTidPart *part_at(const Vacuum *vacuum, Page page, Address address);

/* Pin, lock and check the page of a part. An address out of range is the fault of node's page. */
Buffer read_part_page(Vacuum *vacuum, Address node, Address address, int lockmode);

/* Whether the part belongs to the node; it does not once the node's slot is reused. */
inline bool
belongs(const OmendbTidPart *part, Address node, uint16_t generation)
{
	return part->owner == node && part->generation == generation;
}

/*
 * ERROR for a chain longer than all overflow pages can hold: a circle. visits
 * counts pages, which may repeat, since a chain may return to a page.
 */
inline void
check_chain_length(Vacuum *vacuum, Address node, uint64_t visits)
{
	if (visits > (uint64_t) vacuum->blocks * OMENDB_PARTS_PER_PAGE)
		omendb_page_damaged(vacuum->index, address_block(node), "chain of TIDs is a circle");
}

} // namespace omendb::store::vacuum

#endif
