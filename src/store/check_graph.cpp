/*
 * check_graph.cpp - what records say about each other: pass 2 (links, codes,
 * the way down), the protected tree, and what a search could reach.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "miscadmin.h"
#include "storage/shmem.h"
}

#include "store/check_state.hpp"

namespace omendb::store::check
{

/* ---- pass 2: what records say about each other ---- */

namespace
{

/* Codes are compared for about this many records. */
constexpr uint64_t kSampledRecords = 1000;

void
note_stale(OmendbCheck *check, BlockNumber block)
{
	if (check->stale_links++ == 0)
		check->first_stale = block;
}

/* Whether a record has a link to an address now. */
bool
has_link_now(OmendbCheck *check, Address address, Address to, bool as_protected)
{
	const uint8_t *record = check->record;

	if (!copy_record(check, address, check->record))
		return false;
	for (uint32_t lane = 0; lane < check->shape.max_links; lane++)
	{
		if (graph::neighbours(check->shape, record)[lane] == to &&
			(!as_protected || lane_is_protected(check, record, lane)))
			return graph::header(record)->state != (uint8_t) State::Free;
	}
	return false;
}

/* Whether there is a record of that level at an address now. */
bool
is_record_now(OmendbCheck *check, Address address, uint32_t level)
{
	return copy_record(check, address, check->record) &&
		   graph::header(check->record)->state != (uint8_t) State::Free &&
		   graph::header(check->record)->level == level;
}

/* Whether VACUUM or an insertion has replaced entry point or root since they were read. */
bool
is_meta_changed(OmendbCheck *check)
{
	Address entry = check->meta.entry;
	Address root = check->meta.root;

	return refresh_meta(check) && (check->meta.entry != entry || check->meta.root != root);
}

/* x^ of a copied record; false when its rest is not there (V1 tells). */
bool
load_whole(OmendbCheck *check, Address address, const uint8_t *record, float *out)
{
	const RecordHeader *h = graph::header(record);

	memcpy(check->value, graph::vector_of(check->shape, record), check->shape.value_room);
	if (!copy_rest(check, address, h))
		return false;
	quant::load_vector(check->space, check->value, h->scale, out);
	return true;
}

/*
 * C1: a lane holds what encode_lane() makes of the two stored vectors. That is
 * bit-identical under every instruction set, so any difference is damage; but
 * for a slot that was freed and used again, to which an insertion that failed
 * has left its links.
 */
void
check_code(OmendbCheck *check, Address address, const uint8_t *record, uint32_t lane)
{
	const LaneCode *code = check->code;
	const LaneCode *stored = check->stored_code;
	const uint8_t *neighbour = check->record;
	uint16_t generation = graph::header(neighbour)->generation;

	if (!load_whole(check, graph::neighbours(check->shape, record)[lane], neighbour, check->other))
		return;
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
	/* The list may have changed since it was copied. */
	if (!has_link_now(check, address, graph::neighbours(check->shape, record)[lane], false))
		return;
	if (generation != 0)
		note_stale(check, address_block(address));
	else if (check->wrong_lanes++ == 0)
		check->first_wrong = address_block(address);
}

/* C1 for all lanes of a record. */
void
sample_codes(OmendbCheck *check, Address address, const uint8_t *record)
{
	const uint32_t *links = graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;

	if (quant::is_plain(check->space) || !load_whole(check, address, record, check->vector))
		return;
	for (uint32_t lane = 0; lane < lanes; lane++)
	{
		if (links[lane] != kNoAddress && !is_free(slot_at(check, links[lane])) &&
			copy_record(check, links[lane], check->record))
			check_code(check, address, record, lane);
	}
}

/* Remember a protected link; edges come in the order of parents. */
void
remember_edge(OmendbCheck *check, Address parent, Address child)
{
	if (check->edge_count == check->edge_capacity)
	{
		check->edge_capacity *= 2;
		check->edges = (TreeEdge *) repalloc_huge(check->edges,
												  mul_size(check->edge_capacity, sizeof(TreeEdge)));
	}
	check->edges[check->edge_count++] = TreeEdge{parent, child};
}

/*
 * L2: a link that leads to a free slot, or to a record of another level. The
 * insertion that made it has failed: a wasted hop. A protected link must lead to
 * a node. Where those of a dead node lead does not matter.
 */
void
check_broken_link(OmendbCheck *check, Address address, const uint8_t *copy, uint32_t lane)
{
	Address to = graph::neighbours(check->shape, copy)[lane];
	bool kept = lane_is_protected(check, copy, lane);

	/* Its like were freed before it when VACUUM was interrupted. */
	if (graph::header(copy)->state == (uint8_t) State::Dead)
		return;
	/* Inserted since pass 1? Or gone since the page was copied? */
	if (is_record_now(check, to, graph::header(copy)->level))
		return;
	if (!has_link_now(check, address, to, kept))
		return;
	if (kept)
		finding(check, "ERROR", "L2", address_block(address),
				"slot %u has a protected link to slot %u of block %u, where no such node is",
				address_slot(address), address_slot(to), address_block(to));
	else
		note_stale(check, address_block(address));
}

/* L2: the links of a record; on level 0 also the protected tree's. */
void
check_links(OmendbCheck *check, Address address, const uint8_t *record)
{
	const uint32_t *links = graph::neighbours(check->shape, record);
	uint32_t lanes = check->shape.blocks * OMENDB_LANES;
	uint8_t level = graph::header(record)->level;

	for (uint32_t lane = 0; lane < lanes && !check->stopped; lane++)
	{
		/* What is out of range was reported by pass 1. */
		if (!in_range(check, links[lane]))
			continue;
		Slot target = slot_at(check, links[lane]);
		if (is_free(target) || target.level != level)
			check_broken_link(check, address, record, lane);
		else if (level == 0 && lane_is_protected(check, record, lane))
			remember_edge(check, address, links[lane]);
	}
}

/* L3: a record of an upper level leads to the same vector one level down. */
void
check_down(OmendbCheck *check, Address address, const uint8_t *record)
{
	const RecordHeader *h = graph::header(record);
	const RecordHeader *below = graph::header(check->record);
	/* Of a value with chunks its beginning. */
	uint32_t bytes = std::min(quant::stored_bytes(check->shape.storage, check->shape.dim),
							  check->shape.value_room);
	bool same = false;

	if (copy_record(check, h->down, check->record) && below->state != (uint8_t) State::Free)
		same = below->level + 1 == h->level && below->scale == h->scale &&
			   memcmp(graph::vector_of(check->shape, record),
					  graph::vector_of(check->shape, check->record), bytes) == 0;
	/* Or freed, and used again, since it was copied. */
	if (!same && copy_record(check, address, check->record) &&
		graph::header(check->record)->state == h->state &&
		graph::header(check->record)->generation == h->generation)
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
			/* Another record since pass 1. */
			if (graph::header(record)->state == (uint8_t) State::Free ||
				graph::header(record)->level != slots[i].level)
				continue;
			check_links(check, address, record);
			if (slots[i].level > 0)
				check_down(check, address, record);
			else if (seen++ % every == 0)
				sample_codes(check, address, record);
		}
	}
	if (check->stale_links > 0)
		finding(check, "WARN", "L2", check->first_stale,
				UINT64_FORMAT " stale links, to slots that were freed", check->stale_links);
	if (check->wrong_lanes > 0)
		finding(check, "ERROR", "C1", check->first_wrong,
				UINT64_FORMAT " of " UINT64_FORMAT " sampled codes are not those of the neighbour",
				check->wrong_lanes, check->sampled_lanes);
}

