/*
 * insert_test.cpp - the graph that insertion makes: its rules, what searches
 * find in it, equal rows, levels, and what is left when memory runs out.
 */
#include <gtest/gtest.h>

#include <numeric>

#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

using quant::Metric;
using quant::Storage;
using test::clustered;
using test::IndexOptions;
using test::Matrix;
using test::MemoryIndex;
using test::uniform;

IndexOptions
options(Metric metric, Storage storage, uint32_t m)
{
	IndexOptions o;
	o.metric = metric;
	o.storage = storage;
	o.m = m;
	o.ef_construction = std::max(64u, 2 * m);
	return o;
}

std::vector<uint32_t>
numbers(uint32_t n)
{
	std::vector<uint32_t> all(n);
	std::iota(all.begin(), all.end(), 0);
	return all;
}

/* ---- the rules, after every row ---- */

struct Case
{
	uint32_t dim;
	bool clusters;
	Metric metric;
	Storage storage;
	uint32_t m;
	double floor; /* recall@10 with ef = 100 */
};

void
PrintTo(const Case &c, std::ostream *out)
{
	*out << c.dim << (c.clusters ? " clustered" : " uniform") << ", metric " << (int) c.metric
		 << ", storage " << (int) c.storage << ", m " << c.m;
}

Matrix
data_for(const Case &c, uint32_t n, uint64_t seed)
{
	return c.clusters ? clustered(n, c.dim, seed) : uniform(n, c.dim, seed);
}

struct Rules : testing::TestWithParam<Case>
{
};

TEST_P(Rules, HoldAfterEveryRow)
{
	const Case &c = GetParam();
	Matrix base = data_for(c, std::max(test::rows(c.m == 100 ? 280 : 350), 40u), 1);
	MemoryIndex index(base, options(c.metric, c.storage, c.m));

	ASSERT_EQ(index.problem(), "");
	for (uint32_t i = 0; i < base.n; i++)
	{
		/* Every tenth row on upper levels, so that those are full as well. */
		ASSERT_EQ(index.insert(i, i % 10 == 3 ? 1 + i / 10 % 3 : 0, 0), OMENDB_OK);
		ASSERT_EQ(index.problem(), "") << "after row " << i;
	}
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_EQ(index.control().tids.load(), base.n);
}

const Case kRuleCases[] = {
	{4, false, Metric::L2, Storage::Full, 2, 0},
	{4, true, Metric::InnerProduct, Storage::Half, 16, 0},
	{32, true, Metric::Cosine, Storage::Int8, 16, 0},
	{32, false, Metric::L2, Storage::Int8, 48, 0},
	{100, true, Metric::L2, Storage::Int8, 2, 0},
	{100, false, Metric::InnerProduct, Storage::Full, 100, 0},
	{784, true, Metric::L2, Storage::Half, 16, 0},
};

INSTANTIATE_TEST_SUITE_P(Cases, Rules, testing::ValuesIn(kRuleCases));

/* ---- recall ---- */

struct Recall : testing::TestWithParam<Case>
{
};

TEST_P(Recall, IsAboveItsFloor)
{
	const Case &c = GetParam();
	uint32_t n = c.m == 100 ? 1000 : c.dim == 784 ? 1500 : 2500;
	Matrix base = data_for(c, std::max(test::rows(n), 200u), 1);
	Matrix queries = data_for(c, 40, 2);
	MemoryIndex index(base, options(c.metric, c.storage, c.m));

	index.insert_all();
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	double recall = index.recall(queries, 10, 100);
	RecordProperty("recall", std::to_string(recall));
	EXPECT_GE(recall, c.floor);
}

/* A little below what was measured: 0.94 at least, but for these. */
double
floor_for(const Case &c)
{
	/* Four links a node: found, not found well. */
	if (c.m == 2)
		return c.dim == 4 ? 0.9 : c.clusters ? 0.7 : 0.2;
	/* All rows are about equally far, and short codes do not tell them apart. */
	if (c.dim == 784 && !c.clusters && c.m > 16)
		return 0.85;
	return 0.93;
}

