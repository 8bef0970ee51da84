/*
 * random_test.cpp - splitmix64: its sequence is part of the format.
 */
#include <gtest/gtest.h>

#include "base/random.hpp"

namespace omendb
{
namespace
{

/* The published first outputs of splitmix64 for two seeds. */
TEST(Random, GivesTheKnownSequence)
{
	EXPECT_EQ(splitmix64(0, 0), 0xE220A8397B1DCDAFu);
	EXPECT_EQ(splitmix64(0, 1), 0x6E789E6AA1B965F4u);
	EXPECT_EQ(splitmix64(0, 2), 0x06C45D188009454Fu);
	EXPECT_EQ(splitmix64(1234567, 0), 6457827717110365317u);
	EXPECT_EQ(splitmix64(1234567, 1), 3203168211198807973u);
	EXPECT_EQ(splitmix64(1234567, 2), 9817491932198370423u);
}

TEST(Random, MixingChangesHalfOfTheBits)
{
	EXPECT_EQ(mix64(0), 0u);
	for (uint32_t bit = 0; bit < 64; bit++)
	{
		uint32_t changed = 0;
		for (uint64_t x = 1; x <= 200; x++)
			changed += (uint32_t) __builtin_popcountll(mix64(x) ^ mix64(x ^ 1ull << bit));
		EXPECT_NEAR(changed / 200.0, 32, 3) << "bit " << bit;
	}
}

} // namespace
} // namespace omendb