/* ---- T1: the protected tree ---- */

namespace
{

/* The first edge of a parent. */
uint64_t
first_edge(const OmendbCheck *check, Address parent)
{
	const TreeEdge *end = check->edges + check->edge_count;
	const TreeEdge *at =
		std::lower_bound((const TreeEdge *) check->edges, end, parent,
						 [](const TreeEdge &edge, Address a) { return edge.parent < a; });

	return (uint64_t) (at - check->edges);
}

Slot *
slot_of(OmendbCheck *check, Address address)
{
	return &check->slots[slot_number(check, address)];
}

/*
 * A second protected link leads to a node: from where it was reached first and
 * from here, if both still have it.
 */
void
check_second_link(OmendbCheck *check, Address parent, Address child)
{
	for (uint64_t i = 0; i < check->edge_count; i++)
	{
		TreeEdge edge = check->edges[i];
		if (edge.child != child || edge.parent == parent || !slot_of(check, edge.parent)->in_tree)
			continue;
		/* VACUUM moves links: twice, so that both were there at one time. */
		if (has_link_now(check, edge.parent, child, true) &&
			has_link_now(check, parent, child, true) &&
			has_link_now(check, edge.parent, child, true))
			finding(check, "ERROR", "T1", address_block(child),
					"slot %u has two protected links, from blocks %u and %u", address_slot(child),
					address_block(edge.parent), address_block(parent));
		return;
	}
}

/*
 * Breadth first from the root over the protected links. A dead node that is not
 * reached may have protected links that mean nothing.
 */
void
walk_tree(OmendbCheck *check, bool report)
{
	Address root = check->meta.root;
	Address *queue = (Address *) allocate(check->edge_count + 1, sizeof(Address));
	uint64_t end = 0;

	for (uint64_t i = 0; i < check->slot_count; i++)
		check->slots[i].in_tree = 0;
	slot_of(check, root)->in_tree = 1;
	queue[end++] = root;
	for (uint64_t at = 0; at < end && !check->stopped; at++)
	{
		if ((at & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		for (uint64_t i = first_edge(check, queue[at]);
			 i < check->edge_count && check->edges[i].parent == queue[at]; i++)
		{
			Address child = check->edges[i].child;
			if (child == root && report && has_link_now(check, queue[at], root, true))
				finding(check, "ERROR", "T1", address_block(root),
						"there is a protected link to the root");
			else if (child != root && !slot_of(check, child)->in_tree)
			{
				slot_of(check, child)->in_tree = 1;
				queue[end++] = child;
			}
			else if (child != root && report)
				check_second_link(check, queue[at], child);
		}
	}
	pfree(queue);
}

/* How many nodes that should be in the tree are not; the first of them. */
uint64_t
count_lost(OmendbCheck *check, Address *first)
{
	uint64_t lost = 0;

	for (uint64_t i = 0; i < check->slot_count; i++)
	{
		Slot slot = check->slots[i];
		Address address =
			make_address((uint32_t) (i / check->shape.slots), (uint32_t) (i % check->shape.slots));
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		if (is_free(slot) || slot.level != 0 || slot.in_tree || slot.state != (uint8_t) State::Live)
			continue;
		/* Dead, or gone, by now? */
		if (!copy_record(check, address, check->record) ||
			graph::header(check->record)->state != (uint8_t) State::Live)
			continue;
		if (lost++ == 0)
			*first = address;
	}
	return lost;
}

/* The protected links once more: those that were moved from behind us to before us. */
void
read_edges(OmendbCheck *check)
{
	check->edge_count = 0;
	for (BlockNumber block = OMENDB_META_BLOCK + 1; block < check->blocks; block++)
	{
		if (copy_page(check, block, check->strategy, check->page) != nullptr ||
			special_of(check->page)->kind != OMENDB_PAGE_GRAPH)
			continue;
		for (uint32_t i = 0; i < special_of(check->page)->slots && i < check->shape.slots; i++)
		{
			const uint8_t *record = contents_of(check->page) + i * check->shape.slot_bytes;
			const RecordHeader *h = graph::header(record);
			if (h->state == (uint8_t) State::Free || h->level != 0)
				continue;
			for (uint32_t lane = 0; lane < check->shape.max_links; lane++)
			{
				Address to = graph::neighbours(check->shape, record)[lane];
				if (lane_is_protected(check, record, lane) && in_range(check, to))
					remember_edge(check, make_address(block, i), to);
			}
		}
	}
}

} // namespace

void
check_tree(OmendbCheck *check)
{
	constexpr int kReadAgain = 2;
	Address root = check->meta.root;
	Address first = kNoAddress;

	if (root == kNoAddress)
	{
		if (check->live_nodes > 0)
			finding(check, "ERROR", "M1", OMENDB_META_BLOCK,
					"there is no root but " UINT64_FORMAT " nodes", check->live_nodes);
		return;
	}
	if (!is_record_now(check, root, 0))
	{
		if (!is_meta_changed(check))
			finding(check, "ERROR", "M1", OMENDB_META_BLOCK, "root is no node of level 0");
		return;
	}
	/* It came after pass 1: so did all that it leads to. */
	if (is_free(slot_at(check, root)))
		return;
	walk_tree(check, true);
	uint64_t lost = count_lost(check, &first);
	for (int i = 0; lost > 0 && i < kReadAgain && !check->stopped; i++)
	{
		read_edges(check);
		walk_tree(check, false);
		lost = count_lost(check, &first);
	}
	if (lost > 0)
		finding(check, "ERROR", "T1", address_block(first),
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
		if (is_free(slot) || slot.level != level || slot.reached ||
			slot.state != (uint8_t) State::Live)
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
		/* Dead ones are what an interrupted VACUUM has replaced and not freed. */
		uint64_t staying = check->nodes[level] - check->dead[level];
		if (level > check->meta.entry_level && staying > 0)
			finding(check, "WARN", "M1", OMENDB_META_BLOCK,
					UINT64_FORMAT " nodes lie above the entry point, on level %u", staying, level);
	}
	/* check_tree() has complained about nodes without an entry point. */
	if (at == kNoAddress)
		return;
	if (!is_record_now(check, at, check->meta.entry_level))
	{
		uint32_t level = check->meta.entry_level;
		if (!is_meta_changed(check))
			finding(check, "ERROR", "M1", OMENDB_META_BLOCK, "entry point is no node of level %u",
					level);
		return;
	}
	if (is_free(slot_at(check, at)))
		return;

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
