/*
 * scan.cpp - a search as a stream of rows in proven order.
 *
 * Expanded nodes wait in a heap ordered by the lower end of their proven
 * interval. The nearest is handed out when the search's window is settled;
 * each row handed out lets the window slide by one, so the executor may go on
 * as long as it likes. A row whose interval meets no other's goes out as
 * exact; where intervals meet, the executor rechecks and reorders.
 *
 * When the pool runs dry before the window is full, a sweep over all pages
 * finds whatever search missed.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "utils/memutils.h"

#include "store/index.h"
}

#include "graph/search-inl.hpp"
#include "quant/value.hpp"
#include "store/constants.hpp"
#include "store/context_memory.hpp"
#include "store/page_store.hpp"
#include "store/shape.hpp"

namespace omendb::store
{

namespace
{

/* An expanded node that has not been handed out. */
struct Result
{
	double low;
	double high;
	graph::Address address;
	graph::Address overflow;
	uint16_t generation;
	uint8_t tid_count;
	uint8_t flags;
	graph::Tid tids[graph::kInlineTids];
};

struct Waiting
{
	double low;
	uint32_t result;
};

bool
later(const Waiting &a, const Waiting &b)
{
	return a.low != b.low ? a.low > b.low : a.result > b.result;
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/*
 * The window leads what was handed out, rounded up to a whole kStep, by
 * ef_search and by half as much again as was handed out, two and a half times
 * as much beyond kShallow rows, and kLeadPerLate for every late one. On 20 000
 * rows in 100 clusters a full stream lost 15 % of the rows as late without
 * growth, 0.4 % with a quarter; where clusters are wider apart a half still
 * lost 1.1 %. Ten rows leave the window some fifteen times where the executor
 * rechecks: a step of 16 settles it once.
 */
constexpr size_t kStep = 16;
constexpr size_t kShallow = 64;
constexpr size_t kLeadPerLate = 4;

/* Memory of a search beyond which it is not kept for the next one. */
constexpr Size kKeepMemory = 4 * 1024 * 1024;

/*
 * What a search grows. It is kept from scan to scan: getting it anew from the
 * operating system each time took a third of a short query.
 */
struct Workspace
{
	MemoryContext context; /* of this struct; a child of TopMemoryContext */
	MemoryContext arrays;  /* of what grows */
	Memory memory;
	graph::Pool pool;
	Array<graph::Candidate> starts;
	Array<graph::Candidate> scratch;
	Array<Result> results;
	Array<Waiting> waiting; /* heap, nearest first */
	RecentBuffers recent;
};

static_assert(std::is_trivially_destructible_v<Workspace>);

/* The one that waits for the next scan of this backend, or NULL. */
Workspace *spare_workspace = nullptr;

/* What the present search takes, whatever an earlier one has left behind. */
Size
memory_used(const Workspace *work)
{
	return work->pool.used() + work->results.used() + work->waiting.used();
}

/* What would be kept for the next search. */
Size
memory_kept(const Workspace *work)
{
	return work->pool.bytes() + work->results.bytes() + work->waiting.bytes();
}

/* Empty arrays without memory. */
void
reset_workspace(Workspace *work)
{
	MemoryContextReset(work->arrays);
	work->memory = memory_in(work->arrays);
	work->pool.init(&work->memory);
	work->starts.init(&work->memory);
	work->scratch.init(&work->memory);
	work->results.init(&work->memory);
	work->waiting.init(&work->memory);
}

Workspace *
take_workspace()
{
	Workspace *work = spare_workspace;

	spare_workspace = nullptr;
	if (work != nullptr)
		return work;
	MemoryContext context =
		AllocSetContextCreate(TopMemoryContext, "omen_hnsw workspace", ALLOCSET_DEFAULT_SIZES);
	work = (Workspace *) MemoryContextAllocZero(context, sizeof(Workspace));
	work->context = context;
	work->arrays = AllocSetContextCreate(context, "omen_hnsw search", ALLOCSET_DEFAULT_SIZES);
	work->recent.context = context;
	reset_workspace(work);
	return work;
}

/* When the scan's memory goes, after an error as well. */
void
return_workspace(void *argument)
{
	Workspace *work = (Workspace *) argument;

	if (spare_workspace == nullptr && memory_kept(work) <= kKeepMemory)
		spare_workspace = work;
	else
		MemoryContextDelete(work->context);
}

} // namespace

} // namespace omendb::store

using namespace omendb;
using namespace omendb::store;

