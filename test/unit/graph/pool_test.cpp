/*
 * pool_test.cpp - the candidates of a search, against a model that is obvious.
 */
#include <gtest/gtest.h>

#include <map>

#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/* A block with one lane that was not good enough. */
bool
reject(Pool &pool, Address address, float estimate)
{
	Address links[OMENDB_LANES];
	float estimates[OMENDB_LANES];

	std::fill_n(links, OMENDB_LANES, address + 1);
	std::fill_n(estimates, OMENDB_LANES, estimate - 1);
	links[5] = address;
	estimates[5] = estimate;
	return pool.reject(links, estimates, 1u << 5, estimate);
}

struct PoolTest : testing::Test
{
	test::TestMemory memory;
	Pool pool;
	std::mt19937_64 random{1};

	PoolTest()
	{
		pool.init(memory.get());
	}

	float
	value(float limit = 1)
	{
		return std::uniform_real_distribution<float>(0, limit)(random);
	}

	Address
	address(uint32_t limit)
	{
		return (Address) (random() % limit);
	}
};

TEST_F(PoolTest, GivesTheNearestFirst)
{
	ASSERT_TRUE(pool.start(5, false));
	EXPECT_FALSE(pool.has_next());
	EXPECT_EQ(pool.peek(), kNoAddress);
	ASSERT_TRUE(pool.offer(30, 3, 1));
	ASSERT_TRUE(pool.offer(10, 1, 1));
	ASSERT_TRUE(pool.offer(20, 2, 1));
	for (Address wanted : {10u, 20u, 30u})
	{
		ASSERT_TRUE(pool.has_next());
		EXPECT_EQ(pool.peek(), wanted);
		EXPECT_EQ(pool.pop(), wanted);
	}
	EXPECT_FALSE(pool.has_next());
	EXPECT_FALSE(pool.failed());
}

TEST_F(PoolTest, AveragesEstimatesByWeight)
{
	ASSERT_TRUE(pool.start(1, false));
	ASSERT_TRUE(pool.offer(1, 10, 1));
	ASSERT_TRUE(pool.offer(2, 5, 1));
	/* (10 * 1 + 2 * 3) / 4 = 4: node 1 overtakes node 2. */
	ASSERT_TRUE(pool.offer(1, 2, 3));
	EXPECT_EQ(pool.peek(), 1u);
	/* (4 * 4 + 12 * 4) / 8 = 8: and falls back. */
	ASSERT_TRUE(pool.offer(1, 12, 4));
	EXPECT_EQ(pool.peek(), 2u);
	/* Nothing settled: no bound. One at 6: node 2 (5) is under it, node 1 (8) is not. */
	ASSERT_TRUE(pool.settle(6));
	ASSERT_TRUE(pool.has_next());
	EXPECT_EQ(pool.pop(), 2u);
	EXPECT_FALSE(pool.has_next());
}

TEST_F(PoolTest, AverageOfHugeValuesStaysANumber)
{
	ASSERT_TRUE(pool.start(1, false));
	ASSERT_TRUE(pool.offer(1, 1e12f, 1e30f));
	ASSERT_TRUE(pool.offer(1, 3e12f, 1e30f));
	ASSERT_TRUE(pool.offer(1, -2e12f, 1e-30f));
	/* A mean of 2e12. */
	ASSERT_TRUE(pool.settle(2.1e12f));
	EXPECT_TRUE(pool.has_next());
	EXPECT_EQ(pool.pop(), 1u);
	ASSERT_TRUE(pool.start(1, false));
	ASSERT_TRUE(pool.offer(1, 1e12f, 1e30f));
	ASSERT_TRUE(pool.offer(1, 3e12f, 1e30f));
	ASSERT_TRUE(pool.settle(1.9e12f));
	EXPECT_FALSE(pool.has_next());
}

TEST_F(PoolTest, AnInfiniteEstimateSaysNothing)
{
	for (float first : {kInfinity, 3.0f})
	{
		for (float weight : {1e-30f, 1.0f, 1e30f})
		{
			ASSERT_TRUE(pool.start(1, false));
			ASSERT_TRUE(pool.offer(1, first, weight));
			ASSERT_TRUE(pool.offer(1, first == kInfinity ? 3.0f : kInfinity, 1));
			ASSERT_TRUE(pool.settle(3.5f));
			EXPECT_TRUE(pool.has_next());
		}
	}
}

