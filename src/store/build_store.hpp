/*
 * build_store.hpp - insertion by several processes into page images that they
 * share. The server builds with graph/bulk.hpp; this is where tests and the
 * bench run what INSERT will.
 *
 * Readers take no locks: addresses are published with release and read with
 * acquire, code bytes may tear (a wrong estimate, no harm). Writers own a
 * record through its header's lock byte, held over no call that could fail or
 * wait. No Postgres in here: unit tests run the same code over malloc.
 */
#ifndef OMENDB_STORE_BUILD_STORE_HPP
#define OMENDB_STORE_BUILD_STORE_HPP

#include <atomic>

#include "base/spin.hpp"
#include "graph/insert-inl.hpp"
#include "store/layout.h"

namespace omendb::store
{

/* Pages of one chunk, the unit in which segments are handed to the store. */
constexpr uint32_t kChunkPages = 64;
constexpr size_t kChunkBytes = (size_t) kChunkPages * OMENDB_PAGE_SIZE;

/* Shared by all participants; zero-initialised memory, then init_control(). */
struct BuildControl
{
	std::atomic<uint64_t> entry;     /* level << 32 | address */
	std::atomic<uint32_t> root;      /* address */
	std::atomic<uint32_t> next_page; /* first page nobody has taken */
	std::atomic<uint32_t> chunks;    /* chunks that exist */
	std::atomic<uint64_t> nodes;
	std::atomic<uint64_t> tids;
};

static_assert(std::atomic<uint64_t>::is_always_lock_free);

inline void
init_control(BuildControl *control)
{
	control->entry.store(graph::kNoAddress);
	control->root.store(graph::kNoAddress);
	control->next_page.store(0);
	control->chunks.store(0);
	control->nodes.store(0);
	control->tids.store(0);
}

/* What the store needs from its surroundings. */
struct BuildHooks
{
	void *context;
	/* Make chunks[0 .. wanted) valid in this process; may not return (error). */
	void (*map)(void *context, uint32_t wanted);
	/* Make control->chunks larger, or return false: out of memory. May not return. */
	bool (*grow)(void *context);
	void (*lock_entry)(void *context);
	void (*unlock_entry)(void *context);
};

class BuildStore
{
public:
	/* first_block: the block that page 0 of the area will become. */
	void
	init(const quant::Space *space, const graph::Shape *shape, BuildControl *control,
		 const BuildHooks *hooks, uint32_t first_block)
	{
		space_ = space;
		shape_ = shape;
		control_ = control;
		hooks_ = hooks;
		first_block_ = first_block;
		chunks_ = nullptr;
		mapped_ = 0;
		graph_page_ = overflow_page_ = kNoPage;
		graph_slot_ = overflow_slot_ = 0;
		spare_count_ = 0;
	}

	/* The process' view of the chunks, kept by the map hook. */
	void
	set_chunks(uint8_t *const *chunks, uint32_t count)
	{
		chunks_ = chunks;
		mapped_ = count;
	}

	const quant::Space &
	space() const
	{
		return *space_;
	}

	const graph::Shape &
	shape() const
	{
		return *shape_;
	}

	/* ---- reading ---- */

	/* Maps what it must; for use where nothing is locked. */
	const uint8_t *
	begin_read(graph::Address a, graph::Address next)
	{
		prefetch(next);
		uint32_t chunk = (graph::address_block(a) - first_block_) / kChunkPages;
		if (chunk >= mapped_)
		{
			if (a == graph::kNoAddress || chunk >= control_->chunks.load())
				return nullptr;
			hooks_->map(hooks_->context, chunk + 1);
		}
		return record_at(a);
	}

	/* Reading is as cheap. */
	const uint8_t *
	glance(graph::Address) const
	{
		return nullptr;
	}

	bool
	glanced(graph::Address) const
	{
		return false;
	}

	void
	end_read()
	{
	}

	uint32_t
	ahead() const
	{
		return 0;
	}

	void
	ask(graph::Address)
	{
	}

	/* The record if this process has it mapped, else NULL. Never waits or fails. */
	const uint8_t *
	record(graph::Address a) const
	{
		if (a == graph::kNoAddress ||
			(graph::address_block(a) - first_block_) / kChunkPages >= mapped_)
			return nullptr;
		return record_at(a);
	}

