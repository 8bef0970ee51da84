/*
 * bits_test.cpp - popcount32() counts.
 */
#include <gtest/gtest.h>

#include "base/bits.hpp"

namespace omendb
{
namespace
{

TEST(Bits, AreCounted)
{
	EXPECT_EQ(popcount32(0), 0u);
	EXPECT_EQ(popcount32(0xFFFFFFFFu), 32u);
	for (uint32_t bit = 0; bit < 32; bit++)
	{
		EXPECT_EQ(popcount32(1u << bit), 1u);
		EXPECT_EQ(popcount32(~(1u << bit)), 31u);
		EXPECT_EQ(popcount32((1u << bit) - 1), bit);
	}
	for (uint64_t x = 0; x < UINT64_C(1) << 32; x += 65521)
		ASSERT_EQ(popcount32((uint32_t) x), (uint32_t) __builtin_popcount((uint32_t) x));
}

} // namespace
} // namespace omendb
