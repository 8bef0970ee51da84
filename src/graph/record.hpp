/*
 * record.hpp - the bytes of a node on one level, the same on every level.
 *
 * A record is self-contained: what a scan returns (TIDs, distance) comes from
 * these bytes alone, and one record scores all its neighbours (one page, one
 * hop). Sections, in order of access, at the offsets of a Shape:
 *
 *   header          RecordHeader, 48 bytes
 *   protected mask  u32 a block: lanes that are links of the protected tree
 *   diverse mask    u32 a block: lanes the last selection picked as diverse
 *   vector          x^, or a plain value (quant/value.hpp); of one that is longer
 *                   than value_room the beginning: the rest is in chunks
 *   neighbours      u32 address a lane, kNoAddress when empty
 *   code blocks     quant/code.hpp, block_bytes each, one for every 32 lanes;
 *                   none for plain values
 *
 * Offsets are relative to the record; records start at multiples of 8 within
 * a page, pages anywhere in memory.
 */
#ifndef OMENDB_GRAPH_RECORD_HPP
#define OMENDB_GRAPH_RECORD_HPP

#include <stddef.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.hpp"
#include "quant/code.hpp"

namespace omendb::graph
{

/* Where a record is: block << kSlotBits | slot. */
using Address = uint32_t;
constexpr uint32_t kSlotBits = 6;
constexpr uint32_t kMaxSlots = 1u << kSlotBits;
constexpr Address kNoAddress = 0xFFFFFFFFu;

inline uint32_t
address_block(Address a)
{
	return a >> kSlotBits;
}

inline uint32_t
address_slot(Address a)
{
	return a & (kMaxSlots - 1);
}

inline Address
make_address(uint32_t block, uint32_t slot)
{
	return block << kSlotBits | slot;
}

enum class State : uint8_t
{
	Free = 0,    /* never used or freed: no TIDs, no links, nobody may follow */
	Linking = 1, /* written, in-links not complete yet; a scan returns it */
	Live = 2,    /* the ordinary state */
	Dead = 3     /* no TIDs left; routes until vacuum has repaired its in-links */
};

/* A heap row: block number in two halves and line pointer, as ItemPointerData. */
struct Tid
{
	uint16_t block_high;
	uint16_t block_low;
	uint16_t offset;
};

constexpr uint32_t kInlineTids = 2;

/*
 * TIDs of equal vectors beyond those in the record, on an overflow page. A part
 * belongs to the level-0 record `owner` with that generation, else it is stale
 * or free. Parts of a node are a chain, newest first.
 */
constexpr uint32_t kPartTids = 19;

struct TidPart
{
	uint32_t owner; /* kNoAddress when free */
	uint32_t next;  /* older part or kNoAddress */
	uint16_t generation;
	uint16_t count;
	Tid tids[kPartTids];
	uint16_t unused[5]; /* 0 */
};

constexpr uint32_t kPartsPerPage = 60;
static_assert(sizeof(TidPart) == 136, "on disk");

/*
 * The rest of a value, on pages of such chunks, chunk_bytes each with its header.
 * It belongs to the record `owner` with that generation, else it is stale or
 * free. Chunks of a value follow each other by `next`, in order.
 */
struct ChunkHeader
{
	uint32_t owner; /* kNoAddress when free */
	uint32_t next;  /* 0 at the end */
	uint16_t generation;
	uint16_t length; /* bytes behind this header */
	uint32_t unused; /* 0 */
};

static_assert(sizeof(ChunkHeader) == 16, "on disk");

/* A level for a row, by a hash of its TID: the same table gives the same levels. */
inline uint32_t
level_for(uint64_t seed, const Tid &tid)
{
	uint64_t key = (uint64_t) tid.block_high << 32 | (uint64_t) tid.block_low << 16 | tid.offset;
	uint64_t h = mix64(seed ^ mix64(key + 0x9E3779B97F4A7C15u));
	uint32_t level = 0;

	while (level < OMENDB_MAX_LEVEL && h % OMENDB_LEVEL_FANOUT == 0)
	{
		h /= OMENDB_LEVEL_FANOUT;
		level++;
	}
	return level;
}

/* Flags of a record. */
constexpr uint8_t kFlagUniform = 1; /* every TID's vector has the same bytes (by hash) */

struct RecordHeader
{
	uint8_t state;       /* State */
	uint8_t level;       /* 0 is the level that holds every node */
	uint8_t lock;        /* build only: 1 while a writer owns the lists; 0 on disk */
	uint8_t flags;       /* kFlag... */
	uint16_t generation; /* counts re-uses of the slot */
	uint8_t tid_count;   /* TIDs in tids[]; level 0 only */
	uint8_t answers;     /* the last so many lanes are answers: only those take their places */
	uint32_t down;       /* level > 0: the same node one level down; else kNoAddress */
	uint32_t overflow;   /* level 0: newest TID part on an overflow page, or kNoAddress */
	float scale;         /* int8 vectors: x^_i = scale * c_i; else 1 */
	float self_dot;      /* |x^|^2 */
	float residual;      /* >= |t(x) - x^| of every row of this node, may be +inf */
	uint32_t hash;       /* of the first row's vector: see kFlagUniform */
	Tid tids[kInlineTids];
	uint32_t rest; /* first chunk of what of the value is not in the record; 0: it is all there */
};

static_assert(sizeof(Tid) == 6, "as ItemPointerData");
static_assert(sizeof(RecordHeader) == 48, "on disk");

/* What an index chose; all else about its records follows from it. */
struct Shape
{
	uint32_t dim;
	uint32_t code_dim;
	uint32_t code_bits;
	quant::Storage storage;
	uint32_t blocks;    /* of 32 lanes */
	uint32_t max_links; /* 2m, at most 32 * blocks */
	/* bytes of a value in the record; complete_shape() makes 0 all of them */
	uint32_t value_room;
	/* on value pages, with header; 0: values never need one, or (room 0) to be chosen */
	uint32_t chunk_bytes;