TEST_F(PoolTest, AnExpandedNodeDoesNotComeBack)
{
	ASSERT_TRUE(pool.start(5, true));
	ASSERT_TRUE(pool.offer(1, 1, 1));
	EXPECT_EQ(pool.pop(), 1u);
	ASSERT_TRUE(pool.offer(1, 0.5f, 1));
	ASSERT_TRUE(reject(pool, 1, 2));
	EXPECT_FALSE(pool.has_next());
	EXPECT_TRUE(pool.seen(1));
	EXPECT_FALSE(pool.seen(2));
	EXPECT_FALSE(pool.mark(1));
	EXPECT_TRUE(pool.mark(2));
	EXPECT_FALSE(pool.mark(2));
	ASSERT_TRUE(pool.offer(2, 0.5f, 1));
	EXPECT_FALSE(pool.has_next());
}

struct Averaged
{
	double estimate;
	double weight;
	bool expanded;
};

/* Random offers and pops: a popped node has the least mean of all that are left. */
TEST_F(PoolTest, AgreesWithAModel)
{
	for (uint32_t round = 0; round < 20; round++)
	{
		std::map<Address, Averaged> model;
		uint32_t left = 0;
		ASSERT_TRUE(pool.start(10, false));
		for (uint32_t step = 0; step < 4000; step++)
		{
			if (random() % 3 != 0)
			{
				Address a = address(100 + 100 * round);
				float estimate = value(), weight = 0.01f + value();
				ASSERT_TRUE(pool.offer(a, estimate, weight));
				auto entered = model.emplace(a, Averaged{0, 0, false});
				Averaged &node = entered.first->second;
				left += entered.second;
				if (node.expanded)
					continue;
				node.estimate = (node.estimate * node.weight + (double) estimate * weight) /
								(node.weight + weight);
				node.weight += weight;
			}
			else if (left == 0)
				ASSERT_FALSE(pool.has_next());
			else
			{
				ASSERT_TRUE(pool.has_next());
				Averaged &node = model.at(pool.pop());
				ASSERT_FALSE(node.expanded);
				node.expanded = true;
				left--;
				for (auto &other : model)
				{
					if (!other.second.expanded)
					{
						ASSERT_GE(other.second.estimate, node.estimate - 1e-5);
					}
				}
			}
		}
	}
}

TEST_F(PoolTest, BoundIsTheWorstOfTheBest)
{
	for (size_t limit : {1, 2, 7, 100})
	{
		std::vector<float> settled;
		ASSERT_TRUE(pool.start(limit, limit % 2 == 0));
		for (uint32_t i = 0; i < 500; i++)
		{
			ASSERT_EQ(pool.bound(), settled.size() < limit ? kInfinity : settled[limit - 1]);
			float distance = value();
			ASSERT_TRUE(pool.settle(distance));
			settled.insert(std::upper_bound(settled.begin(), settled.end(), distance), distance);
		}
	}
}

TEST_F(PoolTest, WindowSlidesOverAllThatWasSettled)
{
	std::vector<float> settled;
	size_t limit = 10;

	ASSERT_TRUE(pool.start(limit, true));
	for (uint32_t i = 0; i < 3000; i++)
	{
		if (random() % 2 == 0)
		{
			float distance = value();
			ASSERT_TRUE(pool.settle(distance));
			settled.insert(std::upper_bound(settled.begin(), settled.end(), distance), distance);
		}
		else
		{
			ASSERT_TRUE(pool.slide());
			limit++;
		}
		ASSERT_EQ(pool.bound(), settled.size() < limit ? kInfinity : settled[limit - 1]);
	}
}

TEST_F(PoolTest, OnlyWhatBeatsTheBoundIsNext)
{
	ASSERT_TRUE(pool.start(2, true));
	ASSERT_TRUE(pool.settle(1));
	ASSERT_TRUE(pool.settle(2));
	ASSERT_TRUE(pool.offer(7, 2.5f, 1));
	ASSERT_TRUE(reject(pool, 8, 3));
	EXPECT_FALSE(pool.has_next());
	ASSERT_TRUE(pool.slide());
	/* The window is not full any more. */
	ASSERT_TRUE(pool.has_next());
	EXPECT_EQ(pool.pop(), 7u);
	ASSERT_TRUE(pool.settle(2.4f));
	EXPECT_FALSE(pool.has_next());
	ASSERT_TRUE(pool.settle(4)); /* beyond the window, until it slides */
	EXPECT_EQ(pool.bound(), 2.4f);
	ASSERT_TRUE(pool.slide());
	EXPECT_EQ(pool.bound(), 4);
	ASSERT_TRUE(pool.has_next());
	EXPECT_EQ(pool.pop(), 8u);
}

