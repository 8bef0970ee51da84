/*
 * repair_test.cpp - dead nodes leave the tree and the lists, step by step, and the
 * graph that is left is as good as one built without them.
 */
#include <gtest/gtest.h>

#include "graph/repair-inl.hpp"
#include "graph/slot_set.hpp"
#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

/* What VACUUM does to an index, in memory. */
class Vacuum
{
public:
	explicit Vacuum(test::MemoryIndex *index) : index_(index)
	{
		dead_.init(memory_.get(), index->shape().slots);
		entered_.init(memory_.get(), index->shape().slots);
		uint32_t blocks = test::MemoryIndex::kFirstBlock + index->control().next_page.load();
		EXPECT_TRUE(dead_.grow(blocks) && entered_.grow(blocks));
		own_.resize(index->space().dim);
		other_.resize(index->space().dim);
		query_.resize(quant::query_bytes(index->space()) / sizeof(double) + 1);
	}

	/* ---- the Store of Rehanger, the Records of ListRepair ---- */

	const Shape &
	shape() const
	{
		return index_->shape();
	}

	bool
	is_dead(Address a) const
	{
		return dead_.test(a);
	}

	bool
	enter(Address a)
	{
		return entered_.add(a);
	}

	const uint8_t *
	read(Address a)
	{
		return record(a);
	}

	bool
	move(Address child, Address from, Address to)
	{
		const quant::Space &space = index_->space();
		auto load = [&](Address a, std::vector<float> *out)
		{
			const uint8_t *r = record(a);
			quant::load_vector(space, vector_of(shape(), r), header((const uint8_t *) r)->scale,
							   out->data());
		};

		load(child, &other_);
		load(to, &own_);
		quant::encode_lane(space, other_.data(), own_.data(), &code_);
		if (!take_child(space, shape(), record(to), child, code_,
						[this](Address a) { return is_dead(a); }))
			return false;
		give_child(shape(), record(from), child);
		if (intact)
			expect_tree();
		return true;
	}

	void
	poll()
	{
	}

	void
	begin()
	{
	}

	const uint8_t *
	find(Address a)
	{
		return record(a);
	}

	/* ---- the steps ---- */

	void
	kill(Address a)
	{
		RecordHeader *h = header(record(a));

		h->state = (uint8_t) State::Dead;
		h->tid_count = 0;
		h->overflow = kNoAddress;
		dead_.add(a);
	}

	void
	kill_above()
	{
		for (uint32_t level = 1; level <= OMENDB_MAX_LEVEL; level++)
		{
			for (Address a : index_->records(level))
			{
				if (is_dead(header(record(a))->down))
					kill(a);
			}
		}
	}

	/* All of it; the number of passes it took. */
	int
	run()
	{
		Rehanger<Vacuum> rehanger;
		auto lists = std::make_unique<ListRepair<Vacuum>>();
		int passes = 0;
		size_t left;

		rehanger.init(this, memory_.get());
		lists->init(this, &index_->space(), &shape(), &shape(),
					RepairMemory{own_.data(), other_.data(), query_.data()});
		kill_above();
		do
		{
			left = pass(&rehanger, lists.get());
			EXPECT_LT(++passes, 50);
		} while (left > 0 && passes < 50);
		replace_entry();
		for (uint32_t level = 0; level <= OMENDB_MAX_LEVEL; level++)
		{
			for (Address a : index_->records(level))
			{
				if (is_dead(a))
					free_record(shape(), record(a));
			}
		}
		index_->control().nodes.store(index_->records(0).size());
		return passes;
	}

	uint8_t *
	record(Address a)
	{
		return const_cast<uint8_t *>(index_->worker()->store.record(a));
	}

	/* The protected links from the root are a tree, and every live node is in it. */
	void
	expect_tree()
	{
		std::set<Address> reached;
		std::vector<Address> stack;

		if (index_->control().root.load() != kNoAddress)
			stack.push_back(index_->control().root.load());
		while (!stack.empty())
		{
			Address a = stack.back();
			stack.pop_back();
			ASSERT_TRUE(reached.insert(a).second) << "reached twice";
			for (uint32_t lane = 0; lane < shape().max_links; lane++)
			{
				if (get_bit(protected_mask(shape(), record(a)), lane))
					stack.push_back(neighbours(shape(), record(a))[lane]);
			}
		}
		for (Address a : index_->records(0))
			ASSERT_TRUE(is_dead(a) || reached.count(a) == 1) << "not reached";
	}

