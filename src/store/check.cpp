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
 *   T1      every node on level 0 that is neither dead nor linking is reached
 *           from the root by protected links, exactly once
 *   H1      TIDs are in range and unique
 *   R1      an ordinary search could reach every node of level 0, and all but a
 *           few of those above, where nothing promises it
 *   H2      on request, row by row: the index has it, within its residual
 *
 * ERROR means rows can be missing or answers wrong, or bytes are not what they
 * must be; WARN means worse recall or wasted space. Pages are copied to private
 * memory under one share lock; nothing on them is believed before it was
 * checked. Others may insert and vacuum meanwhile: what records say about each
 * other is looked at again before it is reported, and the tree is read again.
 *
 * Memory: a byte a slot, 8 a protected link, 4 a node for the walks, 16 a TID.
 *
 * Here: the meta page, pass 1, and who calls whom. check_graph.cpp: pass 2, T1,
 * R1. check_tids.cpp: chains, H1, H2. check_state.hpp: what they share.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "store/pages.h"
}

#include "quant/value.hpp"
#include "store/check_state.hpp"
#include "store/shape.hpp"

namespace omendb::store::check
{

/* ---- for all files of the check ---- */

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

bool
refresh_meta(OmendbCheck *check)
{
	const char *problem = copy_page(check, OMENDB_META_BLOCK, nullptr, check->page);

	if (problem == nullptr && special_of(check->page)->kind == OMENDB_PAGE_META)
	{
		memcpy(&check->meta, contents_of(check->page), sizeof(check->meta));
		problem = omendb_meta_problem(&check->meta);
		if (problem == nullptr)
			return true;
	}
	finding(check, "ERROR", "M1", OMENDB_META_BLOCK, "meta page was damaged meanwhile");
	return false;
}

bool
copy_rest(OmendbCheck *check, Address owner, const RecordHeader *h)
{
	uint32_t at = check->shape.value_room;
	uint32_t most = quant::stored_bytes(check->shape.storage, check->shape.dim);
	Address next = check->shape.chunks > 0 ? h->rest : 0;

	while (next != 0 && at < most)
	{
		if (address_block(next) >= check->blocks || address_slot(next) >= check->shape.chunks)
			return false;
		CHECK_FOR_INTERRUPTS();
		Buffer buffer = ReadBuffer(check->index, address_block(next));
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		uint8_t *page = (uint8_t *) BufferGetPage(buffer);
		const graph::ChunkHeader *chunk =
			(const graph::ChunkHeader *) (const void *) (contents_of(page) +
														 address_slot(next) *
															 check->shape.chunk_bytes);
		bool ours = omendb_page_problem((Page) page, OMENDB_PAGE_VALUES) == nullptr &&
					address_slot(next) < special_of(page)->slots && chunk->owner == owner &&
					chunk->generation == h->generation && chunk->length > 0 &&
					chunk->length <= check->shape.chunk_bytes - sizeof(*chunk);
		if (ours)
		{
			memcpy(check->value + at, chunk + 1, chunk->length);
			at += chunk->length;
			next = chunk->next;
			check->chained_chunks++;
		}
		UnlockReleaseBuffer(buffer);
		if (!ours)
			return false;
	}
	/* A value of fixed length has all of it; of a sparse one the head tells. */
	return next == 0 && (at >= most || at >= quant::stored_size(check->space, check->value));
}

namespace
{

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
	if (h->tid_count > graph::kInlineTids ||
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

/* C2: a vector of numbers, with the norm it claims. */
void
check_vector(OmendbCheck *check, Address address, const uint8_t *record)
{
	const RecordHeader *h = graph::header(record);
	double sum = 0;

	memcpy(check->value, graph::vector_of(check->shape, record), check->shape.value_room);
	if (!copy_rest(check, address, h))
	{
		/* A linking record has no rest yet, and a dead one loses it first. */
		const RecordHeader *now = graph::header((const uint8_t *) check->record);
		if (h->state == (uint8_t) State::Live && copy_record(check, address, check->record) &&
			now->state == h->state && now->generation == h->generation)
			finding(check, "ERROR", "V1", address_block(address),
					"the rest of the value of slot %u is not where it should be",
					address_slot(address));
		return;
	}
	if (quant::is_plain(check->space))
		return;
	quant::load_vector(check->space, check->value, h->scale, check->vector);
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

	if (quant::factors_are_wide(check->space))
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

/* Whether an address is on a page that the index has grown by since pages were counted. */
bool
is_new(const OmendbCheck *check, Address address)
{
	return address != kNoAddress && address_block(address) >= check->blocks &&
		   address_slot(address) < check->shape.slots &&
		   address_block(address) < RelationGetNumberOfBlocks(check->index);
}

/* L1: one lane, and that none before it leads to the same neighbour. */
void
check_lane(OmendbCheck *check, Address address, const uint8_t *record, uint32_t lane)
{
	const uint32_t *links = graph::neighbours(check->shape, record);
	const uint8_t *codes = graph::code_block(check->shape, record, lane / OMENDB_LANES);
	uint32_t within = lane % OMENDB_LANES;
	bool coded = !quant::is_plain(check->space);
	float add = coded ? lane_add(check, codes, within) : 0;
	float mul = coded ? quant::lane_mul(check->space, codes, within) : 0;
	BlockNumber block = address_block(address);
	uint32_t slot = address_slot(address);

	if (links[lane] == kNoAddress)
	{
		if (coded && (std::isfinite(add) || mul != 0))
			finding(check, "WARN", "L1", block, "slot %u has factors in empty lane %u", slot, lane);
		return;
	}
	if (lane >= check->shape.max_links)
		finding(check, "ERROR", "L1", block, "slot %u has a link in unused lane %u", slot, lane);
	if (!in_range(check, links[lane]) && !is_new(check, links[lane]))
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

/* L1: the list of a record that is not free. */
void
check_list(OmendbCheck *check, Address address, const uint8_t *record)
{
	const uint32_t *links = graph::neighbours(check->shape, record);
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
	if (protected_lanes > check->shape.max_links / 2 + 2 &&
		graph::header(record)->state != (uint8_t) State::Dead)
		finding(check, "WARN", "T1", address_block(address), "slot %u protects %u of its links",
				address_slot(address), protected_lanes);
	if (graph::header(record)->answers > graph::most_answers(check->space, check->shape.max_links))
		finding(check, "ERROR", "L1", address_block(address), "slot %u has %u lanes for answers",
				address_slot(address), graph::header(record)->answers);
}

/* S1: a free slot has no links; one that was never used is zeros. */
void
check_free_slot(OmendbCheck *check, Address address, const uint8_t *record)
{
	const uint32_t *links = graph::neighbours(check->shape, record);

	for (uint32_t lane = 0; lane < check->shape.blocks * OMENDB_LANES; lane++)
	{
		if (!in_range(check, links[lane]) && !lane_is_protected(check, record, lane))
			continue;
		finding(check, "ERROR", "S1", address_block(address), "slot %u is free, but has links",
				address_slot(address));
		return;
	}
}

/* Chunks that somebody owns: check_vector() has counted those that are in place. */
void
check_values_page(OmendbCheck *check, uint8_t *page)
{
	uint32_t slots = special_of(page)->slots;

	for (uint32_t i = 0; i < slots && (i + 1) * check->shape.chunk_bytes <= OMENDB_PAGE_USABLE; i++)
		check->owned_chunks +=
			((const graph::ChunkHeader *) (const void *) (contents_of(page) +
														  i * check->shape.chunk_bytes))
				->owner != kNoAddress;
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
		const RecordHeader *h = graph::header(record);
		if (!check_header(check, address, h))
			continue;

		Slot *slot = &check->slots[slot_number(check, address)];
		slot->present = 1;
		slot->state = h->state & 3;
		slot->level = h->level & 7;
		if (h->state == (uint8_t) State::Free)
		{
			check_free_slot(check, address, record);
			continue;
		}
		check->nodes[h->level]++;
		check->dead[h->level] += h->state == (uint8_t) State::Dead;
		check->live_nodes += h->level == 0 && h->state == (uint8_t) State::Live;
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
			case OMENDB_PAGE_VALUES:
				check_values_page(check, check->page);
				break;
			default:
				break;
		}
	}
	if (check->owned_parts > check->chained_parts && !check->stopped)
		finding(check, "WARN", "O1", -1, UINT64_FORMAT " TID parts are in no chain",
				check->owned_parts - check->chained_parts);
	if (check->owned_chunks > check->chained_chunks && !check->stopped)
		finding(check, "WARN", "V1", -1, UINT64_FORMAT " chunks are part of no value",
				check->owned_chunks - check->chained_chunks);
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
	check->shape = shape_of(*meta);
	check->space = space_of(*meta, nullptr, nullptr);
	if (quant::is_plain(check->space))
		return true;

	float *mean = (float *) allocate(meta->input_dim, sizeof(float));
	uint8_t *signs = (uint8_t *) allocate(meta->dim / 2, 1);

	check->space = space_of(*meta, mean, signs);
	quant::make_signs(meta->seed, meta->dim, signs);
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
	check->edge_capacity = 1024;
	check->edges = (TreeEdge *) allocate(check->edge_capacity, sizeof(TreeEdge));
	check->tid_capacity = 1024;
	check->tids = (TidEntry *) allocate(check->tid_capacity, sizeof(TidEntry));
	check->record = (uint8_t *) allocate(check->shape.slot_bytes, 1);
	check->vector = (float *) allocate(check->shape.dim, sizeof(float));
	check->other = (float *) allocate(check->shape.dim, sizeof(float));
	check->value = (uint8_t *) allocate(
		quant::stored_bytes(check->shape.storage, check->shape.dim) + check->shape.chunk_bytes, 1);
	check->code = (LaneCode *) allocate(1, sizeof(LaneCode));
	check->stored_code = (LaneCode *) allocate(1, sizeof(LaneCode));
}

} // namespace

} // namespace omendb::store::check

using namespace omendb::store::check;

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
		check_tid_range(check);
		if (refresh_meta(check))
		{
			check_tree(check);
			walk_levels(check);
		}
	}
	MemoryContextSwitchTo(caller);
	return check;
}

bool
omendb_check_accepts_rows(const OmendbCheck *check)
{
	return check->usable && !check->stopped;
}