/* What was rejected with an estimate below that of a later offer comes first. */
TEST_F(PoolTest, SpilledNodesComeBackInOrder)
{
	ASSERT_TRUE(pool.start(1, true));
	for (Address a = 0; a < 5000; a++)
		ASSERT_TRUE(reject(pool, a, (float) ((a * 7919) % 5000)));
	ASSERT_TRUE(pool.offer(9000, 2500.5f, 1));
	float last = -1;
	for (uint32_t i = 0; i < 5001; i++)
	{
		ASSERT_TRUE(pool.has_next());
		Address a = pool.pop();
		float estimate = a == 9000 ? 2500.5f : (float) ((a * 7919) % 5000);
		ASSERT_GT(estimate, last);
		last = estimate;
	}
	EXPECT_FALSE(pool.has_next());
}

/* A stream: offers and rejections by the bound, pops, slides; drained, it has given all. */
TEST_F(PoolTest, ADrainedStreamGivesEverythingOnce)
{
	for (uint32_t round = 0; round < 10; round++)
	{
		std::map<Address, uint32_t> given;
		std::map<Address, float> distances;
		ASSERT_TRUE(pool.start(1 + round * 20, true));
		for (uint32_t step = 0; step < 20000; step++)
		{
			if (step < 10000 && random() % 4 != 0)
			{
				Address a = address(8000);
				float estimate = distances.emplace(a, value()).first->second * (0.9f + value(0.2f));
				if (random() % 1000 == 0)
					estimate = kInfinity;
				given.emplace(a, 0);
				bool near = estimate < pool.bound();
				ASSERT_TRUE(near ? pool.offer(a, estimate, value() + 0.1f)
								 : reject(pool, a, estimate));
			}
			else if (pool.has_next())
			{
				Address a = pool.pop();
				given.at(a)++;
				ASSERT_TRUE(pool.settle(distances.at(a)));
			}
			else
				ASSERT_TRUE(pool.slide());
		}
		while (pool.has_next() || pool.bound() < kInfinity)
		{
			if (!pool.has_next())
				ASSERT_TRUE(pool.slide());
			else
				given.at(pool.pop())++;
		}
		for (auto &node : given)
			ASSERT_EQ(node.second, 1u) << "node " << node.first;
	}
	EXPECT_FALSE(pool.failed());
}

/* Lanes that are empty, good enough or no numbers. */
TEST_F(PoolTest, SpillsTheLanesThatAreAsked)
{
	Address links[OMENDB_LANES];
	float estimates[OMENDB_LANES];

	ASSERT_TRUE(pool.start(1, true));
	ASSERT_TRUE(pool.settle(10));
	for (uint32_t lane = 0; lane < OMENDB_LANES; lane++)
	{
		links[lane] = lane % 4 == 0 ? kNoAddress : 100 + lane;
		estimates[lane] = lane % 4 == 1 ? std::nanf("") : (float) lane;
	}
	ASSERT_TRUE(pool.reject(links, estimates, 0xFFFFFFF0u, 4));
	/* 6, 7 and 10 are not beyond the bound, the others wait until the window slides. */
	EXPECT_TRUE(pool.has_next());
	EXPECT_EQ(pool.pop(), 106u);
	EXPECT_TRUE(pool.has_next());
	EXPECT_EQ(pool.pop(), 107u);
	EXPECT_TRUE(pool.has_next());
	EXPECT_EQ(pool.pop(), 110u);
	EXPECT_FALSE(pool.has_next());
	ASSERT_TRUE(pool.slide());
	size_t left = 0;
	for (; pool.has_next(); left++)
		pool.pop();
	EXPECT_EQ(left, 7u + 6u + 5u);
}