std::vector<Case>
recall_cases()
{
	const uint32_t dims[] = {4, 32, 100, 784};
	const Metric metrics[] = {Metric::L2, Metric::Cosine, Metric::InnerProduct};
	const Storage storages[] = {Storage::Int8, Storage::Half, Storage::Full};
	const uint32_t links[] = {2, 16, 48, 100};
	std::vector<Case> cases;
	uint32_t turn = 0;

	/* Every dimension and kind of data with every metric, storage and m, not all combinations. */
	for (uint32_t dim : dims)
	{
		for (int clusters = 0; clusters < 2; clusters++)
		{
			for (uint32_t i = 0; i < 4; i++, turn++)
			{
				Case c = {dim, clusters == 1, metrics[turn % 3], storages[turn / 3 % 3], links[i],
						  0};
				if (dim == 784 && c.storage == Storage::Full && c.m > 48)
					c.storage = Storage::Int8;
				c.floor = floor_for(c);
				cases.push_back(c);
			}
		}
	}
	return cases;
}

INSTANTIATE_TEST_SUITE_P(Cases, Recall, testing::ValuesIn(recall_cases()));

/* A row that is in the index finds itself first. */
TEST(Insert, EveryRowFindsItself)
{
	Matrix base = clustered(std::max(test::rows(3000), 300u), 32, 5);
	MemoryIndex index(base, options(Metric::L2, Storage::Int8, 16));
	uint32_t missing = 0;

	index.insert_all();
	for (uint32_t i = 0; i < base.n; i++)
	{
		std::vector<uint32_t> found = index.search(base.row(i), 20);
		missing += std::find(found.begin(), found.end(), i) == found.end();
	}
	EXPECT_LE(missing, base.n / 500);
}

/* A search ends when its window is settled: little more than ef nodes are visited. */
TEST(Insert, SearchesAreNarrow)
{
	Matrix base = clustered(3000, 32, 5), queries = clustered(50, 32, 6);
	MemoryIndex index(base, options(Metric::L2, Storage::Int8, 16));

	index.insert_all();
	for (size_t ef : {1, 10, 50, 200})
	{
		size_t visited = 0;
		for (uint32_t q = 0; q < queries.n; q++)
			visited += index.search(queries.row(q), ef).size();
		EXPECT_GE(visited, ef * queries.n);
		EXPECT_LE(visited, (ef + 10) * 3 / 2 * queries.n) << "ef " << ef;
	}
}

/* ---- equal rows ---- */

TEST(Insert, EqualRowsShareANode)
{
	uint32_t equal = std::max(test::rows(10000), 500u), others = equal / 10;
	Matrix base = clustered(equal + others, 24, 3);
	std::vector<uint32_t> equal_rows;

	for (uint32_t i = 0; i < base.n; i++)
	{
		if (i % 11 == 0)
			continue;
		memcpy(base.row(i), base.row(1), base.dim * sizeof(float));
		equal_rows.push_back(i);
	}
	MemoryIndex index(base, options(Metric::L2, Storage::Int8, 16));
	index.insert_all();
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_EQ(index.control().nodes.load(), base.n - equal_rows.size() + 1);
	EXPECT_EQ(index.control().tids.load(), base.n);

	/* One node has them all, and a search for one returns all of them. */
	std::vector<uint32_t> found = index.search(base.row(1), 10), together;
	for (Address a : index.records(0))
	{
		if (index.rows_of(a).size() > 1)
			together = index.rows_of(a);
	}
	std::sort(together.begin(), together.end());
	EXPECT_EQ(together, equal_rows);
	for (uint32_t i : equal_rows)
		ASSERT_NE(std::find(found.begin(), found.end(), i), found.end());
	/* The others are found as well as ever. */
	for (uint32_t i = 0; i < base.n; i += 11)
	{
		std::vector<uint32_t> near = index.search(base.row(i), 40);
		EXPECT_NE(std::find(near.begin(), near.end(), i), near.end()) << "row " << i;
	}
}

TEST(Insert, EqualRowsShareANodeInEveryStorage)
{
	for (Storage storage : {Storage::Int8, Storage::Half, Storage::Full})
	{
		for (Metric metric : {Metric::L2, Metric::Cosine, Metric::InnerProduct})
		{
			Matrix base = uniform(400, 10, 3);
			for (uint32_t i = 200; i < 400; i++)
				memcpy(base.row(i), base.row(i % 20), base.dim * sizeof(float));
			MemoryIndex index(base, options(metric, storage, 16));
			index.insert_all();
			EXPECT_EQ(index.problem(), "");
			EXPECT_EQ(index.control().nodes.load(), 200u);
			EXPECT_EQ(index.all_rows(), numbers(400));
		}
	}
}

