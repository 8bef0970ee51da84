/*
 * bulk_test.cpp - the bulk builder: every rule of the graph, every row, recall,
 * the same graph whoever takes part. The thread sanitizer runs what is named
 * Concurrent.
 */
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

using test::clustered;
using test::IndexOptions;
using test::Matrix;
using test::MemoryIndex;
using test::numbers;
using test::uniform;

/* Lengths over a factor of 30, whatever the direction. */
void
stretch(Matrix *m)
{
	for (uint32_t i = 0; i < m->n; i++)
	{
		float factor = std::exp(3.4f * (float) (mix64(i) % 1000) / 1000);
		for (uint32_t j = 0; j < m->dim; j++)
			m->row(i)[j] *= factor;
	}
}

/* The graph as bytes, page by page. */
std::vector<uint8_t>
bytes_of(MemoryIndex *index)
{
	test::EnumerableStore s = index->enumerable();
	std::vector<uint8_t> all;

	for (uint32_t i = 0; i < s.pages; i++)
		all.insert(all.end(), s.page(i) + OMENDB_PAGE_HEADER, s.page(i) + OMENDB_PAGE_SIZE);
	return all;
}

class BulkSizes : public testing::TestWithParam<uint32_t>
{
};

TEST_P(BulkSizes, EveryRowAndEveryRule)
{
	Matrix base = clustered(GetParam(), 24, 1);
	MemoryIndex index(base, IndexOptions());

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_EQ(index.control().root == kNoAddress, base.n == 0);
}

INSTANTIATE_TEST_SUITE_P(All, BulkSizes,
						 testing::Values(0, 1, 2, 3, 31, 32, 33, 64, 65, 127, 128, 129, 500, 1023,
										 1024, 1025, 3000, test::rows(30000)));

TEST(Bulk, MetricsStoragesAndDegrees)
{
	for (quant::Metric metric :
		 {quant::Metric::L2, quant::Metric::InnerProduct, quant::Metric::Cosine})
	{
		for (quant::Storage storage :
			 {quant::Storage::Int8, quant::Storage::Half, quant::Storage::Full})
		{
			for (uint32_t m : {2u, 5u, 16u, 40u})
			{
				Matrix base = clustered(test::rows(4000), 40, 2);
				IndexOptions o;
				o.metric = metric;
				o.storage = storage;
				o.m = m;
				MemoryIndex index(base, o);
				ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
				EXPECT_EQ(index.problem(), "") << m;
				EXPECT_EQ(index.all_rows(), numbers(base.n)) << m;
			}
		}
	}
}

