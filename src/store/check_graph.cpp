/*
 * check_graph.cpp - what records say about each other: pass 2 (links, codes,
 * the way down), the protected tree, and what a search could reach.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "miscadmin.h"
}

#include "store/check_state.hpp"

namespace omendb::store::check
{

/* ---- pass 2: what records say about each other ---- */

namespace
{

/* Codes are compared for about this many records. */
constexpr uint64_t kSampledRecords = 1000;

/*
 * C1: a lane holds what encode_lane() makes of the two stored vectors. That is
 * bit-identical under every instruction set, so any difference is damage; and
 * vectors do not change, whatever else does meanwhile.
 */
void
check_code(OmendbCheck *check, Address address, const uint8_t *record, uint32_t lane)
{
	const LaneCode *code = check->code;
	const LaneCode *stored = check->stored_code;
	const uint8_t *neighbour = check->record;

	quant::load_vector(check->space, graph::vector_of(check->shape, neighbour),
					   graph::header(neighbour)->scale, check->other);
	quant::encode_lane(check->space, check->other, check->vector, check->code);
	quant::read_lane(check->space, graph::code_block(check->shape, record, lane / OMENDB_LANES),
					 lane % OMENDB_LANES, check->stored_code);
	check->sampled_lanes++;
	/* As bytes: a factor may be damaged into a NaN. */
	if (memcmp(&code->add, &stored->add, sizeof(code->add)) == 0 &&
		memcmp(&code->mul, &stored->mul, sizeof(code->mul)) == 0 &&
		memcmp(code->planes, stored->planes,
			   (size_t) check->shape.code_bits * check->shape.code_dim / 8) == 0)
		return;
	if (check->wrong_lanes++ == 0)
		check->first_wrong = address_block(address);
}

/* C1 for all lanes of a record. */
void
sample_codes(OmendbCheck *check, Address address, const uint8_t *record)
{
	const uint32_t *links = graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;

	quant::load_vector(check->space, graph::vector_of(check->shape, record),
					   graph::header(record)->scale, check->vector);
	for (uint32_t lane = 0; lane < lanes; lane++)
	{
		if (links[lane] != kNoAddress && !is_free(slot_at(check, links[lane])) &&
			copy_record(check, links[lane], check->record))
			check_code(check, address, record, lane);
	}
}

/* L2: the links of a record; on level 0 also the protected tree's. */
void
check_links(OmendbCheck *check, Address address, const uint8_t *record)
{
	const uint32_t *links = graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;
	uint8_t level = graph::header(record)->level;
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
	const RecordHeader *h = graph::header(record);
	const RecordHeader *below = graph::header(check->record);
	uint32_t bytes = quant::stored_bytes(check->shape.storage, check->shape.dim);
	bool same = false;

	if (!is_free(slot_at(check, h->down)) && copy_record(check, h->down, check->record))
		same = below->level + 1 == h->level && below->scale == h->scale &&
			   memcmp(graph::vector_of(check->shape, record),
					  graph::vector_of(check->shape, check->record), bytes) == 0;
	if (!same)
		finding(check, "ERROR", "L3", address_block(address),
				"slot %u on level %u does not lead to its own node one level down",
				address_slot(address), h->level);
}

} // namespace

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
				sample_codes(check, address, record);
		}
	}
	if (check->wrong_lanes > 0)
		finding(check, "ERROR", "C1", check->first_wrong,
				UINT64_FORMAT " of " UINT64_FORMAT " sampled codes are not those of the neighbour",
				check->wrong_lanes, check->sampled_lanes);
}

/* ---- T1: the protected tree ---- */

namespace
{

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

} // namespace

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

namespace
{

/* Enter a record of a level into the queue, once; returns its new end. */
uint64_t
enter(OmendbCheck *check, Address address, uint32_t level, Address *queue, uint64_t end)
{
	if (!in_range(check, address))
		return end;
	Slot *slot = &check->slots[slot_number(check, address)];
	if (is_free(*slot) || slot->level != level || slot->reached)
		return end;
	slot->reached = 1;
	queue[end++] = address;
	return end;
}

/* Put what a record links to into the queue; returns its new end. */
uint64_t
visit_links(OmendbCheck *check, const uint8_t *record, uint32_t level, Address *queue, uint64_t end)
{
	const uint32_t *links = graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;

	for (uint32_t lane = 0; lane < lanes; lane++)
	{
		end = enter(check, links[lane], level, queue, end);
	}
	return end;
}

/*
 * Breadth first over one level, from the `end` records in the queue on; returns
 * how many records the queue holds then.
 */
uint64_t
walk_level(OmendbCheck *check, uint32_t level, Address *queue, uint64_t end)
{
	uint64_t missed = 0;
	BlockNumber first_missed = InvalidBlockNumber;

	/* A slot enters the queue at most once, so end stays below the number of nodes. */
	for (uint64_t at = 0; at < end; at++)
	{
		if (copy_record(check, queue[at], check->record))
			end = visit_links(check, check->record, level, queue, end);
	}
	if (end >= check->nodes[level])
		return end;
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
		return end;
	finding(check, "WARN", "R1", first_missed,
			UINT64_FORMAT " of " UINT64_FORMAT
						  " nodes on level %u cannot be reached from the entry point",
			missed, check->nodes[level], level);
	return end;
}

/* The nodes of the queue one level down: where searches may enter that level. */
uint64_t
step_down(OmendbCheck *check, uint32_t level, const Address *queue, uint64_t end, Address *below)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < end; i++)
	{
		if (copy_record(check, queue[i], check->record))
			n = enter(check, graph::header(check->record)->down, level - 1, below, n);
	}
	return n;
}

} // namespace

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
	Address *below = (Address *) allocate(largest + 1, sizeof(Address));
	uint64_t end = enter(check, at, check->meta.entry_level, queue, 0);
	for (uint32_t level = check->meta.entry_level; !check->stopped; level--)
	{
		end = walk_level(check, level, queue, end);
		if (level == 0)
			break;
		end = step_down(check, level, queue, end, below);
		std::swap(queue, below);
	}
	pfree(below);
	pfree(queue);
}

} // namespace omendb::store::check
