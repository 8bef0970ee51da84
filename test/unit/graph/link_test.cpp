/*
 * link_test.cpp - entering a list by the record's own bytes: what must hold whatever
 * the codes say, and how near its choice comes to the exact one.
 */
#include <gtest/gtest.h>

#include <set>

#include "graph/link-inl.hpp"
#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

using quant::Storage;
using test::clustered;
using test::IndexOptions;
using test::Matrix;
using test::uniform;

/* Rows as an index of them would store them, and one record that lists some of them. */
class List
{
public:
	List(const Matrix &rows, uint32_t m, Storage storage) : rows_(rows)
	{
		ShapeRequest request = {};
		request.dim = quant::padded_dim(quant::Metric::L2, rows.dim);
		request.m = m;
		request.storage = storage;
		request.page_bytes = 8160;
		EXPECT_TRUE(choose_shape(request, &shape));
		mean_.assign(rows.dim, 0);
		signs_.resize(shape.dim / 2);
		quant::make_signs(7, shape.dim, signs_.data());
		space = {};
		space.metric = quant::Metric::L2;
		space.storage = storage;
		space.input_dim = rows.dim;
		space.dim = shape.dim;
		space.code_dim = shape.code_dim;
		space.code_bits = shape.code_bits;
		space.mean = mean_.data();
		space.signs = signs_.data();
		space.kernels = test::kernels();
		bytes_ = quant::stored_bytes(storage, shape.dim);
		stored_.resize(rows.n * bytes_);
		metas_.resize(rows.n);
		for (uint32_t i = 0; i < rows.n; i++)
		{
			std::vector<float> t = transformed(i);
			quant::store_vector(space, t.data(), 0, stored(i), &metas_[i]);
		}
		record_.resize(shape.slot_bytes);
		owner_.resize(shape.dim);
		own_.resize(shape.dim);
		query_memory_.resize(quant::query_bytes(space));
		owner_memory_.resize(quant::query_bytes(space));
		memory_.owner = owner_.data();
		memory_.query_memory = owner_memory_.data();
		init_record(space, shape, record(), 0, kNoAddress, metas_[0], stored(0));
	}

	uint8_t *
	record()
	{
		return record_.data();
	}

	/* Row i wants to enter the list of row 0; its address is i. */
	bool
	enter(uint32_t i, bool keep)
	{
		quant::Query query;
		std::vector<float> t = transformed(i);
		quant::prepare_row_query(space, t.data(), query_memory_.data(), &query);
		quant::load_vector(space, stored(i), metas_[i].scale, own_.data());
		return enter_by_codes(space, shape, record(), Newcomer{i, own_.data(), &query, stored(i)},
							  distance(0, i), keep, &memory_);
	}

	float
	distance(uint32_t a, uint32_t b)
	{
		return quant::stored_distance(space, stored(a), metas_[a], stored(b), metas_[b]);
	}

	/* Every lane has the code of its neighbour, an empty one none; none is there twice. */
	void
	expect_sound()
	{
		std::set<Address> seen;
		std::vector<float> owner(shape.dim), other(shape.dim);
		quant::LaneCode have, want;

		quant::load_vector(space, stored(0), metas_[0].scale, owner.data());
		for (uint32_t lane = 0; lane < shape.blocks * OMENDB_LANES; lane++)
		{
			Address a = neighbours(shape, record())[lane];
			quant::read_lane(space, code_block(shape, record(), lane / OMENDB_LANES),
							 lane % OMENDB_LANES, &have);
			if (a == kNoAddress)
			{
				EXPECT_EQ(have.add, std::numeric_limits<float>::infinity());
				EXPECT_FALSE(get_bit(protected_mask(shape, record()), lane));
				EXPECT_FALSE(get_bit(diverse_mask(shape, record()), lane));
				continue;
			}
			ASSERT_LT(lane, shape.max_links);
			EXPECT_TRUE(seen.insert(a).second);
			quant::load_vector(space, stored(a), metas_[a].scale, other.data());
			quant::encode_lane(space, other.data(), owner.data(), &want);
			EXPECT_EQ(have.add, want.add);
			EXPECT_EQ(have.mul, want.mul);
			EXPECT_EQ(memcmp(have.planes, want.planes, shape.code_bits * shape.code_dim / 8), 0);
		}
	}

	std::set<Address>
	members(bool only_protected = false)
	{
		std::set<Address> all;
		for (uint32_t lane = 0; lane < shape.max_links; lane++)
		{
			if (neighbours(shape, record())[lane] != kNoAddress &&
				(!only_protected || get_bit(protected_mask(shape, record()), lane)))
				all.insert(neighbours(shape, record())[lane]);
		}
		return all;
	}

	/* Which part of those that selection picks among all rows are members. */
	double
	selected_part()
	{
		std::vector<Option> options;
		for (uint32_t i = 1; i < rows_.n; i++)
			options.push_back(Option{distance(0, i), i, stored(i), metas_[i].scale,
									 metas_[i].self_dot, kNoLane, false, false, Pick::None});
		std::sort(options.begin(), options.end(),
				  [](const Option &a, const Option &b) { return a.distance < b.distance; });
		size_t picked =
			select_neighbours(space, shape, options.data(), options.size(), shape.max_links);
		std::set<Address> mine = members();
		size_t common = 0;
		for (const Option &option : options)
			common += option.pick != Pick::None && mine.count(option.address) > 0;
		return (double) common / (double) picked;
	}