/* Rows that differ, and whose stored bytes do not. */
TEST(Insert, SharedNodeKeepsTheLargestResidual)
{
	Matrix base = {4, 16, std::vector<float>(4 * 16, 0.5f)};
	base.row(3)[2] = 100;
	MemoryIndex index(base, options(Metric::L2, Storage::Int8, 16));
	test::Worker *w = index.worker();
	std::vector<float> t(index.space().dim);
	float excess;

	ASSERT_TRUE(quant::transform_row(index.space(), base.row(0), t.data(), &excess));
	auto insert = [&](uint32_t row, uint32_t hash, float more)
	{
		ASSERT_TRUE(w->store.reserve(1));
		ASSERT_EQ(w->inserter.insert(t.data(), more, Row{test::tid_of(row), hash, 0}, 0),
				  OMENDB_OK);
	};
	insert(0, 77, 0);
	ASSERT_EQ(index.records(0).size(), 1u);
	Address a = index.records(0)[0];
	const RecordHeader *h = header(w->store.record(a));
	float exact = h->residual;
	EXPECT_EQ(h->hash, 77u);

	insert(1, 77, 3);
	EXPECT_GE(h->residual, exact + 3 * 0.999f);
	EXPECT_NE(h->flags & kFlagUniform, 0);
	float largest = h->residual;
	insert(2, 77, 1);
	EXPECT_EQ(h->residual, largest);
	EXPECT_NE(h->flags & kFlagUniform, 0);
	insert(3, 78, 0);
	EXPECT_EQ(h->residual, largest);
	EXPECT_EQ(h->flags & kFlagUniform, 0);
	insert(4, 77, 0);
	EXPECT_EQ(h->flags & kFlagUniform, 0) << "once mixed, always mixed";
	EXPECT_EQ(h->hash, 77u);
	EXPECT_EQ(index.records(0).size(), 1u);
	std::vector<uint32_t> rows = index.all_rows();
	EXPECT_EQ(rows, numbers(5));
	EXPECT_EQ(index.problem(), "");
}

/* A grid: many equal distances, all vectors in few places. */
TEST(Insert, TiesDoNoHarm)
{
	Matrix base = {std::max(test::rows(2000), 200u), 4, {}};
	base.values.resize((size_t) base.n * 4);
	for (uint32_t i = 0; i < base.n; i++)
		for (uint32_t j = 0; j < 4; j++)
			base.row(i)[j] = (float) (i >> (3 * j) & 7);
	MemoryIndex index(base, options(Metric::L2, Storage::Full, 16));
	index.insert_all();
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_EQ(index.control().nodes.load(), base.n);
}

/* Values whose squares leave the range of float. */
TEST(Insert, HugeAndTinyValuesAreFound)
{
	for (float scale : {1e30f, 1e17f, 1e8f, 1e-12f, 1e-20f, 1e-35f})
	{
		Matrix base = clustered(300, 16, 9);
		for (float &x : base.values)
			x *= scale;
		for (Storage storage : {Storage::Int8, Storage::Full})
		{
			MemoryIndex index(base, options(Metric::L2, storage, 16));
			index.insert_all();
			EXPECT_EQ(index.problem(), "") << scale;
			EXPECT_EQ(index.all_rows(), numbers(base.n)) << scale;
		}
	}
}

/* ---- levels ---- */

TEST(Insert, LevelsAreDrawnFromTheTid)
{
	uint32_t count[OMENDB_MAX_LEVEL + 1] = {};
	constexpr uint32_t kRows = 1 << 21;

	for (uint32_t i = 0; i < kRows; i++)
	{
		/* Heap TIDs: block and line pointer. */
		Tid tid = {(uint16_t) (i / 50 >> 16), (uint16_t) (i / 50), (uint16_t) (i % 50 + 1)};
		uint32_t level = level_for(7, tid);
		ASSERT_LE(level, (uint32_t) OMENDB_MAX_LEVEL);
		count[level]++;
		if (i % 1000 == 0)
		{
			ASSERT_EQ(level, level_for(7, tid));
		}
	}
	double wanted = kRows * 31.0 / 32;
	for (uint32_t level = 0; level < 4; level++, wanted /= 32)
		EXPECT_NEAR(count[level], wanted, 5 * sqrt(wanted) + 1) << "level " << level;

	uint32_t same = 0;
	for (uint32_t i = 0; i < 100000; i++)
		same += level_for(1, test::tid_of(i)) > 0 && level_for(2, test::tid_of(i)) > 0;
	EXPECT_LT(same, 200u) << "another seed, other levels";
}