/* Lists that are all empty lanes leave a long spill of nothing. */
TEST_F(PoolTest, EmptyLanesAreNoCandidates)
{
	Address links[OMENDB_LANES];
	float estimates[OMENDB_LANES];

	std::fill_n(links, OMENDB_LANES, kNoAddress);
	std::fill_n(estimates, OMENDB_LANES, kInfinity);
	for (uint32_t blocks : {1u, 10000u})
	{
		ASSERT_TRUE(pool.start(20, true));
		for (uint32_t i = 0; i < blocks; i++)
			ASSERT_TRUE(pool.reject(links, estimates, 0xFFFFFFFFu, 5));
		EXPECT_FALSE(pool.has_next());
		ASSERT_TRUE(pool.offer(1, 1, 1));
		ASSERT_TRUE(pool.has_next());
		EXPECT_EQ(pool.pop(), 1u);
		EXPECT_FALSE(pool.has_next());
	}
	EXPECT_FALSE(pool.failed());
}

TEST_F(PoolTest, WithoutRejectsNothingIsSpilled)
{
	ASSERT_TRUE(pool.start(1, false));
	EXPECT_FALSE(pool.keeps_rejected());
	ASSERT_TRUE(reject(pool, 1, 1));
	EXPECT_FALSE(pool.has_next());
	ASSERT_TRUE(pool.start(1, true));
	EXPECT_TRUE(pool.keeps_rejected());
}

TEST_F(PoolTest, SeenTableGrows)
{
	ASSERT_TRUE(pool.start(10, false));
	for (uint32_t i = 0; i < 100000; i++)
	{
		/* Neighbouring addresses and ones that differ in high bits only. */
		Address a = i % 2 == 0 ? i : i << 15 | 1;
		ASSERT_EQ(pool.seen(a), false);
		ASSERT_TRUE(i % 3 == 0 ? pool.mark(a) : pool.offer(a, value(), 1));
		ASSERT_TRUE(pool.seen(a));
	}
	for (uint32_t i = 0; i < 100000; i++)
		ASSERT_TRUE(pool.seen(i % 2 == 0 ? i : i << 15 | 1));
	size_t count = 0;
	for (; pool.has_next(); count++)
		pool.pop();
	EXPECT_EQ(count, 66666u);
	/* The large table of one search does not burden the next. */
	ASSERT_TRUE(pool.start(10, false));
	for (uint32_t i = 0; i < 1000; i++)
		ASSERT_FALSE(pool.seen(i));
	for (uint32_t i = 0; i < 20000; i++)
		ASSERT_TRUE(pool.offer(i, value(), 1));
	for (uint32_t i = 0; i < 20000; i++)
		ASSERT_TRUE(pool.seen(i));
}

/* A search as long as memory allows; false ends it. */
bool
use(Pool &pool, std::mt19937_64 &random)
{
	if (!pool.start(300, true))
		return false;
	for (uint32_t i = 0; i < 9000; i++)
	{
		float estimate = std::uniform_real_distribution<float>()(random);
		Address a = (Address) (random() % 6000);
		bool ok = true;
		switch (i % 8)
		{
			case 0:
				ok = !pool.has_next() || (pool.pop(), pool.settle(estimate));
				break;
			case 1:
				ok = pool.slide();
				break;
			case 2:
			case 3:
				ok = reject(pool, a, estimate);
				break;
			default:
				ok = pool.offer(a, estimate, 1);
		}
		if (!ok || pool.failed())
			return false;
	}
	while (pool.has_next())
		pool.pop();
	return !pool.failed();
}

TEST_F(PoolTest, OutOfMemoryIsSaidNotSuffered)
{
	size_t needed;
	{
		test::TestMemory counted;
		Pool first;
		first.init(counted.get());
		ASSERT_TRUE(use(first, random));
		needed = counted.calls;
	}
	ASSERT_GT(needed, 15u);
	for (size_t n = 1; n < needed; n++)
	{
		test::TestMemory failing;
		Pool other;
		std::mt19937_64 same(1);
		other.init(failing.get());
		failing.fail_after(n);
		EXPECT_FALSE(use(other, same)) << "call " << n;
		EXPECT_GT(failing.failures, 0u);
		/* With memory again the pool is as good as new. */
		failing.fail_after(0);
		EXPECT_TRUE(use(other, same)) << "call " << n;
	}
}

TEST_F(PoolTest, CountsItsBytes)
{
	EXPECT_EQ(pool.bytes(), 0u);
	ASSERT_TRUE(pool.start(10, true));
	size_t before = pool.bytes();
	for (uint32_t i = 0; i < 10000; i++)
		ASSERT_TRUE(pool.offer(i, 1, 1));
	EXPECT_GE(pool.bytes() - before, 10000 * (sizeof(Entry) + sizeof(HeapItem)));
}

} // namespace
} // namespace omendb::graph