struct OmendbScan
{
	MemoryContext context; /* everything of the scan but the workspace */
	MemoryContextCallback callback;
	Workspace *work;
	Relation index;
	OmendbMetaPage meta;
	graph::Shape shape;
	quant::Space space;
	quant::Query query;
	void *query_memory;
	uint8_t *rest; /* where values are put together that have chunks */
	PageStore store;
	OmendbScanLimits limits;
	bool any_order; /* NULL query */
	bool started;
	bool sweep_begun;
	graph::Address sweep_at; /* the next slot */
	int64 expanded;
	int64 live;     /* of these, nodes that had rows */
	size_t taken;   /* nodes that left the heap of waiting ones */
	int64 late;     /* rows skipped to keep the order */
	double floor;   /* nothing below this goes out any more */
	double highest; /* largest upper bound handed out for recheck */
	/* the node whose TIDs are being handed out */
	Result current;
	double current_bound;
	bool current_recheck;
	uint32_t next_tid;
	graph::Address next_part;
	uint32_t part_count;
	uint64_t parts_read;
	graph::Tid part_tids[OMENDB_PART_TIDS];
};

static_assert(std::is_trivially_destructible_v<OmendbScan>);

namespace
{

/* Computes the interval and keeps the node's TIDs, all from one locked read. */
struct ScanVisitor
{
	OmendbScan *scan;
	double value = 0; /* plain values: the operator's, of the last distance() */

	float
	distance(const quant::Query &, const uint8_t *record)
	{
		if (scan->any_order)
			return 0;
		if (!quant::is_plain(scan->space))
			return scan->store.search_distance(scan->query, record);
		value = quant::operator_value(scan->space, scan->query.value, scan->store.value());
		/* What is no number comes last. */
		return value <= std::numeric_limits<float>::max() ? (float) value
														  : std::numeric_limits<float>::max();
	}

	bool
	visit(graph::Address address, const uint8_t *record, float distance)
	{
		const graph::RecordHeader *h = graph::header(record);
		scan->expanded++;
		if (h->state == (uint8_t) graph::State::Dead ||
			(h->tid_count == 0 && h->overflow == graph::kNoAddress))
			return false;
		scan->live++;
		Result r;
		r.low = -kInfinity;
		r.high = kInfinity;
		if (!scan->any_order && quant::is_plain(scan->space))
		{
			/* NaN: the executor will see where it belongs. */
			if (value == value)
				r.low = r.high = value;
		}
		else if (!scan->any_order)
		{
			quant::Interval interval =
				quant::operator_interval(scan->space, scan->query, distance, graph::stored_meta(h));
			r.low = interval.low;
			r.high = interval.high;
		}
		r.address = address;
		r.overflow = h->overflow;
		r.generation = h->generation;
		r.tid_count = h->tid_count;
		r.flags = h->flags;
		memcpy(r.tids, h->tids, sizeof(r.tids));
		(void) scan->work->results.push(r);
		(void) scan->work->waiting.push(Waiting{r.low, (uint32_t) scan->work->results.size - 1});
		std::push_heap(scan->work->waiting.data,
					   scan->work->waiting.data + scan->work->waiting.size, later);
		return true;
	}