	uint32_t masks_at;
	uint32_t vector_at;
	uint32_t neighbours_at;
	uint32_t blocks_at;
	uint32_t block_bytes;
	uint32_t slot_bytes; /* a multiple of 8 */
	uint32_t slots;      /* records a page, 1 to kMaxSlots */
	uint32_t chunks;     /* a value page, 1 to kMaxSlots; 0: none */
};

/*
 * Under inner product what is near to a row is not what a query like it asks for: that
 * are longer rows, which need not be near to each other. So each point asks, too, with
 * its row as a query, and up to so many of its lanes lead to answers that are not among
 * its near candidates (ip-NSW: Morozov and Babenko, "Non-metric similarity graphs for
 * maximum inner product search", NeurIPS 2018, which has no other links), or to
 * companions: what was answered together with it, when it was the best (RoarGraph: Chen
 * et al., VLDB 2024, where queries ask). 100 000 word vectors of unequal lengths, in
 * process: recall@10 .72, .82, .89 at 84, 195, 382 hops without any of this, .83, .91,
 * .95 with answers alone, .86, .93, .96 with both.
 */
inline uint32_t
most_answers(const quant::Space &space, uint32_t max_links)
{
	bool asks = space.metric == quant::Metric::InnerProduct && !quant::is_plain(space);

	return asks ? max_links * 5 / 8 : 0;
}

/* Fill the derived fields from the others. Returns false if no record fits a page. */
bool complete_shape(Shape *shape, uint32_t page_bytes);

/* The shape of records with all of their values, in memory: nothing has to fit a page. */
Shape wide_shape(const Shape &shape);

/*
 * Choose code_bits, code_dim and (storage_auto) storage so that whole records
 * fill a page. page_bytes: usable bytes of a page. Returns false when a record
 * of that dimension and m cannot fit one page.
 */
struct ShapeRequest
{
	uint32_t dim;
	uint32_t m;
	bool storage_auto;
	quant::Storage storage;
	uint32_t page_bytes;
	uint32_t code_dim;  /* 0: choose */
	uint32_t code_bits; /* 0: choose */
	/* plain values that differ in length: bytes of some of them; else none */
	const uint32_t *sizes;
	uint32_t size_count;
};

bool choose_shape(const ShapeRequest &request, Shape *shape);

/* Views into a record; all unaligned-safe reads go through load32/store32. */
inline uint32_t
load32(const uint8_t *p)
{
	return __atomic_load_n((const uint32_t *) (const void *) p, __ATOMIC_ACQUIRE);
}

inline RecordHeader *
header(uint8_t *record)
{
	return (RecordHeader *) (void *) record;
}

inline const RecordHeader *
header(const uint8_t *record)
{
	return (const RecordHeader *) (const void *) record;
}

/* Of a value with a rest in chunks, its first value_room bytes. */
inline const uint8_t *
vector_of(const Shape &shape, const uint8_t *record)
{
	return record + shape.vector_at;
}

inline uint8_t *
vector_of(const Shape &shape, uint8_t *record)
{
	return record + shape.vector_at;
}

inline const uint32_t *
neighbours(const Shape &shape, const uint8_t *record)
{
	return (const uint32_t *) (const void *) (record + shape.neighbours_at);
}

inline uint32_t *
neighbours(const Shape &shape, uint8_t *record)
{
	return (uint32_t *) (void *) (record + shape.neighbours_at);
}

inline uint32_t *
protected_mask(const Shape &shape, uint8_t *record)
{
	return (uint32_t *) (void *) (record + shape.masks_at);
}

inline const uint32_t *
protected_mask(const Shape &shape, const uint8_t *record)
{
	return (const uint32_t *) (const void *) (record + shape.masks_at);
}

inline uint32_t *
diverse_mask(const Shape &shape, uint8_t *record)
{
	return protected_mask(shape, record) + shape.blocks;
}

inline uint8_t *
code_block(const Shape &shape, uint8_t *record, uint32_t block)
{
	return record + shape.blocks_at + block * shape.block_bytes;
}

inline const uint8_t *
code_block(const Shape &shape, const uint8_t *record, uint32_t block)
{
	return record + shape.blocks_at + block * shape.block_bytes;
}

/* What distances need: never changes once a record is published. */
inline quant::StoredMeta
vector_meta(const RecordHeader *h)
{
	return quant::StoredMeta{h->scale, h->self_dot, 0};
}

/* Also the residual, which grows when a row joins a node. */
inline quant::StoredMeta
stored_meta(const RecordHeader *h)
{
	return quant::StoredMeta{h->scale, h->self_dot, h->residual};
}

} // namespace omendb::graph

#endif
