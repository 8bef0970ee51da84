/*
 * shape_test.cpp - the shape of records: sound for every dimension and m, and
 * what it is for a few.
 */
#include <gtest/gtest.h>

#include "support/memory_store.hpp"

namespace omendb::graph
{
namespace
{

using quant::Storage;

struct Section
{
	uint32_t at;
	uint32_t bytes;
};

/* In order, without overlap, aligned, inside the slot; the slots inside the page. */
void
expect_sound(const Shape &s, uint32_t page_bytes)
{
	uint32_t masks = 2 * 4 * s.blocks;
	Section sections[] = {{0, (uint32_t) sizeof(RecordHeader)},
						  {s.masks_at, masks},
						  {s.vector_at, s.value_room},
						  {s.neighbours_at, s.blocks * OMENDB_LANES * 4},
						  {s.blocks_at, s.blocks * s.block_bytes}};
	uint32_t end = 0;

	for (const Section &section : sections)
	{
		ASSERT_GE(section.at, end);
		ASSERT_LT(section.at, end + 8); /* no more than alignment in between */
		ASSERT_EQ(section.at % 4, 0u);
		end = section.at + section.bytes;
	}
	ASSERT_EQ(s.vector_at % 8, 0u);
	ASSERT_EQ(s.neighbours_at % 8, 0u);
	ASSERT_LE(end, s.slot_bytes);
	ASSERT_LT(s.slot_bytes, end + 8);
	ASSERT_EQ(s.slot_bytes % 8, 0u);
	ASSERT_GE(s.slots, 1u);
	ASSERT_LE(s.slots, kMaxSlots);
	ASSERT_LE(s.slots * s.slot_bytes, page_bytes);
	/* Whole records fill the page. */
	ASSERT_TRUE(s.slots == kMaxSlots || (s.slots + 1) * s.slot_bytes > page_bytes);
	ASSERT_EQ(s.block_bytes, quant::block_bytes(s.code_dim, s.code_bits));
	ASSERT_EQ(s.code_dim % OMENDB_DIM_QUANTUM, 0u);
	ASSERT_GE(s.code_dim, std::min(s.dim, (uint32_t) OMENDB_MIN_CODE_DIM));
	ASSERT_LE(s.code_dim, s.dim);
	ASSERT_GE(s.code_bits, 1u);
	ASSERT_LE(s.code_bits, (uint32_t) OMENDB_MAX_CODE_BITS);
}

/* A code that could be longer with as many records a page wastes the page. */
void
expect_filled(const Shape &s, uint32_t page_bytes)
{
	if (s.code_dim == s.dim)
		return;
	Shape longer = s;
	longer.code_dim += OMENDB_DIM_QUANTUM;
	ASSERT_TRUE(!complete_shape(&longer, page_bytes) || longer.slots < s.slots);
}

ShapeRequest
request_for(uint32_t input_dim, uint32_t m, int storage)
{
	uint32_t dim = quant::padded_dim(quant::Metric::L2, input_dim);

	return ShapeRequest{dim,     m, storage == 0, (Storage) storage, OMENDB_PAGE_USABLE, 0, 0,
						nullptr, 0};
}

TEST(Shape, IsSoundForEveryDimensionAndM)
{
	for (uint32_t dim = 1; dim <= 2000; dim++)
	{
		for (uint32_t m : {2, 16, 48, 100})
		{
			for (int storage = 0; storage <= 3; storage++)
			{
				Shape shape = {};
				SCOPED_TRACE(testing::Message() << dim << ", m " << m << ", " << storage);
				ASSERT_TRUE(choose_shape(request_for(dim, m, storage), &shape));
				ASSERT_EQ(shape.max_links, 2 * m);
				ASSERT_EQ(shape.blocks, (2 * m + 31) / 32);
				ASSERT_TRUE(storage == 0 || shape.storage == (Storage) storage);
				ASSERT_NE(shape.storage, storage == 0 ? Storage::Full : (Storage) 0);
				expect_sound(shape, OMENDB_PAGE_USABLE);
				expect_filled(shape, OMENDB_PAGE_USABLE);
				if (testing::Test::HasFatalFailure())
					return;
			}
		}
	}
	/* Full precision near 2000 dimensions with m = 100 needs more than a page. */
}

/* As it is stored: a change here is a change of format or of a default. */
struct Golden
{
	uint32_t dim, m;
	int storage; /* as asked for, 0: auto */
	int stored;
	uint32_t code_dim, code_bits, slot_bytes, slots;
};

void
PrintTo(const Golden &g, std::ostream *out)
{
	*out << "{" << g.dim << ", " << g.m << ", " << g.storage << ", " << g.stored << ", "
		 << g.code_dim << ", " << g.code_bits << ", " << g.slot_bytes << ", " << g.slots << "}";
}

bool
operator==(const Golden &a, const Golden &b)
{
	return a.stored == b.stored && a.code_dim == b.code_dim && a.code_bits == b.code_bits &&
		   a.slot_bytes == b.slot_bytes && a.slots == b.slots;
}

TEST(Shape, GoldenTable)
{
	const Golden table[] = {
		{1, 16, 0, 2, 16, 4, 728, 11},      {16, 2, 0, 2, 16, 4, 728, 11},
		{32, 16, 0, 2, 32, 3, 888, 9},      {100, 16, 0, 1, 112, 2, 1320, 6},
		{128, 16, 0, 1, 128, 1, 952, 8},    {128, 16, 2, 2, 128, 1, 1080, 7},
		{128, 16, 3, 3, 128, 1, 1336, 6},   {128, 48, 0, 2, 128, 1, 2632, 3},
		{128, 100, 1, 1, 128, 1, 5608, 1},  {768, 16, 0, 2, 208, 1, 2680, 3},
		{784, 16, 0, 2, 208, 1, 2712, 3},   {784, 16, 1, 1, 400, 1, 2696, 3},
		{1536, 16, 0, 1, 544, 1, 4024, 2},  {1536, 16, 3, 3, 416, 1, 8120, 1},
		{2000, 100, 1, 1, 144, 1, 7928, 1},
	};

	for (const Golden &wanted : table)
	{
		Shape s = {};
		ASSERT_TRUE(choose_shape(request_for(wanted.dim, wanted.m, wanted.storage), &s));
		Golden found = {wanted.dim, wanted.m,    wanted.storage, (int) s.storage,
						s.code_dim, s.code_bits, s.slot_bytes,   s.slots};
		EXPECT_EQ(found, wanted);
	}
}

/* Up to the type's limit, as long as one record fits; then it says so. */
/* Values of those sizes in records, rests in chunks: bytes a value. */
double
bytes_a_value(const Shape &s, const std::vector<uint32_t> &sizes, double *rests)
{
	uint32_t payload = s.chunk_bytes - (uint32_t) sizeof(ChunkHeader);
	double chunks = 0;

	*rests = 0;
	for (uint32_t size : sizes)
	{
		uint32_t rest = size > s.value_room ? size - s.value_room : 0;
		*rests += rest > 0;
		chunks += (rest + payload - 1) / payload;
	}
	*rests /= (double) sizes.size();
	return OMENDB_PAGE_SIZE / (double) s.slots +
		   OMENDB_PAGE_SIZE / (double) s.chunks * chunks / (double) sizes.size();
}

/* Sparse values: where lengths differ much, those of a few share their room. */
TEST(Shape, RoomForValuesOfManySizes)
{
	std::vector<uint32_t> equal(100, 8 + 8 * 100), mixed, few(100, 8 + 8 * 20);
	for (uint32_t i = 0; i < 1000; i++)
		mixed.push_back(8 + 8 * (60 + i * i % 1009 / 11));
	for (uint32_t i = 0; i < 5; i++)
		few[i * 20] = 8 + 8 * 900;
	ShapeRequest request = {8 + 8 * 1000,           16, false, Storage::Value,
							OMENDB_PAGE_USABLE,     0,  0,     equal.data(),
							(uint32_t) equal.size()};
	Shape s;
	double rests;

	ASSERT_TRUE(choose_shape(request, &s));
	EXPECT_GE(s.value_room, equal[0]);
	EXPECT_EQ(s.slots, OMENDB_PAGE_USABLE / (s.slot_bytes - s.value_room + equal[0]));

	request.sizes = mixed.data();
	request.size_count = (uint32_t) mixed.size();
	ASSERT_TRUE(choose_shape(request, &s));
	double mean = 0;
	for (uint32_t size : mixed)
		mean += size / (double) mixed.size();
	EXPECT_LT(bytes_a_value(s, mixed, &rests), mean + 420);
	EXPECT_LE(rests, 1.0 / 3);

	request.sizes = few.data();
	request.size_count = (uint32_t) few.size();
	ASSERT_TRUE(choose_shape(request, &s));
	EXPECT_EQ(s.slots, 23u);
	(void) bytes_a_value(s, few, &rests);
	EXPECT_DOUBLE_EQ(rests, 0.05);
}

TEST(Shape, RefusesWhatNeverFits)
{
	Shape shape = {};

	EXPECT_TRUE(choose_shape(request_for(7000, 16, 1), &shape));
	EXPECT_EQ(shape.chunks, 0u);
	/* What does not fit continues in chunks. */
	for (ShapeRequest request :
		 {request_for(9000, 16, 1), request_for(16000, 2, 0), request_for(2000, 16, 3)})
	{
		ASSERT_TRUE(choose_shape(request, &shape));
		EXPECT_GT(shape.chunks, 0u);
		EXPECT_LT(shape.value_room, quant::stored_bytes(shape.storage, shape.dim));
		EXPECT_LE(shape.chunks * shape.chunk_bytes, OMENDB_PAGE_USABLE);
	}
}

TEST(Shape, TakesRequestedCodes)
{
	ShapeRequest request = request_for(784, 16, 1);
	Shape shape = {};

	request.code_dim = 256;
	ASSERT_TRUE(choose_shape(request, &shape));
	EXPECT_EQ(shape.code_dim, 256u);
	EXPECT_EQ(shape.code_bits, 1u);
	request = request_for(64, 16, 1);
	request.code_bits = 4;
	ASSERT_TRUE(choose_shape(request, &shape));
	EXPECT_EQ(shape.code_bits, 4u);
	expect_sound(shape, OMENDB_PAGE_USABLE);
}

TEST(Shape, CompletionRefusesNonsense)
{
	Shape good = {};
	ASSERT_TRUE(choose_shape(request_for(128, 16, 1), &good));
	auto refused = [&good](void (*spoil)(Shape *))
	{
		Shape shape = good;
		spoil(&shape);
		return !complete_shape(&shape, OMENDB_PAGE_USABLE);
	};

	Shape again = good;
	ASSERT_TRUE(complete_shape(&again, OMENDB_PAGE_USABLE));
	EXPECT_EQ(memcmp(&again, &good, sizeof(good)), 0);
	EXPECT_TRUE(refused([](Shape *s) { s->dim = 0; }));
	EXPECT_TRUE(refused([](Shape *s) { s->dim = 130; }));
	EXPECT_TRUE(refused([](Shape *s) { s->dim = 16400; }));
	EXPECT_TRUE(refused([](Shape *s) { s->code_dim = 0; }));
	EXPECT_TRUE(refused([](Shape *s) { s->code_dim = 120; }));
	EXPECT_TRUE(refused([](Shape *s) { s->code_dim = 144; }));
	EXPECT_TRUE(refused([](Shape *s) { s->code_bits = 0; }));
	EXPECT_TRUE(refused([](Shape *s) { s->code_bits = 5; }));
	EXPECT_TRUE(refused([](Shape *s) { s->blocks = 0; }));
	EXPECT_TRUE(refused([](Shape *s) { s->blocks = 8; }));
	EXPECT_TRUE(refused([](Shape *s) { s->max_links = 0; }));
	EXPECT_TRUE(refused([](Shape *s) { s->max_links = 33; }));
	EXPECT_TRUE(refused([](Shape *s) { s->dim = 8192; }));
}

TEST(Shape, AddressesComeApartAgain)
{
	for (uint32_t block : {0u, 1u, 63u, 64u, 1000000u, (1u << 26) - 1})
	{
		for (uint32_t slot : {0u, 1u, 63u})
		{
			EXPECT_EQ(address_block(make_address(block, slot)), block);
			EXPECT_EQ(address_slot(make_address(block, slot)), slot);
		}
	}
}

} // namespace
} // namespace omendb::graph