/* The row store begins for few rows and takes many. */
TEST(Bulk, MoreRowsThanExpected)
{
	Matrix base = uniform(test::rows(40000), 120, 3);
	MemoryIndex index(base, IndexOptions());

	ASSERT_EQ(index.bulk_all(1), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
}

/* As good as insertion at the same search effort, and absolutely. */
TEST(Bulk, Recall)
{
	Matrix base = clustered(test::rows(20000), 32, 4), queries = clustered(100, 32, 5);
	MemoryIndex index(base, IndexOptions()), inserted(base, IndexOptions());

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	inserted.insert_all();
	EXPECT_GE(index.recall(queries, 10, 20), inserted.recall(queries, 10, 20) - 0.01);
	EXPECT_GE(index.recall(queries, 10, 40), 0.98);
	EXPECT_GE(index.recall(queries, 10, 200), 0.99);
}

/* Inner product: what is asked for is not what is near. The inserter has near links alone. */
TEST(Bulk, AnswersOfLongRows)
{
	Matrix base = uniform(test::rows(20000), 32, 15), queries = uniform(100, 32, 16);
	IndexOptions o;
	o.metric = quant::Metric::InnerProduct;
	stretch(&base);
	MemoryIndex index(base, o), inserted(base, o);

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	inserted.insert_all();
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_GE(index.recall(queries, 10, 40), inserted.recall(queries, 10, 40) + 0.05);
	EXPECT_GE(index.recall(queries, 10, 40), 0.95);
}

/* Rows that arrive sorted along a line, cluster by cluster, and by distance from a corner. */
TEST(Bulk, RecallOfSortedRows)
{
	Matrix base = clustered(test::rows(20000), 32, 4), queries = clustered(100, 32, 5);
	std::vector<uint32_t> order = numbers(base.n);
	std::sort(order.begin(), order.end(),
			  [&](uint32_t a, uint32_t b) { return base.row(a)[0] < base.row(b)[0]; });
	Matrix sorted = base;
	for (uint32_t i = 0; i < base.n; i++)
		memcpy(sorted.row(i), base.row(order[i]), base.dim * sizeof(float));
	MemoryIndex index(sorted, IndexOptions());

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_GE(index.recall(queries, 10, 40), 0.98);
}

/* Clusters too small for the hash to give each an upper node. */
TEST(Bulk, RecallOfSmallClusters)
{
	Matrix centres = uniform(400, 32, 12), base = uniform(test::rows(10000), 32, 13);
	Matrix queries = uniform(100, 32, 14);
	auto move = [&](Matrix *m)
	{
		for (uint32_t i = 0; i < m->n; i++)
			for (uint32_t j = 0; j < m->dim; j++)
				m->row(i)[j] = 10 * centres.row(i * 7 % 400)[j] + 0.3f * m->row(i)[j];
	};
	move(&base);
	move(&queries);
	MemoryIndex index(base, IndexOptions());

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_GE(index.recall(queries, 10, 100), 0.9);
}

/* How many records above level 0 no search from the entry point can come to. */
size_t
out_of_reach_above(MemoryIndex *index)
{
	test::EnumerableStore s = index->enumerable();
	std::set<Address> reached;
	std::vector<Address> stack;
	size_t above = 0;

	if (s.entry().level > 0)
		stack.push_back(s.entry().address);
	while (!stack.empty())
	{
		Address a = stack.back();
		stack.pop_back();
		if (!reached.insert(a).second)
			continue;
		const uint8_t *record = s.record(a);
		for (uint32_t lane = 0; lane < s.shape().max_links; lane++)
		{
			if (neighbours(s.shape(), record)[lane] != kNoAddress)
				stack.push_back(neighbours(s.shape(), record)[lane]);
		}
		if (header(record)->level > 1)
			stack.push_back(header(record)->down);
	}
	(void) s.enumerate(
		[&](Address, const uint8_t *record)
		{
			above += header(record)->state == (uint8_t) State::Live && header(record)->level > 0;
			return true;
		});
	return above - reached.size();
}

/* A few short rows near the origin are the neighbours of all: nobody links to the others. */
TEST(Bulk, LevelsAboveHangTogether)
{
	for (uint32_t m : {2u, 16u})
	{
		Matrix base = uniform(test::rows(20000), 64, 15);
		for (uint32_t i = 0; i < base.n; i++)
		{
			float norm = i % 50 == 0 ? 0.1f : 1 + (float) (i % 97) / 20;
			for (uint32_t j = 0; j < base.dim; j++)
				base.row(i)[j] =
					i * 31 % base.dim == j || j * 7 % 64 == i % 64 ? norm * base.row(i)[j] : 0;
		}
		IndexOptions o;
		o.m = m;
		MemoryIndex index(base, o);
		ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
		EXPECT_EQ(index.problem(), "");
		EXPECT_EQ(out_of_reach_above(&index), 0u) << m;
	}
}

/* Thousands of equal rows are one node; two far clusters are one tree. */
TEST(Bulk, EqualRowsAndIslands)
{
	Matrix base = uniform(6000, 16, 6);
	for (uint32_t i = 0; i < base.n; i++)
	{
		if (i < 2500)
			memcpy(base.row(i), base.row(0), base.dim * sizeof(float));
		else if (i % 3 == 0)
			memcpy(base.row(i), base.row(i - 1), base.dim * sizeof(float));
		if (i >= 4000)
			base.row(i)[0] += 1000.0f * (float) (i % 7);
	}
	MemoryIndex index(base, IndexOptions());

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_LT(index.control().nodes.load(), 3500u);
}

/* All rows equal; all rows on few points: clusters that no leader divides. */
TEST(Bulk, FewDistinctValues)
{
	for (uint32_t distinct : {1u, 2u, 40u, 1500u})
	{
		Matrix base = uniform(5000, 16, 7);
		for (uint32_t i = distinct; i < base.n; i++)
			memcpy(base.row(i), base.row(i % distinct), base.dim * sizeof(float));
		MemoryIndex index(base, IndexOptions());
		ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
		EXPECT_EQ(index.problem(), "");
		EXPECT_EQ(index.all_rows(), numbers(base.n));
		EXPECT_LE(index.control().nodes.load(), distinct);
	}
}

/* Values at the edge of float: distances overflow, nothing is lost. */
TEST(Bulk, HugeValues)
{
	Matrix base = uniform(3000, 16, 8);
	for (float &x : base.values)
		x *= 3e38f;
	MemoryIndex index(base, IndexOptions());

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
}

TEST(Bulk, MemoryFails)
{
	Matrix base = uniform(3000, 16, 9);

	for (size_t call = 1; call < 40; call++)
	{
		MemoryIndex index(base, IndexOptions());
		index.worker()->memory.fail_after(call);
		OmendbStatus status = index.bulk_all(base.n);
		if (index.worker()->memory.failures > 0)
			EXPECT_EQ(status, OMENDB_NO_MEMORY) << call;
		else
			EXPECT_EQ(index.problem(), "");
	}
}

/* The order of the rows in the store decides, not who did what. */
TEST(Bulk, SameGraphWithMoreParticipantsConcurrent)
{
	Matrix base = clustered(test::rows(20000), 32, 10);

	for (quant::Metric metric : {quant::Metric::L2, quant::Metric::InnerProduct})
	{
		std::vector<uint8_t> first;
		if (metric == quant::Metric::InnerProduct)
			stretch(&base);
		for (uint32_t workers : {1u, 4u})
		{
			IndexOptions o;
			o.workers = workers;
			o.metric = metric;
			MemoryIndex index(base, o);
			ASSERT_EQ(index.bulk_all(base.n, true), OMENDB_OK);
			EXPECT_EQ(index.problem(), "");
			EXPECT_EQ(index.all_rows(), numbers(base.n));
			if (workers == 1)
				first = bytes_of(&index);
			else
				EXPECT_TRUE(first == bytes_of(&index));
		}
	}
}

/* All participants load, too. */
TEST(Bulk, LoadConcurrent)
{
	Matrix base = clustered(test::rows(20000), 16, 11);
	for (uint32_t i = 0; i < base.n; i += 3)
		memcpy(base.row(i), base.row(i % 50), base.dim * sizeof(float));
	IndexOptions o;
	o.workers = 4;
	MemoryIndex index(base, o);

	ASSERT_EQ(index.bulk_all(100), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
}

} // namespace
} // namespace omendb::graph
