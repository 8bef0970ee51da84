/*
 * select_test.cpp - the occlusion rule, against the same rule written naively.
 */
#include <gtest/gtest.h>

#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

/* Records with small integers in them: every distance is exact in any storage. */
struct SelectTest : testing::TestWithParam<int>
{
	static constexpr uint32_t kDim = 16;
	test::Matrix base = test::uniform(1, kDim, 1);
	test::MemoryIndex index{base, options()};
	const Shape &shape = index.shape();
	std::mt19937_64 random{7};
	std::vector<std::vector<uint8_t>> records;
	std::vector<std::vector<int>> points;

	static test::IndexOptions
	options()
	{
		test::IndexOptions o;
		o.storage = (quant::Storage) GetParam();
		return o;
	}

	void
	add_record(uint32_t spread)
	{
		std::vector<int> point(kDim);
		std::vector<uint8_t> record(shape.slot_bytes), stored(kDim * 4);
		std::vector<float> x(kDim);
		int sum = 0;

		for (uint32_t i = 0; i < kDim; i++)
		{
			point[i] = (int) (random() % spread) - (int) (spread / 2);
			x[i] = (float) point[i];
			sum += point[i] * point[i];
		}
		for (uint32_t i = 0; i < kDim; i++)
		{
			if (shape.storage == quant::Storage::Int8)
				stored[i] = (uint8_t) (int8_t) point[i];
		}
		if (shape.storage == quant::Storage::Half)
			test::kernels()->f32_to_f16(x.data(), (uint16_t *) (void *) stored.data(), kDim);
		if (shape.storage == quant::Storage::Full)
			memcpy(stored.data(), x.data(), kDim * 4);
		init_record(index.space(), shape, record.data(), 0, kNoAddress,
					quant::StoredMeta{1, (float) sum, 0}, stored.data());
		records.push_back(record);
		points.push_back(point);
	}

	int
	distance(size_t a, size_t b) const
	{
		int sum = 0;
		for (uint32_t i = 0; i < kDim; i++)
			sum += (points[a][i] - points[b][i]) * (points[a][i] - points[b][i]);
		return sum;
	}

	Option
	option(float distance, uint32_t i, bool keep, Pick pick)
	{
		const RecordHeader *h = header(records[i].data());

		return Option{distance, i,           vector_of(shape, records[i].data()),
					  h->scale, h->self_dot, kNoLane,
					  keep,     false,       pick};
	}

	/* Options 1 .. n for the owner 0, sorted by distance, some protected. */
	std::vector<Option>
	make_options(size_t n, size_t kept, uint32_t spread)
	{
		std::vector<Option> options;

		records.clear();
		points.clear();
		for (size_t i = 0; i <= n; i++)
			add_record(spread);
		for (size_t i = 1; i <= n; i++)
			options.push_back(option((float) distance(0, i), (Address) i, i <= kept, Pick::Fill));
		std::sort(options.begin(), options.end(),
				  [](const Option &a, const Option &b) {
					  return a.distance != b.distance ? a.distance < b.distance
													  : a.address < b.address;
				  });
		return options;
	}

	/* Nearest first: a protected one always; another if there is room and nothing chosen is nearer.
	 */
	std::vector<Pick>
	naive(const std::vector<Option> &options, size_t limit) const
	{
		std::vector<Pick> picks(options.size(), Pick::None);
		std::vector<size_t> chosen;
		size_t waiting = 0, picked;

		for (const Option &o : options)
			waiting += o.keep;
		for (size_t i = 0; i < options.size(); i++)
		{
			bool free = chosen.size() + waiting < limit;
			for (size_t c : chosen)
				free = free && (float) distance(options[i].address, options[c].address) *
									   occlusion(shape.max_links) >=
								   options[i].distance;
			waiting -= options[i].keep;
			if (options[i].keep || free)
			{
				picks[i] = Pick::Diverse;
				chosen.push_back(i);
			}
		}
		picked = chosen.size();
		for (size_t i = 0; i < options.size(); i++)
		{
			if (picks[i] == Pick::None && picked < limit)
			{
				picks[i] = Pick::Fill;
				picked++;
			}
		}
		return picks;
	}
};

TEST_P(SelectTest, AgreesWithTheNaiveRule)
{
	for (uint32_t round = 0; round < 400; round++)
	{
		size_t n = random() % 80, limit = 1 + random() % 40;
		/* Every eighth time more are protected than may be picked: they stay all the same. */
		size_t kept = random() % (std::min(n, round % 8 == 0 ? n : limit / 2) + 1);
		uint32_t spread = round % 2 == 0 ? 3 : 60;
		std::vector<Option> options = make_options(n, kept, spread);
		std::vector<Pick> wanted = naive(options, limit);
		size_t picked =
			select_neighbours(index.space(), shape, options.data(), options.size(), limit);
		size_t count = 0, protected_picked = 0;
		for (size_t i = 0; i < n; i++)
		{
			ASSERT_EQ(options[i].pick, wanted[i]) << "round " << round << ", option " << i;
			count += options[i].pick != Pick::None;
			protected_picked += options[i].keep && options[i].pick == Pick::Diverse;
		}
		ASSERT_EQ(picked, count);
		ASSERT_EQ(protected_picked, kept);
		ASSERT_EQ(picked, std::max(kept, std::min(n, limit)));
	}
}

/* On a line away from the owner only the nearest is diverse; the rest fills. */
TEST_P(SelectTest, ALineHasOneDiverseNeighbour)
{
	std::vector<Option> options = make_options(5, 0, 3);

	for (size_t i = 0; i <= 5; i++)
	{
		std::vector<int> point(kDim, 0);
		std::vector<uint8_t> stored(kDim * 4, 0);
		point[0] = (int) i;
		float x = (float) i;
		if (shape.storage == quant::Storage::Int8)
			stored[0] = (uint8_t) i;
		if (shape.storage == quant::Storage::Half)
			test::kernels()->f32_to_f16(&x, (uint16_t *) (void *) stored.data(), 1);
		if (shape.storage == quant::Storage::Full)
			memcpy(stored.data(), &x, 4);
		points[i] = point;
		init_record(index.space(), shape, records[i].data(), 0, kNoAddress,
					quant::StoredMeta{1, (float) (i * i), 0}, stored.data());
	}
	for (size_t i = 0; i < 5; i++)
		options[i] = option((float) ((i + 1) * (i + 1)), (Address) (i + 1), i == 4, Pick::None);
	EXPECT_EQ(select_neighbours(index.space(), shape, options.data(), 5, 3), 3u);
	Pick wanted[] = {Pick::Diverse, Pick::Fill, Pick::None, Pick::None, Pick::Diverse};
	for (size_t i = 0; i < 5; i++)
		EXPECT_EQ(options[i].pick, wanted[i]) << i;
}

TEST_P(SelectTest, NothingFromNothing)
{
	EXPECT_EQ(select_neighbours(index.space(), shape, nullptr, 0, 26), 0u);
}

INSTANTIATE_TEST_SUITE_P(Storage, SelectTest, testing::Values(1, 2, 3));

} // namespace
} // namespace omendb::graph