	void
	prefetch(graph::Address a) const
	{
		const uint8_t *p = record(a);
		if (p == nullptr)
			return;
		for (uint32_t at = 0; at < shape_->slot_bytes; at += 64)
			__builtin_prefetch(p + at);
	}

	/* Header and vector: what pruning needs. */
	void
	prefetch_vector(graph::Address a) const
	{
		const uint8_t *p = record(a);
		if (p == nullptr)
			return;
		for (uint32_t at = 0; at < shape_->neighbours_at; at += 64)
			__builtin_prefetch(p + at);
	}

	void
	poll()
	{
	}

	/* ---- the row being inserted ---- */

	void
	set_row(const uint8_t *stored, const quant::StoredMeta &meta)
	{
		row_vector_ = stored;
		row_meta_ = meta;
	}

	/* Squared distance of the row being inserted to a record. */
	float
	search_distance(const quant::Query &query, const uint8_t *record) const
	{
		return graph::row_distance(*space_, *shape_, row_vector_, row_meta_, query, record);
	}

	/* ---- writing ---- */

	uint8_t *
	begin_write(graph::Address a)
	{
		uint8_t *p = record_at(a);
		spin_lock(&graph::header(p)->lock);
		return p;
	}

	void
	end_write(graph::Address a)
	{
		spin_unlock(&graph::header(record_at(a))->lock);
	}

	/*
	 * Take pages until a node of `levels` records and one TID part fit without
	 * allocating. False: out of memory. May not return (the grow hook).
	 */
	bool reserve(uint32_t levels);

	graph::Address allocate(uint32_t level);

	uint8_t *
	new_record(graph::Address a)
	{
		return record_at(a);
	}

	/* A TID joins a node; true always here: reserve() left room. */
	bool add_tid(graph::Address a, const graph::Row &row);

	/* ---- entry point and root ---- */

	graph::EntryPoint
	entry() const
	{
		uint64_t e = control_->entry.load(std::memory_order_acquire);
		return graph::EntryPoint{(graph::Address) e, (uint32_t) (e >> 32)};
	}

	void
	set_entry(graph::EntryPoint e)
	{
		control_->entry.store((uint64_t) e.level << 32 | e.address, std::memory_order_release);
	}

	graph::Address
	root() const
	{
		return control_->root.load(std::memory_order_acquire);
	}

	void
	set_root(graph::Address a)
	{
		control_->root.store(a, std::memory_order_release);
	}

	void
	lock_entry()
	{
		hooks_->lock_entry(hooks_->context);
	}

	void
	unlock_entry()
	{
		hooks_->unlock_entry(hooks_->context);
	}

	/* ---- the pages themselves ---- */

	uint8_t *
	page(uint32_t index) const
	{
		return chunks_[index / kChunkPages] + (size_t) (index % kChunkPages) * OMENDB_PAGE_SIZE;
	}

	/* NULL if this process does not have it mapped. */
	OmendbTidPart *
	part(graph::Address a) const
	{
		if (a == graph::kNoAddress ||
			(graph::address_block(a) - first_block_) / kChunkPages >= mapped_)
			return nullptr;
		uint8_t *p = page(graph::address_block(a) - first_block_) + OMENDB_PAGE_HEADER;
		return (OmendbTidPart *) (void *) p + graph::address_slot(a);
	}

private:
	static constexpr uint32_t kNoPage = 0xFFFFFFFFu;
	static constexpr uint32_t kMaxSpare = OMENDB_MAX_LEVEL + 3;

	uint8_t *
	record_at(graph::Address a) const
	{
		return page(graph::address_block(a) - first_block_) + OMENDB_PAGE_HEADER +
			   graph::address_slot(a) * shape_->slot_bytes;
	}

	bool take_page(uint32_t *index);
	void set_kind(uint32_t index, uint16_t kind, uint16_t slots);

	const quant::Space *space_;
	const graph::Shape *shape_;
	BuildControl *control_;
	const BuildHooks *hooks_;
	uint8_t *const *chunks_;
	uint32_t mapped_;
	uint32_t first_block_;

	const uint8_t *row_vector_;
	quant::StoredMeta row_meta_;

