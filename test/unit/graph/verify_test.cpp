/*
 * verify_test.cpp - the verifier sees what is broken, wherever it is.
 */
#include <gtest/gtest.h>

#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

struct VerifyTest : testing::Test
{
	test::Matrix base = test::clustered(300, 32, 1);
	test::MemoryIndex index{base, test::IndexOptions()};
	const Shape &shape = index.shape();

	VerifyTest()
	{
		for (uint32_t i = 0; i < base.n; i++)
			EXPECT_EQ(index.insert(i, i % 7 == 3 ? 1 : 0, 0), OMENDB_OK);
		EXPECT_EQ(index.problem(), "");
	}

	uint8_t *
	record(uint32_t level, uint32_t i)
	{
		return const_cast<uint8_t *>(index.worker()->store.record(index.records(level).at(i)));
	}

	/* Spoil, see it named, put it back. */
	template <typename F>
	void
	expect_seen(const char *what, uint8_t *at, F spoil)
	{
		std::vector<uint8_t> before(at, at + shape.slot_bytes);
		spoil(at);
		std::string found = index.problem();
		EXPECT_EQ(found.substr(0, found.find(':')), what);
		memcpy(at, before.data(), before.size());
	}

	/* The first lane in use, protected or not. */
	uint32_t
	lane_of(const uint8_t *r, bool is_protected)
	{
		for (uint32_t lane = 0; lane < shape.max_links; lane++)
		{
			if (neighbours(shape, r)[lane] != kNoAddress &&
				get_bit(protected_mask(shape, r), lane) == is_protected)
				return lane;
		}
		return kNoLane;
	}

	/* A node with a protected link and a free lane. */
	uint8_t *
	parent()
	{
		for (uint32_t i = 0;; i++)
		{
			uint8_t *r = record(0, i);
			if (lane_of(r, true) != kNoLane && list_state(shape, r).free_lane != kNoLane)
				return r;
		}
	}
};

TEST_F(VerifyTest, Headers)
{
	uint8_t *r = record(0, 5), *upper = record(1, 5);

	expect_seen("state out of range", r, [](uint8_t *p) { header(p)->state = 4; });
	expect_seen("level out of range", r, [](uint8_t *p) { header(p)->level = 8; });
	expect_seen("locked", r, [](uint8_t *p) { header(p)->lock = 1; });
	expect_seen("reserved bytes in use", r, [](uint8_t *p) { header(p)->rest = 1; });
	expect_seen("reserved bytes in use", r, [](uint8_t *p) { header(p)->flags = 2; });
	expect_seen("more answers than allowed", r, [](uint8_t *p) { header(p)->answers = 1; });
	expect_seen("too many TIDs", r, [](uint8_t *p) { header(p)->tid_count = 3; });
	expect_seen("overflow before the record is full", r,
				[](uint8_t *p) { header(p)->overflow = 1; });
	expect_seen("TIDs do not fit state and level", r, [](uint8_t *p) { header(p)->tid_count = 0; });
	expect_seen("TIDs do not fit state and level", upper,
				[](uint8_t *p) { header(p)->tid_count = 1; });
	expect_seen("free slot with TIDs", r, [](uint8_t *p) { header(p)->state = 0; });
	expect_seen("scale or self_dot out of range", r, [](uint8_t *p) { header(p)->self_dot = NAN; });
	expect_seen("residual out of range", r, [](uint8_t *p) { header(p)->residual = NAN; });
}

TEST_F(VerifyTest, DownPointers)
{
	uint8_t *r = record(0, 5), *upper = record(1, 5);
	Address wrong = index.records(0)[0];

	expect_seen("down pointer on level 0", r, [&](uint8_t *p) { header(p)->down = wrong; });
	expect_seen("another vector one level down", upper,
				[&](uint8_t *p) { header(p)->down = wrong; });
	expect_seen("down pointer does not lead one level down", upper,
				[&](uint8_t *p) { header(p)->down = kNoAddress; });
	expect_seen("down pointer does not lead one level down", upper,
				[&](uint8_t *p) { header(p)->down = index.records(1)[0]; });
}

TEST_F(VerifyTest, Links)
{
	uint8_t *r = parent();
	uint32_t lane = lane_of(r, false), other = lane + 1;
	Address own = kNoAddress;
	for (Address a : index.records(0))
		own = index.worker()->store.record(a) == r ? a : own;

	expect_seen("its own neighbour", r, [&](uint8_t *p) { neighbours(shape, p)[lane] = own; });
	expect_seen("neighbour does not exist", r,
				[&](uint8_t *p) { neighbours(shape, p)[lane] = make_address(1 << 20, 0); });
	expect_seen("neighbour on another level", r,
				[&](uint8_t *p) { neighbours(shape, p)[lane] = index.records(1)[0]; });
	expect_seen("the same neighbour twice", r,
				[&](uint8_t *p) { neighbours(shape, p)[other] = neighbours(shape, p)[lane]; });
	expect_seen("an empty lane that scores", r,
				[&](uint8_t *p) { neighbours(shape, p)[lane] = kNoAddress; });
	expect_seen("an empty lane in a mask", r,
				[&](uint8_t *p)
				{ set_bit(diverse_mask(shape, p), list_state(shape, p).free_lane, true); });
}

