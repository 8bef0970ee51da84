/*
 * array_test.cpp - the growable array on memory that is handed in.
 */
#include <gtest/gtest.h>

#include "support/memory_store.hpp"

namespace omendb
{
namespace
{

TEST(Array, KeepsWhatWasPushed)
{
	test::TestMemory memory;
	Array<uint64_t> a;

	a.init(memory.get());
	EXPECT_EQ(a.size, 0u);
	EXPECT_EQ(a.bytes(), 0u);
	for (uint64_t i = 0; i < 10000; i++)
		ASSERT_TRUE(a.push(i * i));
	ASSERT_EQ(a.size, 10000u);
	for (uint64_t i = 0; i < a.size; i++)
		ASSERT_EQ(a[i], i * i);
	EXPECT_GE(a.capacity, a.size);
	EXPECT_EQ(a.bytes(), a.capacity * sizeof(uint64_t));
	/* Doubling: a logarithmic number of calls. */
	EXPECT_LE(memory.calls, 9u);
}

TEST(Array, ReservesWhatIsAskedFor)
{
	test::TestMemory memory;
	Array<uint32_t> a;

	a.init(memory.get());
	ASSERT_TRUE(a.reserve(0));
	EXPECT_EQ(memory.calls, 0u);
	ASSERT_TRUE(a.reserve(1000));
	EXPECT_GE(a.capacity, 1000u);
	EXPECT_EQ(a.size, 0u);
	size_t calls = memory.calls;
	for (uint32_t i = 0; i < 1000; i++)
		ASSERT_TRUE(a.push(i));
	EXPECT_EQ(memory.calls, calls);
}

TEST(Array, StaysAsItWasWhenMemoryFails)
{
	test::TestMemory memory;
	Array<uint32_t> a;

	a.init(memory.get());
	memory.fail_after(1);
	EXPECT_FALSE(a.push(1));
	EXPECT_EQ(a.size, 0u);
	memory.fail_after(0);
	for (uint32_t i = 0; i < 64; i++)
		ASSERT_TRUE(a.push(i));
	ASSERT_EQ(a.size, a.capacity);
	memory.fail_after(1);
	EXPECT_FALSE(a.push(64));
	EXPECT_FALSE(a.reserve(1000));
	ASSERT_EQ(a.size, 64u);
	for (uint32_t i = 0; i < 64; i++)
		EXPECT_EQ(a[i], i);
	memory.fail_after(0);
	EXPECT_TRUE(a.push(64));
	EXPECT_EQ(a[64], 64u);
}

} // namespace
} // namespace omendb
