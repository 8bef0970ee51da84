/*
 * record.cpp - choosing and computing the shape of records.
 */
#include "graph/record.hpp"

#include <algorithm>

#include "base/no_postgres.hpp"

namespace omendb::graph
{

namespace
{

constexpr uint32_t kRecordAlign = 8;

/* A chunk of sparse values: what is left of most rows that are longer than usual. */
constexpr uint32_t kSparseChunk = (uint32_t) sizeof(ChunkHeader) + 8 * 32;

uint32_t
align_up(uint32_t n, uint32_t to)
{
	return (n + to - 1) / to * to;
}

/* Bytes of everything but the codes of all blocks. */
uint32_t
fixed_bytes(const Shape &shape)
{
	uint32_t masks = align_up(2 * 4 * shape.blocks, kRecordAlign);
	uint32_t vector = shape.value_room;
	uint32_t factors = shape.code_bits == 0 ? 0 : 2 * quant::factor_bytes(shape.code_bits);

	return (uint32_t) sizeof(RecordHeader) + masks + vector +
		   shape.blocks * (OMENDB_LANES * 4 + factors);
}

/* The largest code dimension that lets `slots` records share a page; 0 if none. */
uint32_t
code_dim_for(const Shape &shape, uint32_t page_bytes, uint32_t slots)
{
	uint32_t slot = page_bytes / slots / kRecordAlign * kRecordAlign;
	uint32_t fixed = fixed_bytes(shape);

	if (fixed >= slot)
		return 0;
	/* A dimension costs half a byte a lane and plane: 16 bytes a block. */
	uint32_t dims = (slot - fixed) / (shape.blocks * shape.code_bits * 4);
	dims = dims / OMENDB_DIM_QUANTUM * OMENDB_DIM_QUANTUM;
	return dims < shape.dim ? dims : shape.dim;
}

/*
 * Bits a dimension: enough for about a hundred bits a code, since the error
 * falls with their number (research: RaBitQ; the table in src/README).
 */
uint32_t
default_code_bits(uint32_t dim)
{
	if (dim <= 16)
		return 4;
	if (dim < 64)
		return 3;
	return dim < 128 ? 2 : 1;
}

/*
 * The shortest code worth having when a shorter one lets one more record into
 * a page: beyond some 384 dimensions the rest tells little.
 */
uint32_t
least_code_dim(uint32_t dim)
{
	uint32_t least = dim / 3 > 384 ? dim / 3 : 384;
	return least < dim ? least : dim;
}

/*
 * The shortest code worth having with half precision. Rows of 500 floats and more
 * are TOASTed: a row that int8 bounds cannot place costs a fetch of some 5 us,
 * six hops, and half precision saves a dozen of those a query. 784 dimensions, 208
 * instead of 400 bits: 38 hops for recall .98 instead of 28.
 */
uint32_t
least_half_code_dim(uint32_t dim)
{
	constexpr uint32_t kToasted = 496;
	uint32_t least = dim / 4 > 192 ? dim / 4 : 192;

	return dim < kToasted ? least_code_dim(dim) : least;
}

/* Most records a page whose codes are still long enough; 0 if none fits. */
uint32_t
choose_slots(const Shape &shape, uint32_t page_bytes, uint32_t least)
{
	uint32_t best = 0;
	for (uint32_t slots = 1; slots <= kMaxSlots; slots++)
	{
		if (code_dim_for(shape, page_bytes, slots) < least)
			break;
		best = slots;
	}
	return best;
}

/* Chunks of equal length for so many bytes, as few as pages allow. */
uint32_t
even_chunk(uint32_t rest, uint32_t page_bytes)
{
	uint32_t most = page_bytes / kRecordAlign * kRecordAlign - (uint32_t) sizeof(ChunkHeader);
	uint32_t count = (rest + most - 1) / most;

	return (uint32_t) sizeof(ChunkHeader) + align_up((rest + count - 1) / count, kRecordAlign);
}

/*
 * A vector too long for one page: the longest code up to kLongCode that leaves it a
 * quarter of the page, and for the vector what is left. False when m leaves no code.
 */
bool
choose_chunked(const ShapeRequest &request, Shape *shape)
{
	constexpr uint32_t kLongCode = 1024;
	uint32_t all = align_up(quant::stored_bytes(shape->storage, request.dim), kRecordAlign);
	uint32_t page = request.page_bytes / kRecordAlign * kRecordAlign;

	shape->value_room = page / 4 / kRecordAlign * kRecordAlign;
	uint32_t code = code_dim_for(*shape, request.page_bytes, 1);
	shape->code_dim = request.code_dim ? request.code_dim : std::min(code, kLongCode);
	if (shape->code_dim > code || shape->code_dim < std::min<uint32_t>(OMENDB_MIN_CODE_DIM, all))
		return false;
	uint32_t taken = fixed_bytes(*shape) - shape->value_room +
					 shape->blocks * shape->code_bits * shape->code_dim * 4;
	shape->value_room = std::min(page - taken, all);
	if (shape->value_room < all)
		shape->chunk_bytes = even_chunk(all - shape->value_room, request.page_bytes);
	return complete_shape(shape, request.page_bytes);
}

bool
choose_with_storage(const ShapeRequest &request, quant::Storage storage, Shape *shape)
{
	shape->storage = storage;
	shape->value_room = align_up(quant::stored_bytes(storage, request.dim), kRecordAlign);
	shape->chunk_bytes = 0;
	shape->code_bits = request.code_bits ? request.code_bits : default_code_bits(request.dim);
	uint32_t least = request.code_dim ? request.code_dim : least_code_dim(request.dim);
	uint32_t slots = choose_slots(*shape, request.page_bytes, least);

	if (slots == 0)
	{
		/* Nothing fits with codes of that length: the longest that one record a page allows. */
		slots = 1;
		shape->code_bits = 1;
		least = OMENDB_MIN_CODE_DIM < request.dim ? OMENDB_MIN_CODE_DIM : request.dim;
		if (code_dim_for(*shape, request.page_bytes, slots) < least)
			return choose_chunked(request, shape);
	}
	shape->code_dim =
		request.code_dim ? request.code_dim : code_dim_for(*shape, request.page_bytes, slots);
	return complete_shape(shape, request.page_bytes);
}

/* Dimensions of vector and code, or the bytes of plain values. */
bool
code_in_range(const Shape &shape)
{
	if (shape.storage == quant::Storage::Value)
		return shape.dim > 0 && shape.dim <= 4 * OMENDB_VECTOR_MAX_DIM && shape.code_dim == 0 &&
			   shape.code_bits == 0;
	return shape.dim > 0 && shape.dim % OMENDB_DIM_QUANTUM == 0 && shape.dim <= 16384 &&
		   shape.code_dim > 0 && shape.code_dim % OMENDB_DIM_QUANTUM == 0 &&
		   shape.code_dim <= shape.dim && shape.code_bits >= 1 &&
		   shape.code_bits <= OMENDB_MAX_CODE_BITS;
}

/* Where what does not fit value_room goes. */
bool
complete_chunks(Shape *shape, uint32_t page_bytes)
{
	uint32_t all = align_up(quant::stored_bytes(shape->storage, shape->dim), kRecordAlign);

	if (shape->value_room == 0)
		shape->value_room = all;
	shape->chunks = 0;
	if (shape->value_room % kRecordAlign != 0 || shape->value_room > all)
		return false;
	if (shape->value_room == all)
		return shape->chunk_bytes == 0;
	if (shape->chunk_bytes % kRecordAlign != 0 || shape->chunk_bytes <= sizeof(ChunkHeader) ||
		shape->chunk_bytes > page_bytes)
		return false;
	shape->chunks = page_bytes / shape->chunk_bytes;
	if (shape->chunks > kMaxSlots)
		shape->chunks = kMaxSlots;
	return true;
}

/* The largest room for values with so many records a page; 0 if there is none. */
uint32_t
room_for(const Shape &shape, uint32_t page_bytes, uint32_t slots)
{
	uint32_t slot = page_bytes / slots / kRecordAlign * kRecordAlign;
	uint32_t fixed = fixed_bytes(shape);

	return slot > fixed ? slot - fixed : 0;
}

/*
 * The room for values of the sizes given with which they take the fewest bytes, rests
 * in chunks included, of those that leave no more than a third a rest: it is another
 * page to read. 100 000 sparse rows of 105 +- 32 elements: 1.06 times pgvector's size;
 * with room for nine of ten, five records a page instead of seven, 1.4 times.
 */
uint32_t
choose_room(const ShapeRequest &request, const Shape &shape, uint32_t all)
{
	constexpr uint32_t kMostRests = 3;
	uint32_t payload = kSparseChunk - (uint32_t) sizeof(ChunkHeader);
	double chunk_page = (double) request.page_bytes / (request.page_bytes / kSparseChunk);
	double least = 0;
	uint32_t best = 0;

	for (uint32_t slots = 1; slots <= kMaxSlots; slots++)
	{
		uint32_t room = room_for(shape, request.page_bytes, slots);
		if (room > all)
			room = all;
		uint64_t rests = 0, chunks = 0;
		for (uint32_t i = 0; i < request.size_count && room > 0; i++)
		{
			uint32_t rest = request.sizes[i] > room ? request.sizes[i] - room : 0;
			rests += rest > 0;
			chunks += (rest + payload - 1) / payload;
		}
		if (slots > 1 && (room == 0 || rests * kMostRests > request.size_count))
			break;
		double bytes = (double) request.page_bytes / slots +
					   chunk_page * (double) chunks / (double) request.size_count;
		if (best == 0 || bytes <= least)
		{
			least = bytes;
			best = room;
		}
	}
	return best;
}

/* Plain values: in the record as much as fits; where they differ in length, choose_room(). */
bool
choose_plain(const ShapeRequest &request, Shape *shape)
{
	uint32_t all = align_up(request.dim, kRecordAlign);
	bool differ = request.size_count > 0;

	shape->storage = quant::Storage::Value;
	shape->code_dim = shape->code_bits = 0;
	shape->value_room = 0;
	uint32_t most = room_for(*shape, request.page_bytes, 1);
	if (differ)
		most = choose_room(request, *shape, all);
	shape->value_room = all < most ? all : most;
	shape->chunk_bytes = 0;
	if (shape->value_room < all)
		shape->chunk_bytes =
			differ ? kSparseChunk : even_chunk(all - shape->value_room, request.page_bytes);
	return complete_shape(shape, request.page_bytes);
}

} // namespace

bool
complete_shape(Shape *shape, uint32_t page_bytes)
{
	if (!code_in_range(*shape) || shape->blocks < 1 || shape->blocks > OMENDB_MAX_BLOCKS ||
		shape->max_links < 1 || shape->max_links > shape->blocks * OMENDB_LANES ||
		!complete_chunks(shape, page_bytes))
		return false;
	shape->masks_at = (uint32_t) sizeof(RecordHeader);
	shape->vector_at = align_up(shape->masks_at + 2 * 4 * shape->blocks, kRecordAlign);
	shape->neighbours_at = shape->vector_at + shape->value_room;
	shape->blocks_at = shape->neighbours_at + shape->blocks * OMENDB_LANES * 4;
	shape->block_bytes = quant::block_bytes(shape->code_dim, shape->code_bits);
	shape->slot_bytes =
		align_up(shape->blocks_at + shape->blocks * shape->block_bytes, kRecordAlign);
	shape->slots = page_bytes / shape->slot_bytes;
	if (shape->slots > kMaxSlots)
		shape->slots = kMaxSlots;
	return shape->slots > 0;
}

Shape
wide_shape(const Shape &shape)
{
	Shape wide = shape;

	wide.value_room = 0;
	wide.chunk_bytes = 0;
	(void) complete_shape(&wide, UINT32_MAX / 2);
	return wide;
}

bool
choose_shape(const ShapeRequest &request, Shape *shape)
{
	shape->dim = request.dim;
	shape->max_links = 2 * request.m;
	shape->blocks = (shape->max_links + OMENDB_LANES - 1) / OMENDB_LANES;
	if (request.storage == quant::Storage::Value)
		return choose_plain(request, shape);
	if (!request.storage_auto)
		return choose_with_storage(request, request.storage, shape);
	if (!choose_with_storage(request, quant::Storage::Int8, shape))
		return false;

	/* Half precision where it costs no page and leaves enough of the code. */
	Shape half = *shape;
	half.storage = quant::Storage::Half;
	half.value_room = align_up(quant::stored_bytes(half.storage, half.dim), kRecordAlign);
	half.code_dim =
		request.code_dim ? request.code_dim : code_dim_for(half, request.page_bytes, shape->slots);
	if (half.code_dim >= least_half_code_dim(request.dim) &&
		complete_shape(&half, request.page_bytes) && half.slots >= shape->slots)
		*shape = half;
	return true;
}

} // namespace omendb::graph
