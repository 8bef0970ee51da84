/*
 * check_state.hpp - what the files of check.cpp share: the state of a check,
 * reporting, and copies of pages and records.
 *
 * Private to them.
 */
#ifndef OMENDB_STORE_CHECK_STATE_HPP
#define OMENDB_STORE_CHECK_STATE_HPP

#include "pg/postgres.hpp"

extern "C"
{
#include "storage/bufmgr.h"
#include "storage/bufpage.h"

#include "store/check.h"
}

#include "graph/record.hpp"
#include "quant/code.hpp"

namespace omendb::store::check
{

using graph::Address;
using graph::address_block;
using graph::address_slot;
using graph::kNoAddress;
using graph::make_address;
using graph::RecordHeader;
using graph::Shape;
using graph::State;
using graph::Tid;
using quant::LaneCode;

/* What pass 1 found in a slot. */
struct Slot
{
	uint8_t state : 2;
	uint8_t level : 3;
	uint8_t present : 1; /* on a readable graph page */
	uint8_t reached : 1; /* by the walk of its level */
	uint8_t in_tree : 1; /* reached from the root by protected links */
};

/* A protected link of level 0. */
struct TreeEdge
{
	Address parent;
	Address child;
};

/* A TID as a number that sorts like it, and the node that has it. */
struct TidEntry
{
	uint64_t tid;
	Address node;
};

} // namespace omendb::store::check

struct OmendbCheck
{
	Relation index;
	Relation heap;
	OmendbReportFinding report;
	void *report_state;
	bool stopped; /* no more findings wanted */
	bool usable;  /* the meta page and the parameters are */

	MemoryContext context;
	BufferAccessStrategy strategy;
	BlockNumber blocks;
	OmendbMetaPage meta;
	omendb::graph::Shape shape;
	omendb::quant::Space space;

	/* by slot number: block * shape.slots + slot */
	uint64_t slot_count;
	omendb::store::check::Slot *slots;

	/* by parent, as pass 2 met them */
	omendb::store::check::TreeEdge *edges;
	uint64_t edge_count;
	uint64_t edge_capacity;

	omendb::store::check::TidEntry *tids;
	uint64_t tid_count;
	uint64_t tid_capacity;

	uint64_t nodes[OMENDB_MAX_LEVEL + 1]; /* records by level */
	uint64_t dead[OMENDB_MAX_LEVEL + 1];  /* of them */
	uint64_t live_nodes;                  /* of level 0 */
	uint64_t chained_parts;
	uint64_t owned_parts;
	uint64_t chained_chunks;
	uint64_t owned_chunks;
	uint64_t sampled_lanes;
	uint64_t wrong_lanes;
	BlockNumber first_wrong; /* block of the first record with a wrong lane */
	uint64_t stale_links;
	BlockNumber first_stale;

	/* scratch */
	uint8_t *page;
	uint8_t *record;
	uint8_t *value; /* stored_bytes and a chunk */
	float *vector;
	float *other;
	omendb::quant::LaneCode *code;
	omendb::quant::LaneCode *stored_code;
};

static_assert(std::is_trivially_destructible_v<OmendbCheck>);

namespace omendb::store::check
{

/* ---- check.cpp ---- */

/* Report, unless no more findings are wanted. block is -1 when there is none. */
void finding(OmendbCheck *check, const char *severity, const char *invariant, int64 block,
			 const char *format, ...) pg_attribute_printf(5, 6);

/* Zeroed memory of any size, from the current context. */
void *allocate(size_t count, size_t size);

/* Copy a block; returns what is wrong with the copy, or NULL. */
const char *copy_page(OmendbCheck *check, BlockNumber block, BufferAccessStrategy strategy,
					  uint8_t *copy);

/* Copy one record, out of its page under share lock; false if it is not there. */
bool copy_record(OmendbCheck *check, Address address, uint8_t *copy);

/* Entry point and root as they are now; false, with a finding, when that cannot be read. */
bool refresh_meta(OmendbCheck *check);

/*
 * V1: copy the rest of a record's value, from its chunks, behind its beginning in
 * check->value; false if it is not there.
 */
bool copy_rest(OmendbCheck *check, Address owner, const RecordHeader *h);

/* ---- check_graph.cpp: pass 2, T1, R1 ---- */

void second_pass(OmendbCheck *check);
void check_tree(OmendbCheck *check);
/* M1 and R1: from the entry point down. */
void walk_levels(OmendbCheck *check);

/* ---- check_tids.cpp: the rest of S1, O1, H1 ---- */

/* S1 and O1: the TIDs of a node on level 0; remembers them. */
void check_tids(OmendbCheck *check, Address address, const RecordHeader *h);
/* H1: sorts the TIDs, so that rows can be looked up. */
void check_tid_range(OmendbCheck *check);

/* ---- pages, addresses, slots ---- */

inline OmendbPageSpecial *
special_of(uint8_t *page)
{
	return (OmendbPageSpecial *) PageGetSpecialPointer((Page) page);
}

inline uint8_t *
contents_of(uint8_t *page)
{
	return (uint8_t *) PageGetContents((Page) page);
}

inline uint64_t
slot_number(const OmendbCheck *check, Address address)
{
	return (uint64_t) address_block(address) * check->shape.slots + address_slot(address);
}

/* Whether an address points into the index at all; all use of it comes after this. */
inline bool
in_range(const OmendbCheck *check, Address address)
{
	return address != kNoAddress && address_block(address) != OMENDB_META_BLOCK &&
		   address_block(address) < check->blocks && address_slot(address) < check->shape.slots;
}

/* What pass 1 saw at an address; an absent slot when it is out of range. */
inline Slot
slot_at(const OmendbCheck *check, Address address)
{
	return in_range(check, address) ? check->slots[slot_number(check, address)] : Slot{};
}

inline bool
is_free(Slot slot)
{
	return !slot.present || slot.state == (uint8_t) State::Free;
}

inline bool
lane_is_protected(const OmendbCheck *check, const uint8_t *record, uint32_t lane)
{
	uint32_t mask = graph::protected_mask(check->shape, record)[lane / OMENDB_LANES];

	return (mask >> (lane % OMENDB_LANES) & 1) != 0;
}

} // namespace omendb::store::check

#endif
