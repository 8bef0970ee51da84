/*
 * page_store.hpp - the graph in shared buffers.
 *
 * Reading: one page is pinned at a time, and share-locked from begin_read() to end_read();
 * lines of the next candidates are fetched meanwhile, without a pin. The pin is
 * dropped by release(), before control returns to the executor. An ereport in
 * between leaves pin and lock to PostgreSQL. Who writes pins pages of its own
 * (pin_page()) and finds records in them by record_on().
 */
#ifndef OMENDB_STORE_PAGE_STORE_HPP
#define OMENDB_STORE_PAGE_STORE_HPP

#include "pg/postgres.hpp"

extern "C"
{
#include "executor/instrument.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "store/pages.h"
}

#include <cfloat>

#include "graph/store.hpp"
#include "quant/value.hpp"

namespace omendb::store
{

/*
 * Where this backend last found blocks in shared buffers: hints that are
 * checked when they are used. They save the look-up in the mapping table, the
 * dearest part of a hop, and tell what to prefetch without pinning it. Blocks
 * of all relations share the table; where two meet, the last one stays.
 */
struct RecentBuffers
{
	/* A search touches pages all over the index: fewer entries are seldom hit. */
	static constexpr uint32_t kMaxEntries = 1u << 20;

	MemoryContext context;
	Buffer *entries;
	uint32_t count; /* a power of two, or 0 */
	uint32_t reads;
	uint32_t glances;

	/* Room for as many blocks as the relation has. */
	void
	attach(BlockNumber blocks)
	{
		uint32_t wanted = 1024;

		while (wanted < blocks && wanted < kMaxEntries)
			wanted *= 2;
		if (wanted <= count)
			return;
		if (entries != nullptr)
			pfree(entries);
		entries = nullptr;
		count = 0;
		entries = (Buffer *) MemoryContextAllocZero(context, wanted * sizeof(Buffer));
		count = wanted;
	}