TEST(Insert, UpperLevelsAreThere)
{
	Matrix base = clustered(std::max(test::rows(8000), 2000u), 8, 4);
	MemoryIndex index(base, options(Metric::L2, Storage::Int8, 16));
	uint32_t wanted[OMENDB_MAX_LEVEL + 1] = {}, highest = 0;

	index.insert_all();
	ASSERT_EQ(index.problem(), "");
	for (uint32_t i = 0; i < base.n; i++)
	{
		uint32_t level = level_for(MemoryIndex::kSeed, test::tid_of(i));
		highest = std::max(highest, level);
		for (uint32_t l = 0; l <= level; l++)
			wanted[l]++;
	}
	EXPECT_GE(highest, 1u);
	EXPECT_EQ(index.worker()->store.entry().level, highest);
	for (uint32_t l = 0; l <= highest; l++)
		EXPECT_EQ(index.records(l).size(), wanted[l]);
}

/* A node above all others: the entry point, with nobody beside it. */
TEST(Insert, EntryPointRisesAndStays)
{
	Matrix base = uniform(60, 8, 1);
	MemoryIndex index(base, options(Metric::L2, Storage::Full, 2));
	const uint32_t levels[] = {0, 2, 1, 2, OMENDB_MAX_LEVEL, 3, OMENDB_MAX_LEVEL, 0};
	uint32_t highest = 0;

	for (uint32_t i = 0; i < base.n; i++)
	{
		uint32_t level = levels[i % 8];
		EntryPoint before = index.worker()->store.entry();
		uint32_t locked = index.entry_locked();
		ASSERT_EQ(index.insert(i, level, 0), OMENDB_OK);
		/* The lock is for those who change it, and only for them. */
		ASSERT_EQ(index.entry_locked() - locked, i == 0 || level > highest ? 1u : 0u);
		EntryPoint after = index.worker()->store.entry();
		if (i > 0 && level <= highest)
		{
			ASSERT_EQ(before.address, after.address);
		}
		highest = std::max(highest, level);
		ASSERT_EQ(after.level, highest);
		ASSERT_EQ(index.problem(), "") << "row " << i;
	}
}

/* ---- lists ---- */

TEST(Insert, ListsAreWellFilled)
{
	Matrix base = clustered(std::max(test::rows(3000), 500u), 32, 6);
	MemoryIndex index(base, options(Metric::L2, Storage::Int8, 16));
	size_t links = 0, diverse = 0;

	index.insert_all();
	std::vector<Address> nodes = index.records(0);
	for (Address a : nodes)
	{
		const uint8_t *record = index.worker()->store.record(a);
		ListState state = list_state(index.shape(), record);
		links += state.used;
		EXPECT_GE(state.used, 10u);
		diverse += (size_t) __builtin_popcount(
			protected_mask(index.shape(), record)[index.shape().blocks]);
	}
	EXPECT_GE((double) links / (double) nodes.size(), 24);
	EXPECT_GE((double) diverse / (double) nodes.size(), 4);
	EXPECT_LT(diverse, links);
}

/* A new node that is nearer to a neighbour than all in its list gets into that list, full or not.
 */
TEST(Insert, TheNearestIsAlwaysLetIn)
{
	Matrix base = clustered(std::max(test::rows(1500), 400u), 16, 6);
	MemoryIndex index(base, options(Metric::L2, Storage::Full, 8));
	const Shape &shape = index.shape();
	const quant::Space &space = index.space();
	uint32_t nearest = 0;

	for (uint32_t i = 0; i < base.n; i++)
	{
		ASSERT_EQ(index.insert(i, 0, 0), OMENDB_OK);
		index.enumerable();
		const store::BuildStore &s = index.worker()->store;
		Address own = index.records(0).back();
		const uint8_t *record = s.record(own);
		ASSERT_EQ(index.rows_of(own), std::vector<uint32_t>{i});
		for (uint32_t lane = 0; lane < shape.max_links; lane++)
		{
			if (!get_bit(protected_mask(shape, record) + shape.blocks, lane))
				continue;
			const uint8_t *other = s.record(neighbours(shape, record)[lane]);
			float distance = record_distance(space, shape, record, other) * 1.001f;
			bool linked = false, first = true;
			for (uint32_t l = 0; l < shape.max_links; l++)
			{
				Address to = neighbours(shape, other)[l];
				linked = linked || to == own;
				if (to != kNoAddress && to != own)
					first = first && distance < record_distance(space, shape, other, s.record(to));
			}
			nearest += first;
			ASSERT_TRUE(linked || !first) << "row " << i << ", lane " << lane;
		}
	}
	EXPECT_GT(nearest, base.n / 20);
}

