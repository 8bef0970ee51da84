/*
 * plain_test.cpp - indexes of plain values: built, searched, every row, recall;
 * values that continue in chunks. The thread sanitizer runs what is named
 * Concurrent.
 */
#include <gtest/gtest.h>

#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

using quant::Metric;
using quant::Type;
using test::clustered;
using test::IndexOptions;
using test::Matrix;
using test::MemoryIndex;
using test::numbers;

struct Kind
{
	Type type;
	Metric metric;
	uint32_t dim;
	double recall;
};

class PlainKinds : public testing::TestWithParam<Kind>
{
protected:
	static IndexOptions
	options(uint32_t workers = 1)
	{
		IndexOptions o;

		o.type = GetParam().type;
		o.metric = GetParam().metric;
		o.workers = workers;
		return o;
	}
};

TEST_P(PlainKinds, EveryRowEveryRuleAndRecall)
{
	uint32_t dim = GetParam().dim;
	Matrix base = clustered(test::rows(6000), dim, 4), queries = clustered(50, dim, 5);
	MemoryIndex index(base, options());

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	EXPECT_GE(index.recall(queries, 10, 64), GetParam().recall);
}

TEST_P(PlainKinds, Concurrent)
{
	Matrix base = clustered(1500, GetParam().dim, 6);
	MemoryIndex index(base, options(3));

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	EXPECT_EQ(index.problem(), "");
	EXPECT_EQ(index.all_rows(), numbers(base.n));
}

/* A search finds the same whether it reads its neighbours, glances at them, or in vain. */
TEST_P(PlainKinds, GlancesChangeNothing)
{
	Matrix base = clustered(1500, GetParam().dim, 8), queries = clustered(20, GetParam().dim, 9);
	MemoryIndex index(base, options());

	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	for (uint32_t q = 0; q < queries.n; q++)
	{
		index.glance_mode = test::Glance::None;
		std::vector<uint32_t> read = index.search(queries.row(q), 20);
		uint32_t reads = index.reads;
		EXPECT_EQ(index.glances, 0u);
		index.glance_mode = test::Glance::Record;
		EXPECT_EQ(index.search(queries.row(q), 20), read);
		EXPECT_EQ(index.reads + index.glances, reads);
		EXPECT_GT(index.glances, index.reads);
		/* Any bytes will do only where a value's length is not among them. */
		if (GetParam().type == Type::Sparse)
			continue;
		index.glance_mode = test::Glance::Spoiled;
		EXPECT_EQ(index.search(queries.row(q), 20), read);
		EXPECT_EQ(index.reads + index.glances / 2 + index.glances % 2, reads);
	}
}

INSTANTIATE_TEST_SUITE_P(All, PlainKinds,
						 testing::Values(Kind{Type::Vector, Metric::L1, 32, 0.99},
										 Kind{Type::Half, Metric::L1, 32, 0.99},
										 Kind{Type::Bit, Metric::Hamming, 256, 0.98},
										 Kind{Type::Bit, Metric::Jaccard, 256, 0.98},
										 Kind{Type::Sparse, Metric::L2, 32, 0.97},
										 Kind{Type::Sparse, Metric::InnerProduct, 32, 0.95},
										 Kind{Type::Sparse, Metric::Cosine, 32, 0.97},
										 Kind{Type::Sparse, Metric::L1, 32, 0.97}));

/* A value's bytes, from its record and its chunks as they are on the pages. */
std::vector<uint8_t>
whole_value(MemoryIndex *index, Address address)
{
	test::EnumerableStore s = index->enumerable();
	const Shape &shape = index->shape();
	const uint8_t *record = s.record(address);
	std::vector<uint8_t> value(vector_of(shape, record),
							   vector_of(shape, record) + shape.value_room);

	for (Address at = header(record)->rest; at != 0;)
	{
		const uint8_t *page = s.page(address_block(at) - MemoryIndex::kFirstBlock);
		const ChunkHeader *chunk = (const ChunkHeader *) (page + OMENDB_PAGE_HEADER +
														  address_slot(at) * shape.chunk_bytes);
		EXPECT_EQ(chunk->owner, address);
		EXPECT_EQ(chunk->generation, header(record)->generation);
		const uint8_t *bytes = (const uint8_t *) (chunk + 1);
		value.insert(value.end(), bytes, bytes + chunk->length);
		at = chunk->next;
	}
	return value;
}

/* Values of several pages come back from their chunks, on every level. */
TEST(PlainChunks, LongValues)
{
	Matrix base = test::uniform(200, 5000, 7);
	IndexOptions o;
	o.metric = Metric::L1;
	MemoryIndex index(base, o);

	ASSERT_GT(index.shape().chunks, 0u);
	ASSERT_EQ(index.bulk_all(base.n), OMENDB_OK);
	EXPECT_EQ(index.all_rows(), numbers(base.n));
	for (uint32_t level : {0u, 1u})
	{
		std::vector<Address> records = index.records(level);
		EXPECT_GT(records.size(), 0u);
		for (Address a : records)
		{
			Address below = level == 0 ? a : header(index.enumerable().record(a))->down;
			uint32_t row = index.rows_of(below).at(0);
			std::vector<uint8_t> value = whole_value(&index, a);
			ASSERT_EQ(value.size(), base.dim * sizeof(float));
			EXPECT_EQ(memcmp(value.data(), base.row(row), value.size()), 0);
		}
	}
}

} // namespace
} // namespace omendb::graph
