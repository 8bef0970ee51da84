/*
 * page_store.hpp - the graph in shared buffers, for reading.
 *
 * One page is share-locked at a time, from begin_read() to end_read(). The
 * next candidate's page is pinned and its lines are fetched before the current
 * one is locked. Pins are dropped by release(), before control returns to the
 * executor. An ereport in between leaves pins and locks to PostgreSQL.
 */
#ifndef OMENDB_STORE_PAGE_STORE_HPP
#define OMENDB_STORE_PAGE_STORE_HPP

#include "pg/postgres.hpp"

extern "C"
{
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "store/pages.h"
}

#include "graph/store.hpp"

namespace omendb::store
{

/*
 * Where this backend last found blocks of one relation in shared buffers: a
 * hint that is checked when it is used, and saves the look-up in the mapping
 * table, the dearest part of a hop.
 */
struct RecentBuffers
{
	/* A search touches pages all over the index: fewer entries are seldom hit. */
	static constexpr uint32_t kMaxEntries = 1u << 17;

	struct Entry
	{
		BlockNumber block;
		Buffer buffer;
	};

	RelFileLocator file;
	MemoryContext context;
	Entry *entries;
	uint32_t count; /* a power of two, or 0 */

	/* Forget what was of another relation; room for as many blocks as it has. */
	void
	attach(Relation index, BlockNumber blocks)
	{
		RelFileLocator now = omendb_relation_file(index);
		uint32_t wanted = 1024;

		while (wanted < blocks && wanted < kMaxEntries)
			wanted *= 2;
		if (memcmp(&file, &now, sizeof(now)) == 0 && wanted <= count)
			return;
		file = now;
		if (wanted > count)
		{
			if (entries != nullptr)
				pfree(entries);
			entries = nullptr;
			count = 0;
			entries = (Entry *) MemoryContextAlloc(context, wanted * sizeof(Entry));
			count = wanted;
		}
		memset(entries, 0, count * sizeof(Entry));
	}

	/* Pin a block. */
	Buffer
	read(Relation index, BlockNumber block)
	{
		Entry &entry = entries[block & (count - 1)];

		if (entry.block == block && BufferIsValid(entry.buffer) &&
			omendb_read_recent_buffer(index, block, entry.buffer))
		{
			/* ReadBuffer() counts for the statistics views; this does not. */
			pgstat_count_buffer_read(index);
			pgstat_count_buffer_hit(index);
			return entry.buffer;
		}
		entry.block = block;
		entry.buffer = InvalidBuffer;
		entry.buffer = ReadBuffer(index, block);
		return entry.buffer;
	}
};

class PageStore
{
public:
	void
	init(Relation index, const quant::Space *space, const graph::Shape *shape,
		 RecentBuffers *recent)
	{
		index_ = index;
		space_ = space;
		shape_ = shape;
		current_ = Pinned{InvalidBlockNumber, InvalidBuffer};
		ahead_ = current_;
		blocks_ = RelationGetNumberOfBlocks(index);
		recent_ = recent;
		recent_->attach(index, blocks_);
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

	/*
	 * Pin and share-lock a's page. NULL when a leads nowhere: past the end, to
	 * a page of another kind or never written, to a slot that is not there.
	 * ERROR when the page itself is damaged.
	 */
	const uint8_t *
	begin_read(graph::Address a, graph::Address next)
	{
		if (!pin(a))
			return nullptr;
		look_ahead(next);
		LockBuffer(current_.buffer, BUFFER_LOCK_SHARE);
		const uint8_t *record = locate(a);
		if (record == nullptr)
			LockBuffer(current_.buffer, BUFFER_LOCK_UNLOCK);
		return record;
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
		return quant::query_distance(*space_, query, graph::vector_of(*shape_, record),
									 graph::header(record)->scale);
	}

	/* Drop every pin; nothing is locked. */
	void
	release()
	{
		drop(&current_);
		drop(&ahead_);
	}

	BlockNumber
	blocks() const
	{
		return blocks_;
	}

private:
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

	/* The relation may have grown since the scan began. */
	bool
	exists(BlockNumber block)
	{
		if (block < blocks_)
			return true;
		if (block == graph::address_block(graph::kNoAddress))
			return false;
		blocks_ = RelationGetNumberOfBlocks(index_);
		return block < blocks_;
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
		if (ahead_.block == block)
		{
			current_ = ahead_;
			ahead_ = Pinned{InvalidBlockNumber, InvalidBuffer};
		}
		else
			current_ = Pinned{block, recent_->read(index_, block)};
		return true;
	}

	void
	look_ahead(graph::Address a)
	{
		BlockNumber block = graph::address_block(a);

		if (a == graph::kNoAddress)
			return;
		if (block != current_.block && block != ahead_.block)
		{
			if (!exists(block))
				return;
			drop(&ahead_);
			ahead_ = Pinned{block, recent_->read(index_, block)};
		}
		Buffer buffer = block == current_.block ? current_.buffer : ahead_.buffer;
		const char *page = BufferGetPage(buffer);
		const char *p = page + OMENDB_PAGE_HEADER + graph::address_slot(a) * shape_->slot_bytes;
		/* What locate() checks first. */
		__builtin_prefetch(page);
		__builtin_prefetch(page + OMENDB_PAGE_SIZE - sizeof(OmendbPageSpecial));
		for (uint32_t at = 0; at < shape_->slot_bytes; at += 64)
			__builtin_prefetch(p + at);
	}

	/* The record on the locked current page. */
	const uint8_t *
	locate(graph::Address a)
	{
		Page page = BufferGetPage(current_.buffer);
		uint32_t slot = graph::address_slot(a);

		if (PageIsNew(page))
			return nullptr;
		const char *problem = omendb_page_problem(page, 0);
		if (problem != nullptr)
			omendb_page_damaged(index_, current_.block, problem);
		const OmendbPageSpecial *special = (const OmendbPageSpecial *) PageGetSpecialPointer(page);
		if (special->kind != OMENDB_PAGE_GRAPH || slot >= special->slots)
			return nullptr;
		if (special->slots > shape_->slots)
			omendb_page_damaged(index_, current_.block, "too many slots");
		const uint8_t *record =
			(const uint8_t *) page + OMENDB_PAGE_HEADER + slot * shape_->slot_bytes;
		const graph::RecordHeader *h = graph::header(record);
		if (h->level > OMENDB_MAX_LEVEL || h->tid_count > graph::kInlineTids)
			omendb_page_damaged(index_, current_.block, "record header out of range");
		return record;
	}

	Relation index_;
	RecentBuffers *recent_;
	const quant::Space *space_;
	const graph::Shape *shape_;
	Pinned current_;
	Pinned ahead_;
	BlockNumber blocks_;
};

} // namespace omendb::store

#endif
