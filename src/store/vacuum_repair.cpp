/*
 * vacuum_repair.cpp - steps 2 and 3: nothing that stays leads to dead records.
 *
 * One sweep in physical order. A page's lists are repaired in a copy, without a
 * lock; under the exclusive lock a repaired list replaces the one on the page if
 * that is still the list it was made from. Else an inserter was there meanwhile,
 * and it is made again. All of a page's lists go into one WAL record.
 *
 * Moving a protected link (graph/rehang-inl.hpp) is one WAL record over two pages
 * at most, locked in block order.
 */
#include "store/vacuum_state.hpp"

extern "C"
{
#include "postmaster/autovacuum.h"
}

#include "graph/repair-inl.hpp"
#include "store/record_cache.hpp"

namespace omendb::store::vacuum
{

namespace
{

using graph::Rehung;

/* ---- step 2: records above, entry point ---- */

bool
is_present(const RecordHeader *h)
{
	return h->state == (uint8_t) State::Live || h->state == (uint8_t) State::Linking;
}

/* Mark the noted records of a page dead: one WAL record. */
void
mark_page(Vacuum *vacuum, BlockNumber block)
{
	bool changed = false;

	omendb_vacuum_delay_point();
	Buffer buffer = read_graph_page(vacuum, block, BUFFER_LOCK_EXCLUSIVE);
	if (!BufferIsValid(buffer))
		return;
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	for (uint32_t slot = 0; slot < special_of(page)->slots; slot++)
	{
		RecordHeader *h = graph::header(record_at(vacuum, page, slot));
		/* A linking one was left by an insertion that failed, as its base was. */
		if (h->level == 0 || !is_present(h) || !vacuum->dead.test(make_address(block, slot)))
			continue;
		h->state = (uint8_t) State::Dead;
		changed = true;
	}
	if (changed)
		GenericXLogFinish(xlog);
	else
		GenericXLogAbort(xlog);
	UnlockReleaseBuffer(buffer);
	if (changed)
		OMENDB_FAULT(vacuum_marked);
}

/* The highest live record above level 0 that stays: {kNoAddress, 0} when there is none. */
graph::EntryPoint
find_entry(const Vacuum *vacuum)
{
	graph::EntryPoint best = {kNoAddress, 0};

	for (size_t i = 0; i < vacuum->above.size; i++)
	{
		const AboveRecord *record = &vacuum->above[i];
		if (record->live && record->level > best.level && !vacuum->dead.test(record->address))
			best = graph::EntryPoint{record->address, record->level};
	}
	return best;
}

/*
 * Replace entry point or root on the meta page, if that is still the one: one WAL
 * record. When no node stays, both become none together.
 */
template <typename F>
void
change_meta(Vacuum *vacuum, F change)
{
	Buffer buffer =
		omendb_read_page(vacuum->index, OMENDB_META_BLOCK, OMENDB_PAGE_META, BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);

	if (change((OmendbMetaPage *) (void *) PageGetContents(page)))
		GenericXLogFinish(xlog);
	else
		GenericXLogAbort(xlog);
	UnlockReleaseBuffer(buffer);
}

void
replace_entry(Vacuum *vacuum)
{
	graph::EntryPoint entry = find_entry(vacuum);

	omendb_read_meta(vacuum->index, &vacuum->meta);
	/* Without one it goes with the root: secure_entry(). */
	if (!vacuum->dead.test(vacuum->meta.entry) || entry.address == kNoAddress)
		return;
	OMENDB_FAULT(vacuum_replacing);
	change_meta(vacuum,
				[vacuum, entry](OmendbMetaPage *meta)
				{
					/* Somebody may have raised it. */
					if (!vacuum->dead.test(meta->entry))
						return false;
					meta->entry = entry.address;
					meta->entry_level = entry.level;
					return true;
				});
	OMENDB_FAULT(vacuum_replaced);
}

/* ---- step 3 ---- */

/* State of the repair. */
struct Repair
{
	Vacuum *vacuum;
	RecordCache cache;
	graph::SlotSet entered;
	Array<Rehung> hung;  /* of the page at work; the first is the root's, if any */
	uint64_t unfinished; /* protected lanes to dead nodes that this pass has left */
	uint8_t *before;     /* the page at work, and with its lists repaired */
	uint8_t *after;
	uint8_t *record; /* what read() copied */
	float *own;
	float *other;
	quant::LaneCode *code;
};

/* The Store of graph::Rehanger. */
class Forest
{
public:
	void
	init(Repair *repair)
	{
		repair_ = repair;
		vacuum_ = repair->vacuum;
	}