	bool intact = true; /* the tree is one before it is changed */

private:
	size_t
	pass(Rehanger<Vacuum> *rehanger, ListRepair<Vacuum> *lists)
	{
		size_t left = 0;
		Rehung hung;

		entered_.clear();
		Address root = index_->control().root.load();
		if (is_dead(root))
		{
			EXPECT_EQ(rehanger->rehang(root, &hung), OMENDB_OK);
			if (hung.complete)
				index_->control().root.store(hung.heir);
			left += !hung.complete;
			expect_tree();
		}
		for (uint32_t level = 0; level <= OMENDB_MAX_LEVEL; level++)
		{
			for (Address a : index_->records(level))
				left += is_dead(a) ? 0 : repair(a, rehanger, lists);
		}
		return left;
	}

	size_t
	repair(Address a, Rehanger<Vacuum> *rehanger, ListRepair<Vacuum> *lists)
	{
		std::vector<Rehung> hung;
		size_t kept = 0;

		for (uint32_t lane = 0; lane < shape().max_links; lane++)
		{
			Address to = neighbours(shape(), record(a))[lane];
			if (!get_bit(protected_mask(shape(), record(a)), lane))
				continue;
			kept++;
			if (!is_dead(to))
				continue;
			hung.emplace_back();
			EXPECT_EQ(rehanger->rehang(to, &hung.back()), OMENDB_OK);
		}
		std::vector<uint8_t> copy(record(a), record(a) + shape().slot_bytes);
		bool clean = lists->repair(a, copy.data(), hung.data(), hung.size());
		EXPECT_EQ(clean, !lists->is_damaged(copy.data()));
		EXPECT_LE(list_state(shape(), copy.data()).protected_count,
				  max_protected(shape().max_links));
		memcpy(record(a), copy.data(), copy.size());
		if (!hung.empty())
			expect_tree();
		return clean ? 0 : 1;
	}

	void
	replace_entry()
	{
		for (uint32_t level = OMENDB_MAX_LEVEL + 1; level-- > 0;)
		{
			for (Address a : index_->records(level))
			{
				if (is_dead(a))
					continue;
				index_->control().entry.store((uint64_t) level << 32 | a);
				return;
			}
		}
		index_->control().entry.store(kNoAddress);
	}

	test::MemoryIndex *index_;
	test::TestMemory memory_;
	SlotSet dead_, entered_;
	std::vector<float> own_, other_;
	std::vector<double> query_;
	quant::LaneCode code_;
};

/* Kill the nodes whose turn says so; the rows that stay. */
template <typename F>
std::vector<uint32_t>
kill_some(test::MemoryIndex *index, Vacuum *vacuum, F dies)
{
	std::vector<uint32_t> stay;

	for (Address a : index->records(0))
	{
		std::vector<uint32_t> some = index->rows_of(a);
		if (dies(some[0]))
			vacuum->kill(a);
		else
			stay.insert(stay.end(), some.begin(), some.end());
	}
	std::sort(stay.begin(), stay.end());
	return stay;
}

struct RepairTest : testing::TestWithParam<uint32_t>
{
	test::Matrix base = test::clustered(600, 16, 1);
	test::IndexOptions options;

	RepairTest()
	{
		options.m = GetParam();
		options.ef_construction = 32;
	}

	template <typename F>
	void
	expect_sound(F dies)
	{
		test::MemoryIndex index(base, options);
		index.insert_all();
		ASSERT_EQ(index.problem(), "");
		Vacuum vacuum(&index);
		std::vector<uint32_t> stay = kill_some(&index, &vacuum, dies);
		vacuum.expect_tree();
		vacuum.run();
		vacuum.expect_tree();
		EXPECT_EQ(index.problem(), "");
		EXPECT_EQ(index.all_rows(), stay);
	}
};

TEST_P(RepairTest, RandomNodes)
{
	for (uint32_t percent : {1, 10, 50, 90, 99})
		expect_sound([percent](uint32_t row) { return mix64(row) % 100 < percent; });
}

TEST_P(RepairTest, NearNodes)
{
	expect_sound([this](uint32_t row) { return base.row(row)[0] > 0.3f; });
	expect_sound([this](uint32_t row) { return base.row(row)[0] < 0.3f; });
}

/* The first are near the root. */
TEST_P(RepairTest, FirstNodes)
{
	for (uint32_t first : {1u, 5u, 100u, 599u})
		expect_sound([first](uint32_t row) { return row < first; });
	expect_sound([](uint32_t row) { return row > 0; });
}

TEST_P(RepairTest, AllNodes)
{
	expect_sound([](uint32_t) { return true; });
}

INSTANTIATE_TEST_SUITE_P(Links, RepairTest, testing::Values(2, 4, 16));