	/* The hint for a block; salt tells relations apart. */
	Buffer &
	operator()(uint32_t salt, BlockNumber block) const
	{
		return entries[(block + salt) & (count - 1)];
	}
};

class PageStore
{
public:
	/* blocks: no more than the relation has. */
	void
	init(Relation index, const quant::Space *space, const graph::Shape *shape,
		 RecentBuffers *recent, BlockNumber blocks)
	{
		index_ = index;
		space_ = space;
		shape_ = shape;
		current_ = Pinned{InvalidBlockNumber, InvalidBuffer};
		blocks_ = blocks;
		cold_ = 0;
		glanced_ = InvalidBlockNumber;
		recent_ = recent;
		rest_ = nullptr;
		value_ = nullptr;
		glances_ = kMayGlance && quant::is_plain(*space) && space->type != quant::Type::Sparse &&
				   shape->chunks == 0;
		salt_ = (uint32_t) RelationGetRelid(index) * 0x9E3779B1u;
		recent_->attach(blocks_);
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

	/* Memory to put values together that continue on other pages: stored_bytes. */
	void
	set_rest_memory(uint8_t *memory)
	{
		rest_ = memory;
	}

	/*
	 * Pin and share-lock a's page. NULL when a leads nowhere: past the end, to
	 * a page of another kind or never written, to a slot that is not there; when the
	 * rest of its value is another's by now or not there yet. ERROR when the page itself is
	 * damaged.
	 */
	const uint8_t *
	begin_read(graph::Address a, graph::Address next)
	{
		if (cold_ > 0)
			cold_--;
		prefetch(next);
		if (!pin(a))
			return nullptr;
		LockBuffer(current_.buffer, BUFFER_LOCK_SHARE);
		const uint8_t *record = record_on(BufferGetPage(current_.buffer), a);
		if (record != nullptr && !find_value(a, record))
			record = nullptr;
		if (record == nullptr)
			LockBuffer(current_.buffer, BUFFER_LOCK_UNLOCK);
		return record;
	}

	/*
	 * The record's bytes as they are, without pin or lock, in the buffer where this
	 * backend last found its page: for a distance that decides who is expanded first,
	 * and nothing else. NULL: not there, or whatever else takes begin_read(). Not while
	 * a record is being read.
	 *
	 * Shared buffers are never unmapped, and what is read lies in the buffer whatever its
	 * bytes are: so only values of one length, without chunks. Whether it was that page to the end
	 * is for glanced() to say: a buffer is given away by changing its header first.
	 */
	const uint8_t *
	glance(graph::Address a)
	{
		if (!glances_ || graph::address_slot(a) >= shape_->slots)
			return nullptr;
		if (++recent_->glances % kGlances == 0)
		{
			recent_->reads = kReadsByHint - 1;
			return nullptr;
		}
		const uint8_t *page = found_page(graph::address_block(a));
		if (page == nullptr)
			return nullptr;
		const uint8_t *record =
			page + OMENDB_PAGE_HEADER + graph::address_slot(a) * shape_->slot_bytes;
		value_ = graph::vector_of(*shape_, record);
		return record;
	}

	/* Whether what was read since glance(a) is of a's page. Counts as a hit, once for a page. */
	bool
	glanced(graph::Address a)
	{
		pg_read_barrier();
		if (found_page(graph::address_block(a)) == nullptr)
			return false;
		if (graph::address_block(a) == glanced_)
			return true;
		glanced_ = graph::address_block(a);
		/* As ReadBuffer() does. */
		pgBufferUsage.shared_blks_hit++;
		pgstat_count_buffer_read(index_);
		pgstat_count_buffer_hit(index_);
		return true;
	}

	/* All of the value of the record being read. */
	const uint8_t *
	value() const
	{
		return value_;
	}

	void
	end_read()
	{
		LockBuffer(current_.buffer, BUFFER_LOCK_UNLOCK);
	}

	void
	poll()
	{
		CHECK_FOR_INTERRUPTS();
	}

	float
	search_distance(const quant::Query &query, const uint8_t *record) const
	{
		if (!quant::is_plain(*space_))
			return quant::query_distance(*space_, query, value_, graph::header(record)->scale);
		double distance = quant::operator_value(*space_, query.value, value_);
		/* What is no number comes last. */
		return distance <= FLT_MAX ? (float) distance : FLT_MAX;
	}

	/*
	 * Fetch the lines of a record that will probably be read soon, if its page
	 * was met before; else ask the system for the page. Nothing is pinned: a hint
	 * that is no longer right costs a few useless lines.
	 */
	void
	prefetch(graph::Address a)
	{
		prefetch_bytes(a, shape_->slot_bytes, true);
	}

	/* Header and value: what a distance needs. */
	void
	prefetch_vector(graph::Address a)
	{
		prefetch_bytes(a, shape_->neighbours_at, !glances_);
	}

	/* to_lock: for begin_read(), not for glance(). */
	void
	prefetch_bytes(graph::Address a, uint32_t bytes, bool to_lock)
	{
		if (a == graph::kNoAddress)
			return;
		Buffer buffer = (*recent_)(salt_, graph::address_block(a));
		if (buffer == InvalidBuffer)
			return ask(a);
		if (buffer <= 0)
			return;
		const char *page = (const char *) BufferGetBlock(buffer);
		const char *p = page + OMENDB_PAGE_HEADER + graph::address_slot(a) * shape_->slot_bytes;
		/* In order of use: pin and lock, what record_on() checks, the record. */
		if (to_lock)
		{
			__builtin_prefetch(GetBufferDescriptor(buffer - 1), 1);
			__builtin_prefetch(page);
			__builtin_prefetch(page + OMENDB_PAGE_SIZE - sizeof(OmendbPageSpecial));
		}
		else
			__builtin_prefetch(GetBufferDescriptor(buffer - 1));
		for (uint32_t at = 0; at < bytes; at += 64)
			__builtin_prefetch(p + at);
	}

	/*
	 * How many of the next candidates to ask() for: none while pages come from
	 * shared buffers, some for a while after one did not.
	 */
	uint32_t
	ahead() const
	{
		return cold_ > 0 ? kAhead : 0;
	}

	/* Have the system read a page that this backend has not met, once. */
	void
	ask(graph::Address a)
	{
		BlockNumber block = graph::address_block(a);
		Buffer &hint = (*recent_)(salt_, block);

		/* kNoAddress is past the end, too. */
		if (hint != InvalidBuffer || block >= blocks_)
			return;
		PrefetchBufferResult result = PrefetchBuffer(index_, MAIN_FORKNUM, block);
		hint = BufferIsValid(result.recent_buffer) ? result.recent_buffer : kAsked;
		if (result.initiated_io)
			cold_ = kColdHops;
	}

	/* Drop every pin; nothing is locked. */
	void
	release()
	{
		drop(&current_);
	}

	/* Ask how many blocks there are now. */
	void
	recount()
	{
		blocks_ = RelationGetNumberOfBlocks(index_);
		recent_->attach(blocks_);
	}

	/* How many blocks the index had when last asked. */
	BlockNumber
	blocks() const
	{
		return blocks_;
	}

	/* Whether there is such a block. The relation may have grown. */
	bool
	exists(BlockNumber block)
	{
		if (block < blocks_)
			return true;
		if (block == graph::address_block(graph::kNoAddress))
			return false;
		recount();
		return block < blocks_;
	}

	/* Pin a block that exists; the caller's to release. */
	Buffer
	pin_page(BlockNumber block)
	{
		return read(block);
	}

	/*
	 * The record at an address of a locked page, or NULL when none can be there: a
	 * page never written or of another kind, no such slot. ERROR when the page is
	 * damaged.
	 */
	uint8_t *
	record_on(Page page, graph::Address a) const
	{
		uint32_t slot = graph::address_slot(a);

		if (PageIsNew(page))
			return nullptr;
		const char *problem = omendb_page_problem(page, 0);
		if (problem != nullptr)
			omendb_page_damaged(index_, graph::address_block(a), problem);
		const OmendbPageSpecial *special = (const OmendbPageSpecial *) PageGetSpecialPointer(page);
		if (special->kind != OMENDB_PAGE_GRAPH || slot >= special->slots)
			return nullptr;
		if (special->slots > shape_->slots)
			omendb_page_damaged(index_, graph::address_block(a), "too many slots");
		uint8_t *record = (uint8_t *) page + OMENDB_PAGE_HEADER + slot * shape_->slot_bytes;
		const graph::RecordHeader *h = graph::header(record);
		if (h->level > OMENDB_MAX_LEVEL || h->tid_count > graph::kInlineTids)
			omendb_page_damaged(index_, graph::address_block(a), "record header out of range");
		return record;
	}

private:
	/*
	 * Some servers do not count a use for a page found by its hint: then the clock
	 * sweep takes hot pages first. Now and then one is looked up, which counts.
	 */
	static constexpr uint32_t kReadsByHint = 16;

	/* Valgrind is told that an unpinned buffer is not to be read. */
#ifdef USE_VALGRIND
	static constexpr bool kMayGlance = false;
#else
	static constexpr bool kMayGlance = true;
#endif

	/* For the same reason one glance of so many is such a read. */
	static constexpr uint32_t kGlances = 32;

	/* A hint that says only that the system was asked to read the page. */
	static constexpr Buffer kAsked = PG_INT32_MIN;
	/* Candidates to ask for, and for how many hops, once a page had to be read. */
	static constexpr uint32_t kAhead = 8;
	static constexpr uint32_t kColdHops = 32;

	struct Pinned
	{
		BlockNumber block;
		Buffer buffer;
	};

	static void
	drop(Pinned *pinned)
	{
		if (BufferIsValid(pinned->buffer))
			ReleaseBuffer(pinned->buffer);
		*pinned = Pinned{InvalidBlockNumber, InvalidBuffer};
	}

	/* Where a block was last found, if that buffer holds it now; nothing keeps it there. */
	const uint8_t *
	found_page(BlockNumber block) const
	{
		Buffer buffer = (*recent_)(salt_, block);

		/* Hints, and pages of temporary tables, are negative. */
		if (buffer <= 0)
			return nullptr;
		BufferDesc *descriptor = GetBufferDescriptor(buffer - 1);
		if ((pg_atomic_read_u32(&descriptor->state) & BM_VALID) == 0)
			return nullptr;
		pg_read_barrier();
		return omendb_tag_is_of(&descriptor->tag, index_, block)
				   ? (const uint8_t *) BufferGetBlock(buffer)
				   : nullptr;
	}

	/* Make current_ the page of a. */
	bool
	pin(graph::Address a)
	{
		BlockNumber block = graph::address_block(a);

		if (current_.block == block)
			return true;
		if (!exists(block))
			return false;
		drop(&current_);
		current_ = Pinned{block, read(block)};
		return true;
	}

	/* Pin a block. */
	Buffer
	read(BlockNumber block)
	{
		Buffer &hint = (*recent_)(salt_, block);
		Buffer buffer = hint;

		if (++recent_->reads % kReadsByHint != 0 && buffer != kAsked && BufferIsValid(buffer) &&
			omendb_read_recent_buffer(index_, block, buffer))
		{
			/* ReadBuffer() counts for the statistics views; this does not. */
			pgstat_count_buffer_read(index_);
			pgstat_count_buffer_hit(index_);
			return buffer;
		}
		buffer = ReadBuffer(index_, block);
		hint = buffer;
		return buffer;
	}

	/* Make value_ all of the value of a record under lock; false when its rest is gone. */
	bool
	find_value(graph::Address a, const uint8_t *record)
	{
		const graph::RecordHeader *h = graph::header(record);

		value_ = graph::vector_of(*shape_, record);
		if (shape_->chunks == 0 || h->state == (uint8_t) graph::State::Free)
			return true;
		if (h->rest == 0)
		{
			if (quant::stored_size(*space_, value_) <= shape_->value_room)
				return true;
			/* It is linking still, or was when its insertion failed: the rest is set last. */
			if (h->state == (uint8_t) graph::State::Live)
				omendb_page_damaged(index_, current_.block, "value is longer than its record");
			return false;
		}
		memcpy(rest_, value_, shape_->value_room);
		value_ = rest_;
		uint32_t at = shape_->value_room;
		uint32_t most = quant::stored_bytes(shape_->storage, shape_->dim);
		for (graph::Address chunk = h->rest; chunk != 0 && at < most;)
		{
			if (!copy_chunk(a, h->generation, most, &at, &chunk))
				return false;
		}
		if (at < quant::stored_size(*space_, value_))
			omendb_page_damaged(index_, current_.block, "value has too few chunks");
		return true;
	}

	/* Copy a chunk behind what is there already; the record's page is locked. */
	bool
	copy_chunk(graph::Address owner, uint16_t generation, uint32_t most, uint32_t *at,
			   graph::Address *chunk)
	{
		BlockNumber block = graph::address_block(*chunk);
		uint32_t slot = graph::address_slot(*chunk);

		if (!exists(block) || slot >= shape_->chunks)
			return false;
		Buffer buffer = read(block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		Page page = BufferGetPage(buffer);
		bool ours = !PageIsNew(page);
		const char *problem = ours ? omendb_page_problem(page, 0) : nullptr;
		if (problem != nullptr)
			omendb_page_damaged(index_, block, problem);
		/* A page of zeros has no special space. */
		if (ours)
		{
			const OmendbPageSpecial *special =
				(const OmendbPageSpecial *) PageGetSpecialPointer(page);
			ours = special->kind == OMENDB_PAGE_VALUES && slot < special->slots &&
				   special->slots * shape_->chunk_bytes <= OMENDB_PAGE_USABLE;
		}
		if (ours)
		{
			const uint8_t *p =
				(const uint8_t *) page + OMENDB_PAGE_HEADER + slot * shape_->chunk_bytes;
			const graph::ChunkHeader *h = (const graph::ChunkHeader *) (const void *) p;
			uint32_t length = h->length;
			ours = h->owner == owner && h->generation == generation && length > 0 &&
				   length <= shape_->chunk_bytes - sizeof(*h) && length <= most - *at;
			if (ours)
			{
				memcpy(rest_ + *at, h + 1, length);
				*at += length;
				*chunk = h->next;
			}
		}
		UnlockReleaseBuffer(buffer);
		return ours;
	}

	Relation index_;
	RecentBuffers *recent_;
	uint8_t *rest_;        /* of stored_bytes, where values may have chunks */
	const uint8_t *value_; /* of the record being read */
	const quant::Space *space_;
	const graph::Shape *shape_;
	Pinned current_;
	BlockNumber blocks_;
	uint32_t salt_;
	uint32_t cold_;
	BlockNumber glanced_; /* of the last glance */
	bool glances_;        /* values have one length, in their records: glance() may answer */
};

} // namespace omendb::store

#endif