	Shape shape;
	quant::Space space;

private:
	uint8_t *
	stored(uint32_t i)
	{
		return stored_.data() + i * bytes_;
	}

	std::vector<float>
	transformed(uint32_t i)
	{
		std::vector<float> t(shape.dim);
		float excess;
		EXPECT_TRUE(quant::transform_row(space, rows_.row(i), t.data(), &excess));
		return t;
	}

	const Matrix &rows_;
	std::vector<float> mean_;
	std::vector<uint8_t> signs_;
	size_t bytes_;
	std::vector<uint8_t> stored_;
	std::vector<quant::StoredMeta> metas_;
	std::vector<uint8_t> record_;
	std::vector<float> owner_, own_;
	std::vector<uint8_t> query_memory_, owner_memory_;
	LinkMemory memory_;
};

TEST(EnterByCodes, FillsEmptyLanesFirst)
{
	Matrix rows = uniform(60, 64, 1);
	List list(rows, 16, Storage::Int8);

	for (uint32_t i = 1; i <= list.shape.max_links; i++)
	{
		EXPECT_TRUE(list.enter(i, false));
		EXPECT_EQ(list.members().size(), i);
	}
	list.expect_sound();
}

TEST(EnterByCodes, OneLaneForOneLane)
{
	for (Storage storage : {Storage::Int8, Storage::Half, Storage::Full})
	{
		for (uint32_t m : {2u, 16u, 40u})
		{
			Matrix rows = clustered(300, 48, 2);
			List list(rows, m, storage);
			std::set<Address> before;
			for (uint32_t i = 1; i < rows.n; i++)
			{
				bool in = list.enter(i, false);
				std::set<Address> after = list.members();
				EXPECT_EQ(after.count(i), in ? 1u : 0u);
				uint32_t lost = 0;
				for (Address a : before)
					lost += after.count(a) == 0;
				EXPECT_EQ(lost, in && i > list.shape.max_links ? 1u : 0u);
				before = after;
			}
			list.expect_sound();
		}
	}
}

TEST(EnterByCodes, NeverGivesUpAProtectedLane)
{
	Matrix rows = clustered(500, 100, 3);
	List list(rows, 8, Storage::Int8);
	std::set<Address> kept;

	for (uint32_t i = 1; i < rows.n; i++)
	{
		bool keep = i % 30 == 0 && kept.size() < max_protected(list.shape.max_links);
		bool in = list.enter(i, keep);
		if (keep)
		{
			EXPECT_TRUE(in);
			kept.insert(i);
		}
		EXPECT_EQ(list.members(true), kept);
	}
	EXPECT_EQ(kept.size(), max_protected(list.shape.max_links));
	list.expect_sound();
}

TEST(EnterByCodes, TwiceIsOnce)
{
	Matrix rows = uniform(100, 32, 4);
	List list(rows, 16, Storage::Int8);

	for (uint32_t i = 1; i < 20; i++)
		EXPECT_TRUE(list.enter(i, i == 7));
	std::vector<uint8_t> before(list.record(), list.record() + list.shape.slot_bytes);
	EXPECT_TRUE(list.enter(7, false));
	EXPECT_EQ(memcmp(before.data(), list.record(), before.size()), 0);
	EXPECT_TRUE(list.enter(9, false));
	EXPECT_EQ(list.members().size(), 19u);
	list.expect_sound();
}

TEST(EnterByCodes, ReplacesWhatAnEarlierNodeOfTheSlotLeft)
{
	Matrix rows = uniform(100, 32, 5);
	List list(rows, 16, Storage::Int8);

	for (uint32_t i = 1; i < 20; i++)
		EXPECT_TRUE(list.enter(i, false));
	uint32_t lane = find_lane(list.shape, list.record(), 5);
	neighbours(list.shape, list.record())[lane] = 50;
	EXPECT_TRUE(list.enter(50, true));
	EXPECT_EQ(list.members().size(), 19u);
	EXPECT_TRUE(get_bit(protected_mask(list.shape, list.record()), lane));
	list.expect_sound();
}

/* All rows come by, few are let in: for the greater part those that selection would pick. */
TEST(EnterByCodes, ComesNearSelection)
{
	struct
	{
		uint32_t dim;
		bool clusters;
	} cases[] = {{16, false}, {64, true}, {128, false}, {128, true}, {700, true}};

	double sum = 0;

	for (const auto &c : cases)
	{
		Matrix rows = c.clusters ? clustered(600, c.dim, 6) : uniform(600, c.dim, 6);
		List list(rows, 16, Storage::Int8);
		for (uint32_t i = 1; i < rows.n; i++)
			list.enter(i, false);
		double part = list.selected_part();
		/* By chance it would be 0.05. */
		EXPECT_GE(part, 0.4) << c.dim;
		sum += part;
	}
	EXPECT_GE(sum / (double) std::size(cases), 0.5);
}

} // namespace
} // namespace omendb::graph