TEST_F(VerifyTest, Codes)
{
	uint8_t *r = parent();
	uint32_t lane = lane_of(r, false);
	uint8_t *block = code_block(shape, r, 0);
	quant::LaneCode code;

	quant::read_lane(index.space(), block, lane, &code);
	expect_seen("wrong code", r,
				[&](uint8_t *)
				{
					code.planes[1] ^= 16;
					quant::write_lane(index.space(), block, lane, code);
					code.planes[1] ^= 16;
				});
	expect_seen("wrong factors", r,
				[&](uint8_t *)
				{
					code.mul *= 2;
					quant::write_lane(index.space(), block, lane, code);
					code.mul /= 2;
				});
	expect_seen("factors of a link are not finite", r,
				[&](uint8_t *) { quant::clear_lane(index.space(), block, lane); });
}

TEST_F(VerifyTest, ProtectedTree)
{
	uint8_t *r = parent();
	uint32_t kept = lane_of(r, true), loose = lane_of(r, false);

	expect_seen("no protected link leads here", r,
				[&](uint8_t *p) { set_bit(protected_mask(shape, p), kept, false); });
	expect_seen("too many protected links lead here", r,
				[&](uint8_t *p) { set_bit(protected_mask(shape, p), loose, true); });
	uint8_t *full = r;
	for (uint32_t i = 0; list_state(shape, full).used <= max_protected(shape.max_links); i++)
		full = record(0, i);
	expect_seen("too many protected links", full,
				[&](uint8_t *p)
				{
					for (uint32_t lane = 0; lane < shape.max_links; lane++)
						set_bit(protected_mask(shape, p), lane,
								neighbours(shape, p)[lane] != kNoAddress);
				});
	uint8_t *upper = record(1, 9);
	expect_seen("protected links on an upper level", upper,
				[&](uint8_t *p) { set_bit(protected_mask(shape, p), lane_of(p, false), true); });
}

/* Two nodes that protect each other, and nobody else does. */
TEST_F(VerifyTest, Cycles)
{
	for (Address a : index.records(0))
	{
		uint8_t *r = const_cast<uint8_t *>(index.worker()->store.record(a));
		for (uint32_t lane = 0; lane < shape.max_links; lane++)
		{
			if (!get_bit(protected_mask(shape, r), lane))
				continue;
			/* Let the child protect a, and take a's own link away. */
			Address child = neighbours(shape, r)[lane];
			uint8_t *c = const_cast<uint8_t *>(index.worker()->store.record(child));
			uint32_t back = 0;
			while (back < shape.max_links && neighbours(shape, c)[back] != a)
				back++;
			if (back == shape.max_links || a == index.worker()->store.root())
				continue;
			for (Address b : index.records(0))
			{
				uint8_t *q = const_cast<uint8_t *>(index.worker()->store.record(b));
				for (uint32_t l = 0; l < shape.max_links; l++)
					if (neighbours(shape, q)[l] == a)
						set_bit(protected_mask(shape, q), l, false);
			}
			set_bit(protected_mask(shape, c), back, true);
			std::string found = index.problem();
			EXPECT_EQ(found.substr(0, found.find(':')), "the root does not reach every node");
			return;
		}
	}
	FAIL() << "no pair found";
}

TEST_F(VerifyTest, EntryAndRoot)
{
	store::BuildControl &control = index.control();
	uint64_t entry = control.entry;
	uint32_t root = control.root;

	control.root = index.records(1)[0];
	EXPECT_EQ(index.problem().substr(0, 19), "the root is no node");
	control.root = kNoAddress;
	EXPECT_EQ(index.problem().substr(0, 19), "the root is no node");
	control.root = root;
	control.entry = index.records(0)[0];
	EXPECT_EQ(index.problem().substr(0, 27), "a level above the entry poi");
	control.entry = (uint64_t) 1 << 32 | index.records(0)[0];
	EXPECT_EQ(index.problem().substr(0, 30), "the entry point is not on its ");
	control.entry = entry;
	EXPECT_EQ(index.problem(), "");
}

TEST_F(VerifyTest, SaysWhenMemoryFails)
{
	test::EnumerableStore s = index.enumerable();
	for (size_t n = 1; n < 6; n++)
	{
		test::TestMemory memory;
		Verifier<test::EnumerableStore> verifier;
		memory.fail_after(n);
		verifier.init(&s, memory.get());
		Problem p = verifier.run();
		if (memory.failures == 0)
			break;
		ASSERT_NE(p.what, nullptr);
		EXPECT_STREQ(p.what, "out of memory");
	}
}

} // namespace
} // namespace omendb::graph