	const graph::Shape &
	shape() const
	{
		return vacuum_->shape;
	}

	bool
	is_dead(Address a) const
	{
		return vacuum_->dead.test(a);
	}

	bool
	enter(Address dead)
	{
		return repair_->entered.add(dead);
	}

	const uint8_t *
	read(Address a)
	{
		return copy_record(vacuum_, a, repair_->record, vacuum_->shape.slot_bytes) ? repair_->record
																				   : nullptr;
	}

	void
	poll()
	{
		omendb_vacuum_delay_point();
	}

	bool
	move(Address child, Address from, Address to)
	{
		if (!load(child, repair_->other) || !load(to, repair_->own))
			return false;
		quant::encode_lane(vacuum_->space, repair_->other, repair_->own, repair_->code);

		BlockNumber blocks[2] = {address_block(from), address_block(to)};
		Buffer buffers[2] = {InvalidBuffer, InvalidBuffer};
		uint32_t first = blocks[0] <= blocks[1] ? 0 : 1;
		uint32_t second = 1 - first;

		buffers[first] = read_graph_page(vacuum_, blocks[first], BUFFER_LOCK_EXCLUSIVE);
		if (blocks[0] != blocks[1])
			buffers[second] = read_graph_page(vacuum_, blocks[second], BUFFER_LOCK_EXCLUSIVE);
		else
			buffers[second] = buffers[first];
		bool done = BufferIsValid(buffers[0]) && BufferIsValid(buffers[1]) &&
					move_on_pages(child, from, to, buffers);
		if (BufferIsValid(buffers[second]) && buffers[second] != buffers[first])
			UnlockReleaseBuffer(buffers[second]);
		if (BufferIsValid(buffers[first]))
			UnlockReleaseBuffer(buffers[first]);
		if (done)
			OMENDB_FAULT(vacuum_moved);
		return done;
	}

private:
	bool
	load(Address a, float *out)
	{
		const uint8_t *record;

		/* Plain records have no codes to make of it. */
		if (quant::is_plain(vacuum_->space))
			return read(a) != nullptr;
		repair_->cache.begin();
		record = vacuum_->shape.chunks > 0 ? repair_->cache.find(a) : read(a);
		if (record == nullptr)
			return false;
		quant::load_vector(vacuum_->space, graph::vector_of(vacuum_->wide, record),
						   graph::header(record)->scale, out);
		return true;
	}

	bool
	move_on_pages(Address child, Address from, Address to, const Buffer *buffers)
	{
		uint32_t first = address_block(from) <= address_block(to) ? 0 : 1;
		GenericXLogState *xlog = GenericXLogStart(vacuum_->index);
		Page pages[2];

		pages[first] = GenericXLogRegisterBuffer(xlog, buffers[first], 0);
		pages[1 - first] = buffers[0] == buffers[1]
							   ? pages[first]
							   : GenericXLogRegisterBuffer(xlog, buffers[1 - first], 0);
		bool done = address_slot(from) < special_of(pages[0])->slots &&
					address_slot(to) < special_of(pages[1])->slots &&
					graph::take_child(vacuum_->space, shape(),
									  record_at(vacuum_, pages[1], address_slot(to)), child,
									  *repair_->code, [this](Address a) { return is_dead(a); });
		if (!done)
		{
			GenericXLogAbort(xlog);
			return false;
		}
		graph::give_child(shape(), record_at(vacuum_, pages[0], address_slot(from)), child);
		GenericXLogFinish(xlog);
		return true;
	}

