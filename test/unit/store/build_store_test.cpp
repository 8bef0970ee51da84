/*
 * build_store_test.cpp - the area of a build: pages, parts, growth, and several
 * processes (here: threads) that insert into one graph. The thread sanitizer
 * runs what is named Concurrent.
 */
#include <gtest/gtest.h>

#include "support/memory_store.hpp"

namespace omendb::store
{
namespace
{

using graph::Address;
using test::IndexOptions;
using test::Matrix;
using test::MemoryIndex;
using test::numbers;

/* Pages taken by somebody else, up to the next chunk. */
void
skip_to_next_chunk(MemoryIndex *index)
{
	uint32_t page = index->control().next_page;
	index->control().next_page = (page / kChunkPages + 1) * kChunkPages;
}

/* ---- one process ---- */

TEST(BuildStore, ReserveIsEnoughForWhatFollows)
{
	Matrix base = test::uniform(400, 700, 1);
	IndexOptions o;
	o.storage = quant::Storage::Full;
	MemoryIndex index(base, o);

	/* Few slots a page, so that a node of 8 levels needs many pages. */
	ASSERT_LE(index.shape().slots, 2u);
	for (uint32_t i = 0; i < base.n; i++)
		ASSERT_EQ(index.insert(i, i % 5 == 0 ? OMENDB_MAX_LEVEL : i % 3, 0), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
}

TEST(BuildStore, PagesHaveTheirKind)
{
	Matrix base = test::uniform(3000, 8, 1);
	for (uint32_t i = 1000; i < base.n; i++)
		memcpy(base.row(i), base.row(0), 8 * sizeof(float));
	MemoryIndex index(base, IndexOptions());
	index.insert_all();
	test::EnumerableStore s = index.enumerable();
	uint32_t graph_pages = 0, overflow_pages = 0;
	for (uint32_t i = 0; i < s.pages; i++)
	{
		const OmendbPageSpecial *special =
			(const OmendbPageSpecial *) (const void *) (s.page(i) + OMENDB_PAGE_SIZE -
														sizeof(OmendbPageSpecial));
		ASSERT_EQ(special->page_id, OMENDB_PAGE_ID);
		ASSERT_EQ(special->unused, 0);
		graph_pages += special->kind == OMENDB_PAGE_GRAPH && special->slots == s.shape().slots;
		overflow_pages +=
			special->kind == OMENDB_PAGE_OVERFLOW && special->slots == OMENDB_PARTS_PER_PAGE;
	}
	EXPECT_EQ(graph_pages + overflow_pages, s.pages);
	EXPECT_EQ(overflow_pages, 2u); /* 1999 TIDs beyond the record's own, 1140 a page */
	EXPECT_EQ(index.all_rows(), numbers(base.n));
}

TEST(BuildStore, AddressesOfNobodyAreRefused)
{
	Matrix base = test::uniform(10, 8, 1);
	MemoryIndex index(base, IndexOptions());
	BuildStore &s = index.worker()->store;

	index.insert_all();
	EXPECT_EQ(s.record(graph::kNoAddress), nullptr);
	EXPECT_EQ(s.begin_read(graph::kNoAddress, graph::kNoAddress), nullptr);
	EXPECT_EQ(s.begin_read(graph::make_address(1000000, 0), graph::kNoAddress), nullptr);
	EXPECT_EQ(s.record(graph::make_address(0, 0)), nullptr) << "before the area";
	s.prefetch(graph::kNoAddress);
	s.prefetch_vector(graph::make_address(1000000, 0));
}

TEST(BuildStore, GrowthThatFailsLeavesTheGraphValid)
{
	Matrix base = test::uniform(4000, 100, 1);

	for (uint32_t chunks : {1, 2, 3})
	{
		IndexOptions o;
		o.max_chunks = chunks;
		MemoryIndex index(base, o);
		uint32_t inserted = 0;
		while (inserted < base.n && index.insert(inserted) == OMENDB_OK)
			inserted++;
		ASSERT_LT(inserted, base.n);
		EXPECT_EQ(index.control().chunks.load(), chunks);
		EXPECT_FALSE(index.worker()->store.reserve(graph::kMaxSlots));
		EXPECT_EQ(index.problem(), "");
		EXPECT_EQ(index.all_rows(), numbers(inserted));
	}
}

/* ---- chunks that one process knows and another does not ---- */

/* The newest part of a node lies where only its writer has looked so far. */
TEST(BuildStore, PartsInUnknownChunksAreLeftAlone)
{
	Matrix base = {200, 16, std::vector<float>(200 * 16, 0.5f)};
	base.row(0)[3] = 3;
	IndexOptions o;
	o.workers = 2;
	MemoryIndex index(base, o);

	ASSERT_EQ(index.insert(0, 0, 1), OMENDB_OK); /* now 1 has all the pages it needs */
	skip_to_next_chunk(&index);
	for (uint32_t i = 1; i < 100; i++)
		ASSERT_EQ(index.insert(i, 0, 0), OMENDB_OK);
	skip_to_next_chunk(&index);
	for (uint32_t i = 100; i < 200; i++)
		ASSERT_EQ(index.insert(i, 0, i % 2), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(200));
	EXPECT_EQ(index.control().nodes.load(), 2u);
}

/* A record in the first chunk, its newest part in one that 1 has no reason to know. */
TEST(BuildStore, ARowJoinsWhenTheNewestPartIsUnknown)
{
	Matrix base = {100, 16, std::vector<float>(100 * 16, 0.5f)};
	IndexOptions o;
	o.workers = 2;
	MemoryIndex index(base, o);

	ASSERT_EQ(index.insert(0, 0, 1), OMENDB_OK);
	ASSERT_EQ(index.insert(1, 0, 1), OMENDB_OK);
	skip_to_next_chunk(&index);
	for (uint32_t i = 2; i < 50; i++)
		ASSERT_EQ(index.insert(i, 0, 0), OMENDB_OK);
	ASSERT_EQ(index.worker(1)->mapped.size(), 1u);
	for (uint32_t i = 50; i < 100; i++)
		ASSERT_EQ(index.insert(i, 0, i % 3 == 0 ? 0 : 1), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(100));
	EXPECT_EQ(index.control().nodes.load(), 1u);
}

/* The only node near is full; its children are where 1 has not looked. */
TEST(BuildStore, AdoptionGoesDownIntoUnknownChunks)
{
	Matrix base = {4, 4, std::vector<float>(16, 0)};
	base.row(0)[0] = 1;
	base.row(1)[0] = 1000;
	base.row(2)[0] = -1000;
	base.row(3)[0] = 2;
	IndexOptions o;
	o.m = 2;
	o.workers = 2;
	o.ef_construction = 1;
	MemoryIndex index(base, o);

	ASSERT_EQ(index.insert(0, 0, 1), OMENDB_OK);
	skip_to_next_chunk(&index);
	ASSERT_EQ(index.insert(1, 0, 0), OMENDB_OK);
	ASSERT_EQ(index.insert(2, 0, 0), OMENDB_OK);
	ASSERT_EQ(index.worker(1)->mapped.size(), 1u);
	ASSERT_EQ(index.insert(3, 0, 1), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(4));
}

/* ---- several at once ---- */

struct Case
{
	uint32_t rows, dim;
	quant::Metric metric;
	quant::Storage storage;
	uint32_t m;
	double floor;
};

void
PrintTo(const Case &c, std::ostream *out)
{
	*out << c.rows << " x " << c.dim << ", m " << c.m;
}

#ifdef OMENDB_SANITIZED
constexpr uint32_t kShare = 4;
#else
constexpr uint32_t kShare = 1;
#endif

struct ConcurrentBuild : testing::TestWithParam<Case>
{
};

TEST_P(ConcurrentBuild, MakesAValidGraph)
{
	const Case &c = GetParam();
	Matrix base = test::clustered(c.rows / kShare, c.dim, 1);
	IndexOptions o;
	o.metric = c.metric;
	o.storage = c.storage;
	o.m = c.m;
	o.workers = 4;
	MemoryIndex index(base, o);

	index.insert_all();
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_EQ(index.control().tids.load(), base.n);
	EXPECT_GE(index.recall(test::clustered(40, c.dim, 2), 10, 100), c.floor);
}

INSTANTIATE_TEST_SUITE_P(
	Cases, ConcurrentBuild,
	testing::Values(Case{20000, 8, quant::Metric::L2, quant::Storage::Int8, 16, 0.93},
					Case{6000, 100, quant::Metric::Cosine, quant::Storage::Half, 16, 0.93},
					Case{5000, 32, quant::Metric::InnerProduct, quant::Storage::Full, 48, 0.93},
					Case{8000, 16, quant::Metric::L2, quant::Storage::Int8, 2, 0.7}));

/* Pages are taken by many at a time, while the area grows. */
TEST(ConcurrentAllocation, GivesEverySlotOnce)
{
	Matrix base = test::uniform(1, 1500, 1);
	IndexOptions o;
	o.storage = quant::Storage::Full;
	o.workers = 4;
	MemoryIndex index(base, o);
	std::vector<Address> taken[4];
	std::vector<std::thread> threads;
	std::atomic<uint32_t> ready{0};

	ASSERT_EQ(index.shape().slots, 1u);
	for (uint32_t by = 0; by < 4; by++)
	{
		threads.emplace_back(
			[&, by]
			{
				for (ready++; ready.load() < 4;)
					sched_yield();
				for (uint32_t i = 0; i < 2000; i++)
				{
					if (!index.worker(by)->store.reserve(1))
						abort();
					taken[by].push_back(index.worker(by)->store.allocate(0));
				}
			});
	}
	for (std::thread &thread : threads)
		thread.join();
	std::set<Address> all;
	for (const std::vector<Address> &some : taken)
		all.insert(some.begin(), some.end());
	EXPECT_EQ(all.size(), 8000u);
	EXPECT_EQ(index.control().nodes.load(), 8000u);
}

/* All at once into an empty index: one root, one entry point. */
TEST(ConcurrentStart, MakesOneRoot)
{
	for (uint32_t round = 0; round < 400 / kShare; round++)
	{
		Matrix base = test::uniform(12, 8, round);
		IndexOptions o;
		o.workers = 4;
		MemoryIndex index(base, o);
		index.insert_all();
		ASSERT_EQ(index.problem(), "");
		ASSERT_EQ(index.all_rows(), numbers(base.n));
	}
}

/* Many equal rows: each of the threads may make a node of its own, not many more. */
TEST(ConcurrentDuplicates, ShareAFewNodes)
{
	constexpr uint32_t kValues = 20;
	Matrix base = test::clustered(12000 / kShare, 16, 3);
	for (uint32_t i = 0; i < base.n; i++)
	{
		if (i % 4 != 0)
			memcpy(base.row(i), base.row(i % kValues / 4 * 4), base.dim * sizeof(float));
	}
	IndexOptions o;
	o.workers = 4;
	MemoryIndex index(base, o);
	index.insert_all();
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_LE(index.control().nodes.load(), base.n / 4 + 20 * kValues);
	EXPECT_GE(index.control().nodes.load(), base.n / 4);
}

/* The area ends while all insert: some rows are refused, the others are in. */
TEST(ConcurrentGrowth, ThatFailsLeavesTheGraphValid)
{
	Matrix base = test::clustered(6000, 32, 5);
	IndexOptions o;
	o.workers = 4;
	o.max_chunks = 3;
	MemoryIndex index(base, o);
	std::atomic<uint32_t> next{0};
	std::vector<uint32_t> inserted[4];
	std::vector<std::thread> threads;

	for (uint32_t by = 0; by < 4; by++)
	{
		threads.emplace_back(
			[&, by]
			{
				for (uint32_t i = next.fetch_add(1); i < base.n; i = next.fetch_add(1))
				{
					if (index.insert(i, by) != OMENDB_OK)
						return;
					inserted[by].push_back(i);
				}
			});
	}
	for (std::thread &thread : threads)
		thread.join();
	std::vector<uint32_t> all;
	for (const std::vector<uint32_t> &some : inserted)
		all.insert(all.end(), some.begin(), some.end());
	std::sort(all.begin(), all.end());
	EXPECT_LT(all.size(), base.n);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), all);
}

} // namespace
} // namespace omendb::store