/* With lists of four, half of them protected, adopters run out: down the tree. */
TEST(Insert, AFullNeighbourhoodAdoptsFurtherDown)
{
	Matrix base = uniform(1200, 3, 2);
	/* All around one point. */
	std::fill_n(base.row(0), 3, 0.0f);
	IndexOptions o = options(Metric::L2, Storage::Full, 2);
	o.ef_construction = 4;
	MemoryIndex index(base, o);
	for (uint32_t i = 0; i < base.n; i++)
	{
		ASSERT_EQ(index.insert(i), OMENDB_OK);
		if (i % 50 == 0)
		{
			ASSERT_EQ(index.problem(), "") << "after row " << i;
		}
	}
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
}

/* ---- running out ---- */

TEST(Insert, AFullAreaLeavesTheGraphValid)
{
	Matrix base = clustered(5000, 32, 8);
	IndexOptions o = options(Metric::L2, Storage::Int8, 16);
	o.max_chunks = 2;
	MemoryIndex index(base, o);
	uint32_t inserted = 0;

	while (inserted < base.n && index.insert(inserted) == OMENDB_OK)
		inserted++;
	ASSERT_GT(inserted, 500u);
	ASSERT_LT(inserted, base.n);
	EXPECT_EQ(index.control().next_page.load(), 2 * store::kChunkPages);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(inserted));
	/* It stays full, and valid, and takes what was reserved before. */
	EXPECT_FALSE(index.worker()->store.reserve(OMENDB_MAX_LEVEL + 1));
	EXPECT_EQ(index.insert(inserted), OMENDB_TOO_LARGE);
	EXPECT_EQ(index.problem(), "");
	for (uint32_t i = 0; i < inserted; i += 50)
	{
		std::vector<uint32_t> found = index.search(base.row(i), 50);
		EXPECT_NE(std::find(found.begin(), found.end(), i), found.end()) << "row " << i;
	}
}

/* Only equal rows: the area fills with parts, and none is lost. */
TEST(Insert, AnAreaFullOfPartsLosesNoRow)
{
	Matrix base = {400000, 2, std::vector<float>(800000, 0.25f)};
	IndexOptions o = options(Metric::L2, Storage::Int8, 16);
	o.max_chunks = 1;
	MemoryIndex index(base, o);
	uint32_t inserted = 0;

	while (inserted < base.n && index.insert(inserted, 0, 0) == OMENDB_OK)
		inserted++;
	/* All pages but one hold parts. */
	EXPECT_GT(inserted, (store::kChunkPages - 2) * OMENDB_PARTS_PER_PAGE * OMENDB_PART_TIDS);
	ASSERT_LT(inserted, base.n);
	EXPECT_EQ(index.control().nodes.load(), 1u);
	EXPECT_EQ(index.all_rows(), numbers(inserted));
	EXPECT_EQ(index.problem(), "");
}

/* Memory fails at the n-th call of an insertion: the row is in or not, the rest is whole. */
TEST(Insert, OutOfMemoryLeavesTheGraphValid)
{
	Matrix base = clustered(300, 16, 12);

	for (size_t n = 1; n <= 40; n++)
	{
		IndexOptions o = options(Metric::L2, Storage::Int8, 16);
		o.ef_construction = 100;
		MemoryIndex index(base, o);
		std::vector<uint32_t> inserted;
		test::Worker *w = index.worker();
		/* The failure comes in the middle of the rows: 5 of them before. */
		for (uint32_t i = 0; i < base.n; i++)
		{
			if (i == 5)
				w->memory.fail_after(n);
			if (i == 150)
				w->memory.fail_after(0);
			OmendbStatus status = index.insert(i);
			ASSERT_TRUE(status == OMENDB_OK || status == OMENDB_NO_MEMORY);
			if (status == OMENDB_OK)
				inserted.push_back(i);
			if (i % 30 == 7)
			{
				ASSERT_EQ(index.problem(), "") << "call " << n << ", row " << i;
			}
		}
		ASSERT_EQ(index.problem(), "") << "call " << n;
		ASSERT_EQ(index.all_rows(), inserted);
		ASSERT_GE(inserted.size(), 155u) << "once there is memory again, rows go in";
		if (w->memory.failures == 0)
			return;
	}
	ADD_FAILURE() << "40 calls were not enough";
}

} // namespace
} // namespace omendb::graph