	bool
	failed() const
	{
		return false;
	}
};

void
read_parameters(OmendbScan *scan)
{
	omendb_read_meta(scan->index, &scan->meta);
	scan->shape = shape_of(scan->meta);
	scan->space = space_of(scan->meta, nullptr, nullptr);
	scan->query_memory = MemoryContextAlloc(scan->context, quant::query_bytes(scan->space));
	if (scan->shape.chunks > 0)
		scan->rest = (uint8_t *) MemoryContextAlloc(
			scan->context, quant::stored_bytes(scan->shape.storage, scan->shape.dim));
}

/* Map the query into the space and build its tables; NULL: some query, never asked. */
void
prepare_query(OmendbScan *scan, Constants *constants, const void *query)
{
	float *zero = nullptr;

	scan->query.value = (const uint8_t *) query;
	if (quant::is_plain(scan->space))
		return;

	if (query == nullptr)
		query = zero = (float *) palloc0(scan->meta.input_dim * sizeof(float));
	/* For this call only: an invalidation may free them any time later. */
	scan->space.mean = constants->mean();
	scan->space.signs = constants->signs();
	quant::prepare_query(scan->space, (const float *) query, scan->query_memory, &scan->query);
	scan->space.mean = nullptr;
	scan->space.signs = nullptr;
	if (zero != nullptr)
		pfree(zero);
}

/*
 * How many expanded nodes the next row needs. It grows with what was handed
 * out, rounded up to whole steps: the rows of a small LIMIT come out of one
 * settled window. The deeper a stream, the more nodes lie at nearly the same
 * distance, in clusters that the search has not reached yet: the lead grows
 * too, and faster where rows came late.
 */
size_t
window(const OmendbScan *scan)
{
	size_t taken = (scan->taken / kStep + 1) * kStep;
	size_t lead = taken <= kShallow ? taken / 2 : kShallow / 2 + (taken - kShallow) * 3 / 2;

	return (size_t) scan->limits.ef_search + taken + lead + (size_t) scan->late * kLeadPerLate;
}

/* Descend and fill the pool of level 0. */
void
begin_search(OmendbScan *scan)
{
	graph::EntryPoint entry = {scan->meta.entry, scan->meta.entry_level};

	scan->started = true;
	if (!scan->any_order)
		(void) graph::descend(scan->store, scan->work->pool, scan->query, entry, 0,
							  &scan->work->starts, &scan->work->scratch);
	else
		scan->work->starts.size = 0;
	(void) graph::begin_level(scan->work->pool, window(scan), true, &scan->work->starts);
}

bool
exhausted_limits(const OmendbScan *scan)
{
	/*
	 * The first window is filled whatever the caps, and with live nodes: a scan must not
	 * come back empty because those that VACUUM has not freed yet are nearer.
	 */
	if (scan->live < scan->limits.ef_search)
		return false;
	return scan->expanded >= scan->limits.max_scan_tuples ||
		   memory_used(scan->work) > scan->limits.max_memory;
}

/*
 * One step of the sweep over all pages: visit the next slot, if search has not. The
 * links are not asked: VACUUM may move them, from where the sweep has not been to
 * where it has. False when all slots were seen.
 */
bool
sweep_slot(OmendbScan *scan)
{
	ScanVisitor visitor{scan};

	/* The relation may have grown; what is older than the scan lies before. */
	if (!scan->sweep_begun)
	{
		scan->sweep_begun = true;
		scan->store.recount();
	}
	if (graph::address_block(scan->sweep_at) >= scan->store.blocks())
		return false;
	graph::Address address = scan->sweep_at++;
	if (graph::address_slot(scan->sweep_at) >= scan->shape.slots)
		scan->sweep_at = graph::make_address(graph::address_block(address) + 1, 0);
	if (scan->work->pool.mark(address))
		(void) graph::expand(scan->store, scan->work->pool, scan->query, 0, address, visitor);
	return true;
}

/* Expand until the nearest waiting row may go out, or nothing more is allowed. */
void
settle(OmendbScan *scan)
{
	ScanVisitor visitor{scan};

	while (!exhausted_limits(scan))
	{
		if (scan->work->pool.has_next())
			(void) graph::expand(scan->store, scan->work->pool, scan->query, 0,
								 scan->work->pool.pop(), visitor);
		else if (scan->work->pool.bound() < std::numeric_limits<float>::infinity() ||
				 !sweep_slot(scan))
			break;
		scan->store.poll();
	}
}

/* One more row leaves the window. */
void
widen(OmendbScan *scan)
{
	scan->taken++;
	size_t limit = window(scan);

	while (scan->work->pool.limit() < limit)
		(void) scan->work->pool.slide();
}

/*
 * The next node to hand out: order and recheck as src/README, "Order of a
 * scan". False when there is none.
 */
bool
next_result(OmendbScan *scan)
{
	while (true)
	{
		settle(scan);
		if (scan->work->waiting.size == 0)
			return false;
		std::pop_heap(scan->work->waiting.data, scan->work->waiting.data + scan->work->waiting.size,
					  later);
		const Result &r =
			scan->work->results[scan->work->waiting[--scan->work->waiting.size].result];
		widen(scan);
		if (r.low < scan->floor && !scan->limits.relaxed)
		{
			scan->late++;
			continue;
		}
		double next = scan->work->waiting.size > 0 ? scan->work->waiting[0].low : kInfinity;
		bool one_value = (r.flags & graph::kFlagUniform) != 0 ||
						 (r.tid_count + (r.overflow != graph::kNoAddress ? 2 : 0)) == 1;
		bool exact = one_value && r.low > scan->highest && r.low >= scan->floor &&
					 (r.high < next || r.high == r.low);
		scan->current = r;
		scan->current_bound = r.low;
		scan->current_recheck = !exact;
		scan->floor = std::max(scan->floor, exact ? r.high : r.low);
		if (!exact)
			scan->highest = std::max(scan->highest, r.high);
		scan->next_tid = 0;
		scan->next_part = r.overflow;
		scan->part_count = 0;
		scan->parts_read = 0;
		return true;
	}
}

/* Copy the TIDs of the next overflow part; false when the chain ends or is stale. */
bool
read_part(OmendbScan *scan)
{
	BlockNumber block = graph::address_block(scan->next_part);
	uint32_t slot = graph::address_slot(scan->next_part);

	if (scan->next_part == graph::kNoAddress || block >= RelationGetNumberOfBlocks(scan->index) ||
		slot >= OMENDB_PARTS_PER_PAGE)
		return false;
	Buffer buffer = omendb_read_page(scan->index, block, 0, BUFFER_LOCK_SHARE);
	Page page = BufferGetPage(buffer);
	const OmendbPageSpecial *special = (const OmendbPageSpecial *) PageGetSpecialPointer(page);
	const OmendbTidPart *part = (const OmendbTidPart *) (page + OMENDB_PAGE_HEADER) + slot;
	bool ours = special->kind == OMENDB_PAGE_OVERFLOW && part->owner == scan->current.address &&
				part->generation == scan->current.generation;
	/* An intact chain is no longer than there is room for parts. */
	if (ours && (part->count > OMENDB_PART_TIDS ||
				 ++scan->parts_read / OMENDB_PARTS_PER_PAGE > scan->store.blocks()))
		omendb_page_damaged(scan->index, block, "overflow part out of range");
	scan->part_count = 0;
	if (ours)
	{
		memcpy(scan->part_tids, part->tids, part->count * sizeof(graph::Tid));
		scan->part_count = part->count;
		scan->next_part = part->next;
	}
	UnlockReleaseBuffer(buffer);
	return ours;
}

/* The next TID of the current node. */
bool
next_tid(OmendbScan *scan, graph::Tid *tid)
{
	if (scan->next_tid < scan->current.tid_count)
	{
		*tid = scan->current.tids[scan->next_tid++];
		return true;
	}
	while (scan->part_count == 0)
	{
		if (scan->next_part == graph::kNoAddress || !read_part(scan))
			return false;
		CHECK_FOR_INTERRUPTS();
	}
	*tid = scan->part_tids[--scan->part_count];
	return true;
}

} // namespace