	Repair *repair_;
	Vacuum *vacuum_;
};

struct Workers
{
	Forest forest;
	graph::Rehanger<Forest> rehanger;
	graph::ListRepair<RecordCache> lists;
};

static_assert(std::is_trivially_destructible_v<Repair>);
static_assert(std::is_trivially_destructible_v<Workers>);

/* ---- the root ---- */

/*
 * Take a dead root out of the tree: its heir becomes the root. Without an heir no
 * node stays at all: entry point and root become none.
 */
void
replace_root(Repair *repair, Workers *workers)
{
	Vacuum *vacuum = repair->vacuum;
	Rehung hung;

	omendb_read_meta(vacuum->index, &vacuum->meta);
	if (!vacuum->dead.test(vacuum->meta.root))
		return;
	(void) workers->rehanger.rehang(vacuum->meta.root, &hung);
	(void) repair->hung.push(hung);
	if (!hung.complete)
	{
		repair->unfinished++;
		return;
	}
	change_meta(vacuum,
				[&hung](OmendbMetaPage *meta)
				{
					/* A row that met dead nodes alone has begun a tree of its own. */
					if (meta->root != hung.top)
						return false;
					meta->root = hung.heir;
					if (hung.heir == kNoAddress)
					{
						meta->entry = kNoAddress;
						meta->entry_level = 0;
					}
					return true;
				});
	OMENDB_FAULT(vacuum_rooted);
}

/*
 * An entry point that is still dead: nothing stayed above level 0, and the root takes
 * its place, from which the protected links lead to all, as soon as it is not dead any
 * more. Before the sweep of a pass, as replace_entry(): what an insertion wrote above
 * level 0 before it looked at the meta page for the last time, that sweep meets.
 */
void
secure_entry(Vacuum *vacuum)
{
	omendb_read_meta(vacuum->index, &vacuum->meta);
	if (!vacuum->dead.test(vacuum->meta.entry) || vacuum->dead.test(vacuum->meta.root))
		return;
	change_meta(vacuum,
				[vacuum](OmendbMetaPage *meta)
				{
					if (!vacuum->dead.test(meta->entry) || vacuum->dead.test(meta->root))
						return false;
					meta->entry = meta->root;
					meta->entry_level = 0;
					return true;
				});
	OMENDB_FAULT(vacuum_secured);
}

/* ---- a page ---- */

/* The highest live record so far. The page is locked. */
void
note_highest(Vacuum *vacuum, BlockNumber block, Page page)
{
	for (uint32_t slot = 0; slot < special_of(page)->slots; slot++)
	{
		const RecordHeader *h = graph::header(record_at(vacuum, page, slot));
		if (h->state == (uint8_t) State::Live && h->level > vacuum->highest.level &&
			h->level <= OMENDB_MAX_LEVEL)
			vacuum->highest = graph::EntryPoint{make_address(block, slot), h->level};
	}
}

/* Copy a page under share lock. Returns whether a list of it leads to dead nodes. */
bool
copy_page(Repair *repair, Workers *workers, Buffer buffer)
{
	Vacuum *vacuum = repair->vacuum;
	Page page = BufferGetPage(buffer);
	bool damaged = false;

	for (uint32_t slot = 0; slot < special_of(page)->slots && !damaged; slot++)
	{
		const uint8_t *record = record_at(vacuum, page, slot);
		damaged = is_present(graph::header(record)) && workers->lists.is_damaged(record);
	}
	if (damaged)
		memcpy(repair->before, page, BLCKSZ);
	return damaged;
}

/* The components of dead nodes that hang on the nodes of the page. */
void
rehang_page(Repair *repair, Workers *workers, size_t fixed)
{
	Vacuum *vacuum = repair->vacuum;
	const graph::Shape &shape = vacuum->shape;
	Page page = (Page) repair->before;

	repair->hung.size = fixed;
	for (uint32_t slot = 0; slot < special_of(page)->slots; slot++)
	{
		const uint8_t *record = record_at(vacuum, page, slot);
		const uint32_t *mask = graph::protected_mask(shape, record);
		if (!is_present(graph::header(record)) || graph::header(record)->level != 0)
			continue;
		for (uint32_t lane = 0; lane < shape.max_links; lane++)
		{
			Address to = graph::neighbours(shape, record)[lane];
			if (!graph::get_bit(mask, lane) || !vacuum->dead.test(to))
				continue;
			Rehung hung;
			(void) workers->rehanger.rehang(to, &hung);
			(void) repair->hung.push(hung);
		}
	}
}

/* Repair the lists of the copy. Returns which slots were. */
uint64_t
repair_copy(Repair *repair, Workers *workers, BlockNumber block)
{
	Vacuum *vacuum = repair->vacuum;
	Page page = (Page) repair->after;
	uint64_t repaired = 0;

	memcpy(repair->after, repair->before, BLCKSZ);
	for (uint32_t slot = 0; slot < special_of(page)->slots; slot++)
	{
		uint8_t *record = record_at(vacuum, page, slot);
		if (!is_present(graph::header((const uint8_t *) record)) ||
			!workers->lists.is_damaged(record))
			continue;
		if (!workers->lists.repair(make_address(block, slot), record, repair->hung.data,
								   repair->hung.size))
			repair->unfinished++;
		repaired |= (uint64_t) 1 << slot;
		if (workers->lists.is_thin())
			(void) vacuum->thin.add(make_address(block, slot));
	}
	return repaired;
}

/* Whether a record still has the list it was copied with. */
bool
is_unchanged(const graph::Shape &shape, const uint8_t *record, const uint8_t *copy)
{
	const RecordHeader *h = graph::header(record);
	const RecordHeader *old = graph::header(copy);

	return h->state == old->state && h->generation == old->generation &&
		   memcmp(graph::protected_mask(shape, record), graph::protected_mask(shape, copy),
				  2 * sizeof(uint32_t) * shape.blocks) == 0 &&
		   memcmp(graph::neighbours(shape, record), graph::neighbours(shape, copy),
				  sizeof(uint32_t) * OMENDB_LANES * shape.blocks) == 0;
}

/*
 * Put the repaired lists into the page, where theirs are still the old ones: one
 * WAL record. Returns whether all could be; the copy is made anew.
 */
bool
apply_copy(Repair *repair, Buffer buffer, uint64_t repaired)
{
	Vacuum *vacuum = repair->vacuum;
	const graph::Shape &shape = vacuum->shape;
	bool all = true, changed = false;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *xlog = GenericXLogStart(vacuum->index);
	Page page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	for (uint32_t slot = 0; slot < special_of(page)->slots; slot++)
	{
		if ((repaired >> slot & 1) == 0)
			continue;
		uint8_t *record = record_at(vacuum, page, slot);
		const uint8_t *repaired_record = record_at(vacuum, (Page) repair->after, slot);
		if (!is_unchanged(shape, record, record_at(vacuum, (Page) repair->before, slot)))
		{
			all = false;
			continue;
		}
		memcpy(record + shape.masks_at, repaired_record + shape.masks_at,
			   2 * sizeof(uint32_t) * shape.blocks);
		memcpy(record + shape.neighbours_at, repaired_record + shape.neighbours_at,
			   shape.slot_bytes - shape.neighbours_at);
		changed = true;
	}
	if (!all)
		memcpy(repair->before, page, BLCKSZ);
	if (changed)
		GenericXLogFinish(xlog);
	else
		GenericXLogAbort(xlog);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (changed)
		OMENDB_FAULT(vacuum_repaired);
	return all;
}

void
repair_page(Repair *repair, Workers *workers, BlockNumber block, size_t fixed)
{
	uint64_t unfinished = repair->unfinished;

	omendb_vacuum_delay_point();
	Buffer buffer = read_graph_page(repair->vacuum, block, BUFFER_LOCK_SHARE);
	if (!BufferIsValid(buffer))
		return;
	note_highest(repair->vacuum, block, BufferGetPage(buffer));
	(void) repair->vacuum->thin.grow(block + 1);
	bool damaged = copy_page(repair, workers, buffer);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (damaged)
	{
		rehang_page(repair, workers, fixed);
		if (repair->hung.size > fixed)
		{
			/* That may have changed this page. */
			LockBuffer(buffer, BUFFER_LOCK_SHARE);
			memcpy(repair->before, BufferGetPage(buffer), BLCKSZ);
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		}
		/* An inserter changes a page now and then, so this ends. */
		uint64_t repaired;
		do
		{
			omendb_vacuum_delay_point();
			repair->unfinished = unfinished;
			repaired = repair_copy(repair, workers, block);
			OMENDB_FAULT(vacuum_copied);
		} while (!apply_copy(repair, buffer, repaired));
	}
	ReleaseBuffer(buffer);
}

/* One sweep over all pages; the root first. */
void
repair_pass(Repair *repair, Workers *workers)
{
	Vacuum *vacuum = repair->vacuum;
	BlockNumber block = OMENDB_META_BLOCK + 1;
	BlockNumber end;

	repair->unfinished = 0;
	repair->hung.size = 0;
	repair->entered.clear();
	replace_root(repair, workers);
	secure_entry(vacuum);
	size_t fixed = repair->hung.size;
	do
	{
		end = RelationGetNumberOfBlocks(vacuum->index);
		for (; block < end; block++)
			repair_page(repair, workers, block, fixed);
	} while (end < RelationGetNumberOfBlocks(vacuum->index));
}

/* Memory for the copies of records: a quarter of what maintenance may take. */
Size
cache_bytes()
{
	int kilobytes = AmAutoVacuumWorkerProcess() && autovacuum_work_mem != -1 ? autovacuum_work_mem
																			 : maintenance_work_mem;

	return (Size) kilobytes * 1024 / 4;
}

void *
get_memory(Vacuum *vacuum, Size bytes)
{
	return MemoryContextAllocHuge(vacuum->context, bytes);
}

} // namespace

void
mark_above(Vacuum *vacuum)
{
	BlockNumber last = InvalidBlockNumber;

	for (uint32_t level = 1; level <= OMENDB_MAX_LEVEL; level++)
	{
		for (size_t i = 0; i < vacuum->above.size; i++)
		{
			const AboveRecord *record = &vacuum->above[i];
			if (record->level == level && vacuum->dead.test(record->down))
				(void) vacuum->dead.add(record->address);
		}
	}
	for (size_t i = 0; i < vacuum->above.size; i++)
	{
		Address address = vacuum->above[i].address;
		if (address_block(address) == last || !vacuum->dead.test(address))
			continue;
		last = address_block(address);
		mark_page(vacuum, last);
	}
	replace_entry(vacuum);
}

void
repair(Vacuum *vacuum)
{
	constexpr int kIdlePasses = 3;
	Repair *repair = (Repair *) get_memory(vacuum, sizeof(Repair));
	Workers *workers = (Workers *) get_memory(vacuum, sizeof(Workers));
	uint64_t before = UINT64_MAX;
	int idle = 0;

	repair->vacuum = vacuum;
	repair->cache.init(vacuum, cache_bytes());
	repair->entered.init(&vacuum->memory, vacuum->shape.slots);
	(void) repair->entered.grow(vacuum->dead.blocks());
	repair->hung.init(&vacuum->memory);
	repair->before = (uint8_t *) get_memory(vacuum, BLCKSZ);
	repair->after = (uint8_t *) get_memory(vacuum, BLCKSZ);
	repair->record = (uint8_t *) get_memory(vacuum, vacuum->shape.slot_bytes);
	repair->own = (float *) get_memory(vacuum, vacuum->shape.dim * sizeof(float));
	repair->other = (float *) get_memory(vacuum, vacuum->shape.dim * sizeof(float));
	repair->code = (quant::LaneCode *) get_memory(vacuum, sizeof(quant::LaneCode));
	workers->forest.init(repair);
	workers->rehanger.init(&workers->forest, &vacuum->memory);

	graph::RepairMemory memory;
	memory.own = (float *) get_memory(vacuum, vacuum->shape.dim * sizeof(float));
	memory.other = (float *) get_memory(vacuum, vacuum->shape.dim * sizeof(float));
	memory.query_memory = get_memory(vacuum, quant::query_bytes(vacuum->space));
	workers->lists.init(&repair->cache, &vacuum->space, &vacuum->shape, &vacuum->wide, memory);

	/* What one pass leaves waits for a component below it that the pass has dealt with. */
	do
	{
		repair_pass(repair, workers);
		idle = repair->unfinished < before ? 0 : idle + 1;
		before = repair->unfinished;
		if (idle >= kIdlePasses)
			omendb_page_damaged(vacuum->index, OMENDB_META_BLOCK,
								"protected links leave no room for another");
	} while (repair->unfinished > 0);
}

void
raise_entry(Vacuum *vacuum)
{
	graph::EntryPoint best = find_entry(vacuum);

	if (vacuum->highest.level > best.level)
		best = vacuum->highest;
	omendb_read_meta(vacuum->index, &vacuum->meta);
	if (best.level <= vacuum->meta.entry_level || vacuum->meta.entry == kNoAddress)
		return;
	change_meta(vacuum,
				[vacuum, best](OmendbMetaPage *meta)
				{
					RecordHeader h;

					/* Nobody but us takes a record away; the meta page is locked before it. */
					if (meta->entry == kNoAddress || best.level <= meta->entry_level ||
						!copy_record(vacuum, best.address, (uint8_t *) &h, sizeof(h)) ||
						h.state != (uint8_t) State::Live || h.level != best.level)
						return false;
					meta->entry = best.address;
					meta->entry_level = best.level;
					return true;
				});
	OMENDB_FAULT(vacuum_raised);
}

} // namespace omendb::store::vacuum
