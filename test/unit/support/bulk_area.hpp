/*
 * bulk_area.hpp - a bulk build in one process: threads for participants, malloc
 * for shared memory, a function that receives the pages.
 */
#ifndef OMENDB_TEST_BULK_AREA_HPP
#define OMENDB_TEST_BULK_AREA_HPP

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "graph/bulk.hpp"

namespace omendb::test
{

class BulkArea
{
public:
	using Sink =
		std::function<void(uint32_t page, graph::BulkPage kind, const uint8_t *content, size_t)>;

	BulkArea(const quant::Space &space, const graph::Shape &shape, uint32_t ef_construction,
			 uint64_t expected_rows, uint32_t participants)
		: space_(space), shape_(shape), ef_construction_(ef_construction),
		  shared_(new graph::BulkShared()), participants_(participants)
	{
		graph::init_bulk(shared_.get(), space, shape, ef_construction, expected_rows);
	}

	BulkArea(const BulkArea &) = delete;

	graph::BulkShared &
	shared()
	{
		return *shared_;
	}

	/*
	 * Run `load(bulk, participant)` and what follows it in as many threads.
	 * memory: one for each participant.
	 */
	OmendbStatus
	run(const std::vector<const Memory *> &memory, uint32_t first_block, Sink sink,
		std::function<void(graph::Bulk *, uint32_t)> load)
	{
		std::vector<std::thread> threads;
		std::atomic<bool> ok{true};

		sink_ = std::move(sink);
		for (uint32_t i = 0; i < participants_; i++)
			threads.emplace_back(
				[&, i]
				{
					graph::BulkHooks hooks = {this, meet,        poll,       progress, extend,
											  map,  begin_pages, write_page, written};
					std::unique_ptr<graph::Bulk> bulk(new graph::Bulk);
					if (!bulk->init(&space_, &shape_, shared_.get(), &hooks, memory[i],
									ef_construction_, first_block))
						shared_->failed.store(true);
					else
						load(bulk.get(), i);
					if (bulk->finish() != OMENDB_OK)
						ok = false;
				});
		for (std::thread &thread : threads)
			thread.join();
		return ok ? OMENDB_OK : OMENDB_NO_MEMORY;
	}

	uint32_t pages = 0; /* announced */
	uint32_t pages_written = 0;

	size_t
	bytes() const
	{
		return bytes_;
	}

private:
	static bool
	meet(void *context)
	{
		BulkArea *area = (BulkArea *) context;
		std::unique_lock<std::mutex> guard(area->lock_);
		uint64_t round = area->round_;

		if (++area->waiting_ == area->participants_)
		{
			area->waiting_ = 0;
			area->round_++;
			area->all_met_.notify_all();
			return true;
		}
		area->all_met_.wait(guard, [&] { return area->round_ != round; });
		return false;
	}

	static void
	poll(void *)
	{
	}

	static void
	progress(void *, uint32_t step, uint32_t first, uint32_t limit)
	{
		if (step >= graph::kBulkSteps || first >= limit)
			abort();
	}

	static void
	extend(void *context, uint32_t region, uint32_t segments, size_t segment_bytes)
	{
		BulkArea *area = (BulkArea *) context;
		std::lock_guard<std::mutex> guard(area->lock_);
		std::vector<uint8_t *> &table = area->tables_[region];

		/* The tables of others stay where they are. */
		table.reserve(1 << 16);
		while (table.size() < segments)
		{
			area->blocks_.emplace_back(new uint8_t[segment_bytes + 16]);
			area->bytes_ += segment_bytes;
#ifndef NDEBUG
			memset(area->blocks_.back().get(), 0xA5, segment_bytes);
#endif
			table.push_back(area->blocks_.back().get());
		}
	}

	static uint8_t *const *
	map(void *context, uint32_t region, uint32_t *count)
	{
		BulkArea *area = (BulkArea *) context;
		std::lock_guard<std::mutex> guard(area->lock_);

		*count = (uint32_t) area->tables_[region].size();
		return area->tables_[region].data();
	}

	static void
	begin_pages(void *context, uint32_t pages)
	{
		((BulkArea *) context)->pages = pages;
	}

	static void
	write_page(void *context, uint32_t page, graph::BulkPage kind, const uint8_t *content,
			   size_t bytes)
	{
		((BulkArea *) context)->sink_(page, kind, content, bytes);
	}

	static void
	written(void *context, uint32_t, uint32_t count)
	{
		BulkArea *area = (BulkArea *) context;
		std::lock_guard<std::mutex> guard(area->lock_);

		area->pages_written += count;
	}

	quant::Space space_;
	graph::Shape shape_;
	uint32_t ef_construction_;
	std::unique_ptr<graph::BulkShared> shared_;
	uint32_t participants_;
	Sink sink_;
	std::mutex lock_;
	std::condition_variable all_met_;
	uint32_t waiting_ = 0;
	uint64_t round_ = 0;
	size_t bytes_ = 0;
	std::vector<uint8_t *> tables_[graph::kBulkRegions];
	std::vector<std::unique_ptr<uint8_t[]>> blocks_;
};

} // namespace omendb::test

#endif