OmendbScan *
omendb_scan_create(Relation index)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw scan", ALLOCSET_DEFAULT_SIZES);
	OmendbScan *scan = (OmendbScan *) MemoryContextAllocZero(context, sizeof(OmendbScan));

	scan->context = context;
	scan->index = index;
	read_parameters(scan);
	scan->work = take_workspace();
	scan->callback.func = return_workspace;
	scan->callback.arg = scan->work;
	MemoryContextRegisterResetCallback(context, &scan->callback);
	return scan;
}

int
omendb_scan_dimensions(const OmendbScan *scan)
{
	return (int) scan->meta.input_dim;
}

void
omendb_scan_start(OmendbScan *scan, const void *query, const OmendbScanLimits *limits)
{
	/* Entry point and root may have moved, queries may be longer; the rest stays. */
	if (scan->started)
		omendb_read_meta(scan->index, &scan->meta);
	scan->space.query_length = scan->meta.query_length;
	scan->limits = *limits;
	scan->any_order = query == nullptr;
	scan->started = scan->sweep_begun = false;
	scan->sweep_at = graph::make_address(OMENDB_META_BLOCK + 1, 0);
	scan->expanded = scan->live = scan->late = 0;
	scan->taken = 0;
	scan->floor = scan->highest = -kInfinity;
	scan->current.tid_count = 0;
	scan->next_tid = 0;
	scan->next_part = graph::kNoAddress;
	scan->part_count = 0;
	if (memory_kept(scan->work) > kKeepMemory)
		reset_workspace(scan->work);
	scan->work->results.size = scan->work->waiting.size = 0;
	Constants *constants = constants_of(scan->index, scan->meta);
	scan->store.init(scan->index, &scan->space, &scan->shape, &scan->work->recent,
					 constants->blocks);
	scan->store.set_rest_memory(scan->rest);
	prepare_query(scan, constants, query);
}

bool
omendb_scan_next(OmendbScan *scan, ItemPointer tid, double *bound, bool *recheck)
{
	graph::Tid found;
	bool have;

	if (!scan->started)
		begin_search(scan);
	while (!(have = next_tid(scan, &found)))
	{
		if (!next_result(scan))
			break;
	}
	scan->store.release();
	if (!have)
		return false;
	memcpy(tid, &found, sizeof(found));
	*bound = scan->current_bound;
	*recheck = scan->current_recheck;
	return true;
}

void
omendb_scan_end(OmendbScan *scan)
{
	MemoryContextDelete(scan->context);
}