/* A list that all leads to dead nodes, whose neighbours are dead as well, finds somebody. */
TEST(Repair, AsGoodAsNew)
{
	test::Matrix base = test::clustered(test::rows(4000), 24, 2);
	test::Matrix queries = test::clustered(100, 24, 3);
	auto dies = [](uint32_t row)
	{
		return mix64(row) % 10 < 4;
	};
	test::IndexOptions options;
	test::MemoryIndex old(base, options);

	old.insert_all();
	Vacuum vacuum(&old);
	std::vector<uint32_t> stay = kill_some(&old, &vacuum, dies);
	vacuum.run();
	ASSERT_EQ(old.problem(), "");

	test::Matrix rest = {(uint32_t) stay.size(), base.dim, {}};
	for (uint32_t row : stay)
		rest.values.insert(rest.values.end(), base.row(row), base.row(row) + base.dim);
	test::MemoryIndex fresh(rest, options);
	fresh.insert_all();

	size_t hits = 0;
	for (uint32_t q = 0; q < queries.n; q++)
	{
		double limit = test::kth_value(rest, queries.row(q), options.metric, 10);
		size_t some = 0;
		for (uint32_t i : old.search(queries.row(q), 20))
			some += test::operator_value(options.metric, queries.row(q), base.row(i), base.dim) <=
					limit;
		hits += std::min<size_t>(some, 10);
	}
	double recall = (double) hits / (10.0 * queries.n);
	EXPECT_GE(recall, fresh.recall(queries, 10, 20) - 0.02);
	EXPECT_GE(recall, 0.9);
}

/* A dead node that protects itself, or two that protect each other: no walk goes on for ever. */
TEST(Repair, DamagedTree)
{
	test::Matrix base = test::clustered(200, 16, 1);
	test::MemoryIndex index(base, test::IndexOptions());
	test::TestMemory memory;

	index.insert_all();
	Vacuum vacuum(&index);
	vacuum.intact = false;
	std::vector<Address> nodes = index.records(0);
	for (size_t i = 0; i < 50; i++)
	{
		vacuum.kill(nodes[i]);
		uint8_t *record = vacuum.record(nodes[i]);
		for (uint32_t lane = 0; lane < index.shape().max_links; lane++)
		{
			neighbours(index.shape(), record)[lane] = nodes[(i * 7 + lane) % 60];
			set_bit(protected_mask(index.shape(), record), lane, true);
		}
	}
	Rehanger<Vacuum> rehanger;
	Rehung hung;
	rehanger.init(&vacuum, memory.get());
	EXPECT_EQ(rehanger.rehang(nodes[0], &hung), OMENDB_OK);
}

TEST(Repair, OutOfMemory)
{
	test::Matrix base = test::clustered(200, 16, 1);
	test::MemoryIndex index(base, test::IndexOptions());
	test::TestMemory memory;

	index.insert_all();
	Vacuum vacuum(&index);
	kill_some(&index, &vacuum, [](uint32_t) { return true; });
	Rehanger<Vacuum> rehanger;
	Rehung hung;
	rehanger.init(&vacuum, memory.get());
	memory.fail_after(1);
	EXPECT_EQ(rehanger.rehang(index.control().root.load(), &hung), OMENDB_NO_MEMORY);
}

TEST(SlotSet, RemembersSlots)
{
	test::TestMemory memory;
	SlotSet set;

	set.init(memory.get(), 5);
	EXPECT_FALSE(set.test(make_address(0, 0)));
	EXPECT_FALSE(set.add(make_address(0, 0)));
	ASSERT_TRUE(set.grow(40));
	EXPECT_TRUE(set.add(make_address(39, 4)));
	EXPECT_FALSE(set.add(make_address(39, 4)));
	EXPECT_FALSE(set.add(make_address(39, 5))); /* no such slot */
	EXPECT_FALSE(set.add(make_address(40, 0)));
	EXPECT_FALSE(set.add(kNoAddress));
	ASSERT_TRUE(set.grow(1000));
	EXPECT_TRUE(set.test(make_address(39, 4)));
	EXPECT_TRUE(set.touches(39));
	EXPECT_FALSE(set.touches(38));
	EXPECT_FALSE(set.touches(999));
	EXPECT_EQ(set.count(), 1u);
	memory.fail_after(1);
	EXPECT_FALSE(set.grow(100000));
	EXPECT_TRUE(set.test(make_address(39, 4)));
	set.clear();
	EXPECT_FALSE(set.test(make_address(39, 4)));
	EXPECT_EQ(set.count(), 0u);
}

} // namespace
} // namespace omendb::graph
