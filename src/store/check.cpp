/*
 * check.cpp - does an index keep its promises?
 *
 * Two passes over the pages in physical order, then memory only, then a walk
 * over the levels:
 *
 *   pass 1  pages (P1), slots and states (S1), lists (L1), vectors (C2),
 *           chains of TID parts (O1); remembers state and level of every slot
 *           and every TID
 *   pass 2  links against what pass 1 saw (L2), records of a node on two
 *           levels (L3), the protected tree's links, a sample of codes (C1)
 *   T1      every node on level 0 is reached from the root by protected links,
 *           exactly once
 *   H1      TIDs are in range and unique
 *   R1      an ordinary search could reach every node of level 0, and all but a
 *           few of those above, where nothing promises it
 *   H2      on request, row by row: the index has it, within its residual
 *
 * ERROR means rows can be missing or answers wrong; WARN means worse recall or
 * wasted space. Pages are copied to private memory under one share lock;
 * nothing on them is believed before it was checked. A VACUUM that runs at the
 * same time only removes TIDs and marks nodes Dead, which breaks none of this.
 *
 * Memory: 6 bytes a slot, 4 more for the walk, 16 a TID.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "access/htup_details.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/memutils.h"

#include "store/check.h"
#include "store/pages.h"
}

#include "graph/record.hpp"
#include "quant/code.hpp"
#include "store/shape.hpp"

using omendb::graph::Address;
using omendb::graph::address_block;
using omendb::graph::address_slot;
using omendb::graph::kNoAddress;
using omendb::graph::make_address;
using omendb::graph::RecordHeader;
using omendb::graph::Shape;
using omendb::graph::State;
using omendb::graph::Tid;
using omendb::quant::LaneCode;

namespace
{

/* Codes are compared for about this many records. */
constexpr uint64_t kSampledRecords = 1000;

/* What pass 1 found in a slot. */
struct Slot
{
	uint8_t state : 2;
	uint8_t level : 3;
	uint8_t present : 1; /* on a readable graph page */
	uint8_t reached : 1; /* by the walk of its level */
	uint8_t unused : 1;
};

/* Where a slot stands in the protected tree. */
enum class Mark : uint8_t
{
	Unknown = 0,
	OnPath,
	Reached,
	Lost
};

/* A TID as a number that sorts like it, and the node that has it. */
struct TidEntry
{
	uint64_t tid;
	Address node;
};

} // namespace

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
	Shape shape;
	omendb::quant::Space space;

	/* by slot number: block * shape.slots + slot */
	uint64_t slot_count;
	Slot *slots;
	Mark *marks;
	Address *parents;

	TidEntry *tids;
	uint64_t tid_count;
	uint64_t tid_capacity;

	uint64_t nodes[OMENDB_MAX_LEVEL + 1]; /* records by level */
	uint64_t chained_parts;
	uint64_t owned_parts;
	uint64_t sampled_lanes;
	uint64_t wrong_lanes;

	/* scratch */
	uint8_t *page;
	uint8_t *record;
	float *vector;
	float *other;
	LaneCode *code;
	LaneCode *stored_code;
};

static_assert(std::is_trivially_destructible_v<OmendbCheck>);