	/* This process' own pages, filled slot by slot. */
	uint32_t graph_page_;
	uint32_t graph_slot_;
	uint32_t overflow_page_;
	uint32_t overflow_slot_;
	uint32_t spare_[kMaxSpare];
	uint32_t spare_count_;
};

inline bool
BuildStore::take_page(uint32_t *index)
{
	uint32_t page = control_->next_page.load();

	while (true)
	{
		if (page >= control_->chunks.load() * kChunkPages)
		{
			if (!hooks_->grow(hooks_->context))
				return false;
			page = control_->next_page.load();
			continue;
		}
		if (control_->next_page.compare_exchange_weak(page, page + 1))
			break;
	}
	if (page / kChunkPages >= mapped_)
		hooks_->map(hooks_->context, page / kChunkPages + 1);
	memset(this->page(page), 0, OMENDB_PAGE_SIZE);
	*index = page;
	return true;
}

inline bool
BuildStore::reserve(uint32_t levels)
{
	uint32_t in_page = graph_page_ == kNoPage ? 0 : shape_->slots - graph_slot_;
	uint32_t needed =
		levels <= in_page ? 0 : (levels - in_page + shape_->slots - 1) / shape_->slots;

	if (overflow_page_ == kNoPage || overflow_slot_ == OMENDB_PARTS_PER_PAGE)
		needed++; /* taken only if a TID part is */
	while (spare_count_ < needed)
	{
		if (!take_page(&spare_[spare_count_]))
			return false;
		set_kind(spare_[spare_count_], OMENDB_PAGE_GRAPH, (uint16_t) shape_->slots);
		spare_count_++;
	}
	return true;
}

inline void
BuildStore::set_kind(uint32_t index, uint16_t kind, uint16_t slots)
{
	OmendbPageSpecial *special =
		(OmendbPageSpecial *) (void *) (page(index) + OMENDB_PAGE_SIZE - sizeof(OmendbPageSpecial));

	special->kind = kind;
	special->slots = slots;
	special->unused = 0;
	special->page_id = OMENDB_PAGE_ID;
}

inline graph::Address
BuildStore::allocate(uint32_t level)
{
	if (graph_page_ == kNoPage || graph_slot_ == shape_->slots)
	{
		graph_page_ = spare_[--spare_count_];
		graph_slot_ = 0;
	}
	if (level == 0)
	{
		control_->nodes.fetch_add(1, std::memory_order_relaxed);
		control_->tids.fetch_add(1, std::memory_order_relaxed);
	}
	return graph::make_address(first_block_ + graph_page_, graph_slot_++);
}

inline bool
BuildStore::add_tid(graph::Address a, const graph::Row &row)
{
	graph::RecordHeader *h = graph::header(begin_write(a));

	if (row.hash != h->hash)
		h->flags &= (uint8_t) ~graph::kFlagUniform;
	if (row.residual > h->residual)
		h->residual = row.residual;
	if (h->tid_count < graph::kInlineTids)
		h->tids[h->tid_count++] = row.tid;
	else
	{
		/* Under the lock nothing may be mapped: then the chain goes on in a part of our own. */
		OmendbTidPart *newest = part(h->overflow);
		if (newest == nullptr || newest->count == OMENDB_PART_TIDS)
		{
			if (overflow_page_ == kNoPage || overflow_slot_ == OMENDB_PARTS_PER_PAGE)
			{
				overflow_page_ = spare_[--spare_count_];
				overflow_slot_ = 0;
				set_kind(overflow_page_, OMENDB_PAGE_OVERFLOW, OMENDB_PARTS_PER_PAGE);
				for (uint32_t slot = 0; slot < OMENDB_PARTS_PER_PAGE; slot++)
					part(graph::make_address(first_block_ + overflow_page_, slot))->owner =
						OMENDB_NO_ADDRESS;
			}
			graph::Address next =
				graph::make_address(first_block_ + overflow_page_, overflow_slot_++);
			newest = part(next);
			newest->owner = a;
			newest->generation = h->generation;
			newest->count = 0;
			newest->next = h->overflow;
			h->overflow = next;
		}
		memcpy(&newest->tids[3 * newest->count++], &row.tid, sizeof(graph::Tid));
	}
	end_write(a);
	control_->tids.fetch_add(1, std::memory_order_relaxed);
	return true;
}

} // namespace omendb::store

#endif