namespace
{

void finding(OmendbCheck *check, const char *severity, const char *invariant, int64 block,
			 const char *format, ...) pg_attribute_printf(5, 6);

void
finding(OmendbCheck *check, const char *severity, const char *invariant, int64 block,
		const char *format, ...)
{
	char detail[256];
	va_list arguments;

	if (check->stopped)
		return;
	va_start(arguments, format);
	vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	check->stopped = !check->report(check->report_state, severity, invariant, block, detail);
}

void *
allocate(size_t count, size_t size)
{
	return palloc_extended(mul_size(count, size), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* Copy a block; returns what is wrong with the copy, or NULL. */
const char *
copy_page(OmendbCheck *check, BlockNumber block, BufferAccessStrategy strategy, uint8_t *copy)
{
	CHECK_FOR_INTERRUPTS();
	Buffer buffer = ReadBufferExtended(check->index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(copy, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	return omendb_page_problem((Page) copy, 0);
}

OmendbPageSpecial *
special_of(uint8_t *page)
{
	return (OmendbPageSpecial *) PageGetSpecialPointer((Page) page);
}

uint8_t *
contents_of(uint8_t *page)
{
	return (uint8_t *) PageGetContents((Page) page);
}

uint64_t
slot_number(const OmendbCheck *check, Address address)
{
	return (uint64_t) address_block(address) * check->shape.slots + address_slot(address);
}

/* Whether an address points into the index at all; all use of it comes after this. */
bool
in_range(const OmendbCheck *check, Address address)
{
	return address != kNoAddress && address_block(address) != OMENDB_META_BLOCK &&
		   address_block(address) < check->blocks && address_slot(address) < check->shape.slots;
}

/* What pass 1 saw at an address; an absent slot when it is out of range. */
Slot
slot_at(const OmendbCheck *check, Address address)
{
	static const Slot absent = {};

	return in_range(check, address) ? check->slots[slot_number(check, address)] : absent;
}

bool
is_free(Slot slot)
{
	return !slot.present || slot.state == (uint8_t) State::Free;
}

/* Copy one record, out of its page under share lock; false if it is not there. */
bool
copy_record(OmendbCheck *check, Address address, uint8_t *copy)
{
	if (!in_range(check, address))
		return false;
	CHECK_FOR_INTERRUPTS();

	Buffer buffer = ReadBuffer(check->index, address_block(address));
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	uint8_t *page = (uint8_t *) BufferGetPage(buffer);
	bool there = omendb_page_problem((Page) page, OMENDB_PAGE_GRAPH) == nullptr &&
				 address_slot(address) < special_of(page)->slots;
	if (there)
		memcpy(copy, contents_of(page) + address_slot(address) * check->shape.slot_bytes,
			   check->shape.slot_bytes);
	UnlockReleaseBuffer(buffer);
	return there;
}

/* ---- TIDs ---- */

uint64_t
tid_number(const Tid &tid)
{
	return (uint64_t) tid.block_high << 32 | (uint64_t) tid.block_low << 16 | tid.offset;
}

void
remember_tids(OmendbCheck *check, Address node, const Tid *tids, uint32_t count)
{
	if (check->tid_count + count > check->tid_capacity)
	{
		check->tid_capacity = std::max<uint64_t>(check->tid_capacity * 2, 1024);
		check->tids = (TidEntry *) repalloc_huge(check->tids,
												 mul_size(check->tid_capacity, sizeof(TidEntry)));
	}
	for (uint32_t i = 0; i < count; i++)
		check->tids[check->tid_count++] = {tid_number(tids[i]), node};
}

/* Copy one part; false with a finding if there is none. */
bool
copy_part(OmendbCheck *check, Address node, Address address, OmendbTidPart *part)
{
	BlockNumber block = address_block(address);
	bool there = false;

	CHECK_FOR_INTERRUPTS();
	if (block < check->blocks)
	{
		Buffer buffer = ReadBuffer(check->index, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		uint8_t *page = (uint8_t *) BufferGetPage(buffer);
		there = omendb_page_problem((Page) page, OMENDB_PAGE_OVERFLOW) == nullptr &&
				address_slot(address) < special_of(page)->slots;
		if (there)
			memcpy(part, (OmendbTidPart *) (void *) contents_of(page) + address_slot(address),
				   sizeof(*part));
		UnlockReleaseBuffer(buffer);
	}
	if (!there)
		finding(check, "ERROR", "O1", address_block(node),
				"chain of slot %u leads to block %u, part %u, where there is none",
				address_slot(node), block, address_slot(address));
	return there;
}

/* Follow the chain of a node and remember its TIDs. Returns how many there are. */
uint64_t
check_chain(OmendbCheck *check, Address node, const RecordHeader *h)
{
	uint64_t limit = (uint64_t) check->blocks * OMENDB_PARTS_PER_PAGE;
	uint64_t count = 0;
	uint64_t parts = 0;
	OmendbTidPart part;

	for (Address next = h->overflow; next != kNoAddress && !check->stopped; next = part.next)
	{
		if (++parts > limit)
		{
			finding(check, "ERROR", "O1", address_block(node), "chain of slot %u is a circle",
					address_slot(node));
			break;
		}
		if (!copy_part(check, node, next, &part))
			break;
		if (part.owner != node || part.generation != h->generation)
		{
			finding(check, "ERROR", "O1", address_block(node),
					"chain of slot %u leads to a part of another node", address_slot(node));
			break;
		}
		if (part.count > OMENDB_PART_TIDS)
		{
			finding(check, "ERROR", "O1", address_block(next), "part %u claims %u TIDs",
					address_slot(next), part.count);
			break;
		}
		remember_tids(check, node, (const Tid *) (const void *) part.tids, part.count);
		count += part.count;
		check->chained_parts++;
	}
	return count;
}

/* ---- pass 1: what a record says by itself ---- */

/* S1: the header. Returns false when the rest of the record means nothing. */
bool
check_header(OmendbCheck *check, Address address, const RecordHeader *h)
{
	BlockNumber block = address_block(address);
	uint32_t slot = address_slot(address);

	if (h->state > (uint8_t) State::Dead || h->level > OMENDB_MAX_LEVEL)
	{
		finding(check, "ERROR", "S1", block, "slot %u has state %u and level %u", slot, h->state,
				h->level);
		return false;
	}
	if (h->tid_count > omendb::graph::kInlineTids ||
		(h->tid_count > 0 && (h->level > 0 || h->state == (uint8_t) State::Free)))
	{
		finding(check, "ERROR", "S1", block, "slot %u has %u TIDs in state %u on level %u", slot,
				h->tid_count, h->state, h->level);
		return false;
	}
	if (h->state == (uint8_t) State::Free)
		return true;
	if (h->lock != 0)
		finding(check, "WARN", "S1", block, "slot %u has the lock of a build", slot);
	if ((h->level == 0) != (h->down == kNoAddress))
		finding(check, "ERROR", "S1", block, "slot %u on level %u has the wrong link down", slot,
				h->level);
	if (h->level > 0 && h->overflow != kNoAddress)
		finding(check, "ERROR", "S1", block, "slot %u on level %u has a chain of TIDs", slot,
				h->level);
	return true;
}

/* S1: the TIDs of a node on level 0. */
void
check_tids(OmendbCheck *check, Address address, const RecordHeader *h)
{
	uint64_t count = h->tid_count + check_chain(check, address, h);

	remember_tids(check, address, h->tids, h->tid_count);
	if (h->state == (uint8_t) State::Live && count == 0)
		finding(check, "WARN", "S1", address_block(address), "slot %u is live without a TID",
				address_slot(address));
	if (h->state == (uint8_t) State::Dead && count > 0)
		finding(check, "ERROR", "S1", address_block(address),
				"slot %u is dead with " UINT64_FORMAT " TIDs", address_slot(address), count);
}

/* C2: a vector of numbers, with the norm it claims. */
void
check_vector(OmendbCheck *check, Address address, const uint8_t *record)
{
	const RecordHeader *h = omendb::graph::header(record);
	double sum = 0;

	omendb::quant::load_vector(check->space, omendb::graph::vector_of(check->shape, record),
							   h->scale, check->vector);
	for (uint32_t i = 0; i < check->shape.dim; i++)
		sum += (double) check->vector[i] * check->vector[i];
	if (!std::isfinite(sum) || !std::isfinite(h->scale))
		finding(check, "ERROR", "C2", address_block(address), "vector of slot %u is not finite",
				address_slot(address));
	/* A norm beyond float32 is stored as infinity. */
	else if (std::isnan(h->self_dot) ||
			 (std::isfinite(h->self_dot) &&
			  std::fabs(sum - h->self_dot) > 1e-4 * std::max(sum, (double) h->self_dot) + 1e-30))
		finding(check, "ERROR", "C2", address_block(address),
				"slot %u has squared norm %g but stores %g", address_slot(address), sum,
				h->self_dot);
	if (std::isnan(h->residual) || h->residual < 0)
		finding(check, "ERROR", "C2", address_block(address), "slot %u has residual %g",
				address_slot(address), h->residual);
}

/* The add factor of a lane (quant/code.hpp: the first section of a block). */
float
lane_add(const OmendbCheck *check, const uint8_t *block, uint32_t lane)
{
	uint32_t bits = 0;

	if (omendb::quant::factors_are_wide(check->space))
		memcpy(&bits, block + 4 * lane, 4);
	else
	{
		uint16_t half;
		memcpy(&half, block + 2 * lane, 2);
		bits = (uint32_t) half << 16;
	}

	float add;
	memcpy(&add, &bits, sizeof(add));
	return add;
}

/* L1: one lane. earlier: the lanes before it. */
void
check_lane(OmendbCheck *check, Address address, const uint8_t *record, uint32_t lane)
{
	const uint32_t *links = omendb::graph::neighbours(check->shape, record);
	const uint8_t *codes = omendb::graph::code_block(check->shape, record, lane / OMENDB_LANES);
	uint32_t within = lane % OMENDB_LANES;
	float add = lane_add(check, codes, within);
	float mul = omendb::quant::lane_mul(check->space, codes, within);
	BlockNumber block = address_block(address);
	uint32_t slot = address_slot(address);

	if (links[lane] == kNoAddress)
	{
		if (std::isfinite(add) || mul != 0)
			finding(check, "WARN", "L1", block, "slot %u has factors in empty lane %u", slot, lane);
		return;
	}
	if (lane >= check->shape.max_links)
		finding(check, "ERROR", "L1", block, "slot %u has a link in unused lane %u", slot, lane);
	if (!in_range(check, links[lane]))
		finding(check, "ERROR", "L1", block, "slot %u has address %u in lane %u, outside the index",
				slot, links[lane], lane);
	else if (links[lane] == address)
		finding(check, "ERROR", "L1", block, "slot %u has itself in lane %u", slot, lane);
	if (!std::isfinite(add) || !std::isfinite(mul))
		finding(check, "WARN", "L1", block, "slot %u has factors %g and %g in lane %u", slot, add,
				mul, lane);
	for (uint32_t i = 0; i < lane; i++)
	{
		if (links[i] == links[lane])
			finding(check, "WARN", "L1", block, "slot %u has the same neighbour in lanes %u and %u",
					slot, i, lane);
	}
}

bool
lane_is_protected(const OmendbCheck *check, const uint8_t *record, uint32_t lane)
{
	uint32_t mask = omendb::graph::protected_mask(check->shape, record)[lane / OMENDB_LANES];

	return (mask >> (lane % OMENDB_LANES) & 1) != 0;
}

/* L1: the list of a record that is not free. */
void
check_list(OmendbCheck *check, Address address, const uint8_t *record)
{
	const uint32_t *links = omendb::graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;
	uint32_t protected_lanes = 0;

	for (uint32_t lane = 0; lane < lanes && !check->stopped; lane++)
	{
		check_lane(check, address, record, lane);
		if (!lane_is_protected(check, record, lane))
			continue;
		protected_lanes++;
		if (links[lane] == kNoAddress)
			finding(check, "ERROR", "L1", address_block(address), "slot %u protects empty lane %u",
					address_slot(address), lane);
	}
	if (protected_lanes > check->shape.max_links / 2 + 2)
		finding(check, "WARN", "T1", address_block(address), "slot %u protects %u of its links",
				address_slot(address), protected_lanes);
}

void
check_graph_page(OmendbCheck *check, BlockNumber block, uint8_t *page)
{
	uint32_t slots = special_of(page)->slots;
	Size used = ((PageHeader) (void *) page)->pd_lower - OMENDB_PAGE_HEADER;

	if (slots > check->shape.slots || used < (Size) slots * check->shape.slot_bytes)
	{
		finding(check, "ERROR", "P1", block, "page has %u slots in %zu bytes", slots, used);
		return;
	}
	for (uint32_t i = 0; i < slots && !check->stopped; i++)
	{
		Address address = make_address(block, i);
		const uint8_t *record = contents_of(page) + i * check->shape.slot_bytes;
		const RecordHeader *h = omendb::graph::header(record);
		if (!check_header(check, address, h))
			continue;

		Slot *slot = &check->slots[slot_number(check, address)];
		slot->present = 1;
		slot->state = h->state & 3;
		slot->level = h->level & 7;
		if (h->state == (uint8_t) State::Free)
			continue;
		check->nodes[h->level]++;
		if (h->level == 0)
			check_tids(check, address, h);
		check_vector(check, address, record);
		check_list(check, address, record);
	}
}

void
check_overflow_page(OmendbCheck *check, uint8_t *page)
{
	const OmendbTidPart *parts = (const OmendbTidPart *) (const void *) contents_of(page);

	for (uint32_t i = 0; i < special_of(page)->slots; i++)
		check->owned_parts += parts[i].owner != kNoAddress;
}

void
first_pass(OmendbCheck *check)
{
	for (BlockNumber block = OMENDB_META_BLOCK + 1; block < check->blocks && !check->stopped;
		 block++)
	{
		const char *problem = copy_page(check, block, check->strategy, check->page);
		if (PageIsNew((Page) check->page))
			continue;
		if (problem != nullptr)
		{
			finding(check, "ERROR", "P1", block, "%s", problem);
			continue;
		}
		switch (special_of(check->page)->kind)
		{
			case OMENDB_PAGE_META:
				finding(check, "ERROR", "P1", block, "there is a second meta page");
				break;
			case OMENDB_PAGE_GRAPH:
				check_graph_page(check, block, check->page);
				break;
			case OMENDB_PAGE_OVERFLOW:
				check_overflow_page(check, check->page);
				break;
			default:
				break;
		}
	}
	if (check->owned_parts > check->chained_parts && !check->stopped)
		finding(check, "WARN", "O1", -1, UINT64_FORMAT " TID parts are in no chain",
				check->owned_parts - check->chained_parts);
}

/* ---- pass 2: what records say about each other ---- */

/*
 * C1: the code in a lane against that of the neighbour's present vector. Only
 * the sign of each dimension is compared, and roughly: a build may encode the
 * row itself rather than what is stored of it, which flips small components.
 * Neighbours nearer than the stored vectors' precision say nothing.
 */
void
check_code(OmendbCheck *check, const uint8_t *record, uint32_t lane, const uint8_t *neighbour)
{
	const RecordHeader *mine = omendb::graph::header(record);
	const RecordHeader *theirs = omendb::graph::header(neighbour);
	uint32_t bytes = check->shape.code_dim / 8;
	uint32_t signs_at = (check->shape.code_bits - 1) * bytes;
	double distance2 = 0;
	uint32_t differ = 0;

	omendb::quant::load_vector(check->space, omendb::graph::vector_of(check->shape, neighbour),
							   theirs->scale, check->other);
	for (uint32_t i = 0; i < check->shape.dim; i++)
	{
		double d = (double) check->vector[i] - check->other[i];
		distance2 += d * d;
	}
	double blur = (double) mine->residual + theirs->residual;
	if (!(distance2 > 4 * blur * blur) || !(distance2 > 1e-30))
		return;

	omendb::quant::encode_lane(check->space, check->other, check->vector, check->code);
	omendb::quant::read_lane(check->space,
							 omendb::graph::code_block(check->shape, record, lane / OMENDB_LANES),
							 lane % OMENDB_LANES, check->stored_code);
	for (uint32_t i = 0; i < bytes; i++)
		differ += (uint32_t) __builtin_popcount(check->code->planes[signs_at + i] ^
												check->stored_code->planes[signs_at + i]);
	check->sampled_lanes++;
	check->wrong_lanes += differ * 4 > check->shape.code_dim;
}

/* C1 for all lanes of a record. */
void
sample_codes(OmendbCheck *check, const uint8_t *record)
{
	const uint32_t *links = omendb::graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;

	omendb::quant::load_vector(check->space, omendb::graph::vector_of(check->shape, record),
							   omendb::graph::header(record)->scale, check->vector);
	for (uint32_t lane = 0; lane < lanes; lane++)
	{
		if (links[lane] != kNoAddress && !is_free(slot_at(check, links[lane])) &&
			copy_record(check, links[lane], check->record))
			check_code(check, record, lane, check->record);
	}
}

/* L2: the links of a record; on level 0 also the protected tree's. */
void
check_links(OmendbCheck *check, Address address, const uint8_t *record)
{
	const uint32_t *links = omendb::graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;
	uint8_t level = omendb::graph::header(record)->level;
	BlockNumber block = address_block(address);

	for (uint32_t lane = 0; lane < lanes && !check->stopped; lane++)
	{
		/* What is out of range was reported by pass 1. */
		if (!in_range(check, links[lane]))
			continue;
		Slot target = slot_at(check, links[lane]);
		if (is_free(target))
		{
			finding(check, "ERROR", "L2", block, "slot %u has a link to free slot %u of block %u",
					address_slot(address), address_slot(links[lane]), address_block(links[lane]));
			continue;
		}
		if (target.level != level)
			finding(check, "ERROR", "L2", block, "slot %u on level %u has a link to level %u",
					address_slot(address), level, target.level);
		else if (level == 0 && lane_is_protected(check, record, lane))
		{
			Address *parent = &check->parents[slot_number(check, links[lane])];
			if (*parent != kNoAddress)
				finding(check, "ERROR", "T1", address_block(links[lane]),
						"slot %u has two protected links, from blocks %u and %u",
						address_slot(links[lane]), address_block(*parent), block);
			*parent = address;
		}
	}
}

/* L3: a record of an upper level leads to the same vector one level down. */
void
check_down(OmendbCheck *check, Address address, const uint8_t *record)
{
	const RecordHeader *h = omendb::graph::header(record);
	const RecordHeader *below = omendb::graph::header(check->record);
	uint32_t bytes = omendb::quant::stored_bytes(check->shape.storage, check->shape.dim);
	bool same = false;

	if (!is_free(slot_at(check, h->down)) && copy_record(check, h->down, check->record))
		same = below->level + 1 == h->level && below->scale == h->scale &&
			   memcmp(omendb::graph::vector_of(check->shape, record),
					  omendb::graph::vector_of(check->shape, check->record), bytes) == 0;
	if (!same)
		finding(check, "ERROR", "L3", address_block(address),
				"slot %u on level %u does not lead to its own node one level down",
				address_slot(address), h->level);
}

void
second_pass(OmendbCheck *check)
{
	uint64_t seen = 0;
	uint64_t every = std::max<uint64_t>(check->nodes[0] / kSampledRecords, 1);

	for (BlockNumber block = OMENDB_META_BLOCK + 1; block < check->blocks && !check->stopped;
		 block++)
	{
		const Slot *slots = &check->slots[slot_number(check, make_address(block, 0))];
		if (copy_page(check, block, check->strategy, check->page) != nullptr ||
			special_of(check->page)->kind != OMENDB_PAGE_GRAPH)
			continue;
		for (uint32_t i = 0; i < check->shape.slots && !check->stopped; i++)
		{
			if (is_free(slots[i]))
				continue;
			Address address = make_address(block, i);
			const uint8_t *record = contents_of(check->page) + i * check->shape.slot_bytes;
			check_links(check, address, record);
			if (slots[i].level > 0)
				check_down(check, address, record);
			else if (seen++ % every == 0)
				sample_codes(check, record);
		}
	}
	if (check->wrong_lanes * 50 > check->sampled_lanes)
		finding(check, "WARN", "C1", -1,
				UINT64_FORMAT " of " UINT64_FORMAT " sampled codes are not those of the neighbour",
				check->wrong_lanes, check->sampled_lanes);
}

/* ---- T1: the protected tree ---- */

/* Follow parents from a node to one whose fate is known; give all on the way the same. */
void
trace_to_root(OmendbCheck *check, Address start)
{
	Address at = start;
	Mark fate;

	for (;;)
	{
		Mark *mark = &check->marks[slot_number(check, at)];
		if (*mark != Mark::Unknown)
		{
			if (*mark == Mark::OnPath)
				finding(check, "ERROR", "T1", address_block(at),
						"protected links go in a circle through slot %u", address_slot(at));
			fate = *mark == Mark::Reached ? Mark::Reached : Mark::Lost;
			break;
		}
		*mark = Mark::OnPath;
		Address parent = check->parents[slot_number(check, at)];
		if (parent == kNoAddress)
		{
			finding(check, "ERROR", "T1", address_block(at), "slot %u has no protected link to it",
					address_slot(at));
			fate = Mark::Lost;
			break;
		}
		at = parent;
	}
	for (at = start; at != kNoAddress; at = check->parents[slot_number(check, at)])
	{
		Mark *mark = &check->marks[slot_number(check, at)];
		if (*mark != Mark::OnPath)
			break;
		*mark = fate;
	}
}

void
check_tree(OmendbCheck *check)
{
	Address root = check->meta.root;
	uint64_t lost = 0;

	if (root == kNoAddress)
	{
		if (check->nodes[0] > 0)
			finding(check, "ERROR", "M1", OMENDB_META_BLOCK,
					"there is no root but " UINT64_FORMAT " nodes", check->nodes[0]);
		return;
	}
	Slot slot = slot_at(check, root);
	if (is_free(slot) || slot.level != 0)
	{
		finding(check, "ERROR", "M1", OMENDB_META_BLOCK, "root is no node of level 0");
		return;
	}
	if (check->parents[slot_number(check, root)] != kNoAddress)
		finding(check, "ERROR", "T1", address_block(root), "there is a protected link to the root");
	check->marks[slot_number(check, root)] = Mark::Reached;

	for (uint64_t i = 0; i < check->slot_count && !check->stopped; i++)
	{
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (is_free(check->slots[i]) || check->slots[i].level != 0)
			continue;
		if (check->marks[i] == Mark::Unknown)
			trace_to_root(check, make_address((uint32_t) (i / check->shape.slots),
											  (uint32_t) (i % check->shape.slots)));
		lost += check->marks[i] != Mark::Reached;
	}
	if (lost > 0)
		finding(check, "ERROR", "T1", -1,
				UINT64_FORMAT " nodes are not reached from the root by protected links", lost);
}

/* ---- R1: what an ordinary search could reach ---- */

/* Put what a record links to into the queue; returns its new end. */
uint64_t
visit_links(OmendbCheck *check, const uint8_t *record, uint32_t level, Address *queue, uint64_t end)
{
	const uint32_t *links = omendb::graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;

	for (uint32_t lane = 0; lane < lanes; lane++)
	{
		if (!in_range(check, links[lane]))
			continue;
		Slot *slot = &check->slots[slot_number(check, links[lane])];
		if (is_free(*slot) || slot->level != level || slot->reached)
			continue;
		slot->reached = 1;
		queue[end++] = links[lane];
	}
	return end;
}

/* Breadth first over one level. start is a record of that level. */
void
walk_level(OmendbCheck *check, uint32_t level, Address start, Address *queue)
{
	uint64_t end = 0;
	uint64_t missed = 0;
	BlockNumber first_missed = InvalidBlockNumber;

	check->slots[slot_number(check, start)].reached = 1;
	queue[end++] = start;
	/* A slot enters the queue at most once, so end stays below the number of nodes. */
	for (uint64_t at = 0; at < end; at++)
	{
		if (copy_record(check, queue[at], check->record))
			end = visit_links(check, check->record, level, queue, end);
	}
	if (end >= check->nodes[level])
		return;
	for (uint64_t i = 0; i < check->slot_count; i++)
	{
		Slot slot = check->slots[i];
		if (is_free(slot) || slot.level != level || slot.reached)
			continue;
		if (missed++ == 0)
			first_missed = (BlockNumber) (i / check->shape.slots);
	}
	/*
	 * A node that search misses costs next to nothing above level 0, and on
	 * level 0 the walk over the protected tree finds it (T1); many would cost.
	 */
	if (missed <= 1 + check->nodes[level] / 50)
		return;
	finding(check, "WARN", "R1", first_missed,
			UINT64_FORMAT " of " UINT64_FORMAT
						  " nodes on level %u cannot be reached from the entry point",
			missed, check->nodes[level], level);
}

/* M1 and R1: from the entry point down. */
void
walk_levels(OmendbCheck *check)
{
	Address at = check->meta.entry;
	uint64_t largest = 0;

	for (uint32_t level = 0; level <= OMENDB_MAX_LEVEL; level++)
	{
		largest = std::max(largest, check->nodes[level]);
		if (level > check->meta.entry_level && check->nodes[level] > 0)
			finding(check, "WARN", "M1", OMENDB_META_BLOCK,
					UINT64_FORMAT " nodes lie above the entry point, on level %u",
					check->nodes[level], level);
	}
	/* check_tree() has complained about nodes without an entry point. */
	if (at == kNoAddress)
		return;
	Slot slot = slot_at(check, at);
	if (is_free(slot) || slot.level != check->meta.entry_level)
	{
		finding(check, "ERROR", "M1", OMENDB_META_BLOCK, "entry point is no node of level %u",
				check->meta.entry_level);
		return;
	}

	Address *queue = (Address *) allocate(largest + 1, sizeof(Address));
	for (uint32_t level = check->meta.entry_level; !check->stopped; level--)
	{
		walk_level(check, level, at, queue);
		if (level == 0 || !copy_record(check, at, check->record))
			break;
		at = omendb::graph::header(check->record)->down;
		slot = slot_at(check, at);
		/* Reported as L3. */
		if (is_free(slot) || slot.level != level - 1)
			break;
	}
	pfree(queue);
}

/* ---- H1 ---- */

int
compare_tids(const void *a, const void *b)
{
	uint64_t x = ((const TidEntry *) a)->tid;
	uint64_t y = ((const TidEntry *) b)->tid;

	return x < y ? -1 : x > y;
}

void
check_tid_range(OmendbCheck *check)
{
	BlockNumber heap_blocks = RelationGetNumberOfBlocks(check->heap);

	qsort(check->tids, check->tid_count, sizeof(TidEntry), compare_tids);
	for (uint64_t i = 0; i < check->tid_count && !check->stopped; i++)
	{
		const TidEntry *entry = &check->tids[i];
		uint32_t block = (uint32_t) (entry->tid >> 16);
		uint32_t offset = (uint32_t) (entry->tid & 0xFFFF);
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (block >= heap_blocks || offset == 0 || offset > MaxHeapTuplesPerPage)
			finding(check, "ERROR", "H1", address_block(entry->node),
					"slot %u has TID (%u,%u), outside the table", address_slot(entry->node), block,
					offset);
		if (i > 0 && entry->tid == check->tids[i - 1].tid)
			finding(check, "ERROR", "H1", address_block(entry->node),
					"TID (%u,%u) is in slot %u and in slot %u of block %u", block, offset,
					address_slot(entry->node), address_slot(check->tids[i - 1].node),
					address_block(check->tids[i - 1].node));
	}
}

/* ---- setting up ---- */

/* The mean, without the ERRORs of omendb_read_mean(). */
bool
load_mean(OmendbCheck *check, float *mean)
{
	for (uint32_t i = 0; check->meta.sampled > 0 && i < check->meta.parameter_blocks; i++)
	{
		uint64_t block = (uint64_t) check->meta.parameters_block + i;
		uint32_t first = i * OMENDB_MEAN_PER_PAGE;
		uint32_t count = std::min<uint32_t>(check->meta.input_dim - first, OMENDB_MEAN_PER_PAGE);
		if (block >= check->blocks)
		{
			finding(check, "ERROR", "M1", OMENDB_META_BLOCK,
					"parameters lie beyond the end of the index");
			return false;
		}
		/* A damaged page is reported by pass 1, too. */
		if (copy_page(check, (BlockNumber) block, nullptr, check->page) != nullptr ||
			special_of(check->page)->kind != OMENDB_PAGE_PARAMETERS ||
			((PageHeader) (void *) check->page)->pd_lower <
				OMENDB_PAGE_HEADER + count * sizeof(float))
		{
			finding(check, "ERROR", "P1", (int64) block, "there are no parameters on this page");
			return false;
		}
		memcpy(mean + first, contents_of(check->page), count * sizeof(float));
		for (uint32_t j = first; j < first + count; j++)
		{
			if (!std::isfinite(mean[j]))
			{
				finding(check, "ERROR", "P1", (int64) block, "mean is not finite");
				return false;
			}
		}
	}
	return true;
}

/* The space of the index; false with a finding when the parameters are damaged. */
bool
load_space(OmendbCheck *check)
{
	const OmendbMetaPage *meta = &check->meta;
	float *mean = (float *) allocate(meta->input_dim, sizeof(float));
	uint8_t *signs = (uint8_t *) allocate(meta->dim / 2, 1);

	check->shape = omendb::store::shape_of(*meta);
	check->space = omendb::store::space_of(*meta, mean, signs);
	omendb::quant::make_signs(meta->seed, meta->dim, signs);
	return load_mean(check, mean);
}

/* M1; false when nothing else can be read. */
bool
check_meta(OmendbCheck *check)
{
	if (check->blocks <= OMENDB_META_BLOCK)
	{
		finding(check, "ERROR", "M1", -1, "index has no pages");
		return false;
	}
	const char *problem = copy_page(check, OMENDB_META_BLOCK, nullptr, check->page);
	if (problem == nullptr && special_of(check->page)->kind != OMENDB_PAGE_META)
		problem = "page is of another kind than expected";
	if (problem == nullptr)
	{
		memcpy(&check->meta, contents_of(check->page), sizeof(check->meta));
		problem = omendb_meta_problem(&check->meta);
	}
	if (problem != nullptr)
		finding(check, "ERROR", "M1", OMENDB_META_BLOCK, "%s", problem);
	return problem == nullptr;
}

/* Memory whose size depends on the meta page. */
void
allocate_tables(OmendbCheck *check)
{
	check->slot_count = (uint64_t) check->blocks * check->shape.slots;
	check->slots = (Slot *) allocate(check->slot_count, sizeof(Slot));
	check->marks = (Mark *) allocate(check->slot_count, sizeof(Mark));
	check->parents = (Address *) allocate(check->slot_count, sizeof(Address));
	memset(check->parents, 0xFF, check->slot_count * sizeof(Address));
	check->tid_capacity = 1024;
	check->tids = (TidEntry *) allocate(check->tid_capacity, sizeof(TidEntry));
	check->record = (uint8_t *) allocate(check->shape.slot_bytes, 1);
	check->vector = (float *) allocate(check->shape.dim, sizeof(float));
	check->other = (float *) allocate(check->shape.dim, sizeof(float));
	check->code = (LaneCode *) allocate(1, sizeof(LaneCode));
	check->stored_code = (LaneCode *) allocate(1, sizeof(LaneCode));
}

TidEntry *
find_tid(const OmendbCheck *check, uint64_t tid)
{
	TidEntry key = {tid, kNoAddress};

	return (TidEntry *) bsearch(&key, check->tids, check->tid_count, sizeof(TidEntry),
								compare_tids);
}

/* C2 against the row: the residual covers the distance between it and what is stored. */
void
check_residual(OmendbCheck *check, const TidEntry *entry, const float *row)
{
	const RecordHeader *h = omendb::graph::header(check->record);
	double distance2 = 0;
	double norm2 = 0;

	/* Vacuumed since, or reported as damaged. */
	if (!copy_record(check, entry->node, check->record) || h->level != 0 ||
		h->state == (uint8_t) State::Free)
		return;
	omendb::quant::load_vector(check->space, omendb::graph::vector_of(check->shape, check->record),
							   h->scale, check->other);
	for (uint32_t i = 0; i < check->shape.dim; i++)
	{
		double d = (double) row[i] - check->other[i];
		distance2 += d * d;
		norm2 += (double) row[i] * row[i];
	}
	if (std::sqrt(distance2) > h->residual * (1 + 1e-6) + 1e-6 * std::sqrt(norm2) + 1e-30)
		finding(check, "ERROR", "C2", address_block(entry->node),
				"slot %u is %g away from row (%u,%u), but says at most %g",
				address_slot(entry->node), std::sqrt(distance2), (uint32_t) (entry->tid >> 16),
				(uint32_t) (entry->tid & 0xFFFF), h->residual);
}

} // namespace

OmendbCheck *
omendb_check_index(Relation index, Relation heap, OmendbReportFinding report, void *state)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw check", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	OmendbCheck *check = (OmendbCheck *) palloc0(sizeof(OmendbCheck));

	check->index = index;
	check->heap = heap;
	check->report = report;
	check->report_state = state;
	check->context = context;
	check->strategy = GetAccessStrategy(BAS_BULKREAD);
	check->blocks = RelationGetNumberOfBlocks(index);
	check->page = (uint8_t *) palloc(BLCKSZ);
	if (check_meta(check))
	{
		check->usable = load_space(check);
		allocate_tables(check);
		first_pass(check);
		second_pass(check);
		check_tree(check);
		check_tid_range(check);
		walk_levels(check);
	}
	MemoryContextSwitchTo(caller);
	return check;
}

bool
omendb_check_accepts_rows(const OmendbCheck *check)
{
	return check->usable && !check->stopped;
}

void
omendb_check_row(OmendbCheck *check, ItemPointer tid, const float *x, int dim)
{
	uint32_t block = ItemPointerGetBlockNumber(tid);
	uint32_t offset = ItemPointerGetOffsetNumber(tid);
	float excess;

	if (!omendb_check_accepts_rows(check))
		return;
	if ((uint32_t) dim != check->meta.input_dim)
	{
		finding(check, "ERROR", "H2", -1, "row (%u,%u) has %d dimensions, the index %u", block,
				offset, dim, check->meta.input_dim);
		return;
	}
	const TidEntry *entry = find_tid(check, (uint64_t) block << 16 | offset);
	if (!omendb::quant::transform_row(check->space, x, check->vector, &excess))
	{
		if (entry != nullptr)
			finding(check, "WARN", "H2", address_block(entry->node),
					"row (%u,%u) is in the index, though it needs no entry", block, offset);
		return;
	}
	if (entry == nullptr)
		finding(check, "ERROR", "H2", -1, "row (%u,%u) is missing from the index", block, offset);
	else
		check_residual(check, entry, check->vector);
}
