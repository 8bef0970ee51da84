/*
 * insert_state.hpp - what the files of insert.cpp share.
 *
 * Private to them.
 */
#ifndef OMENDB_STORE_INSERT_STATE_HPP
#define OMENDB_STORE_INSERT_STATE_HPP

#include "pg/postgres.hpp"

extern "C"
{
#include "storage/bufmgr.h"
#include "storage/bufpage.h"

#include "store/change.h"
#include "store/fault.h"
#include "store/insert.h"
}

#include "graph/link-inl.hpp"
#include "store/context_memory.hpp"
#include "store/page_store.hpp"

namespace omendb::store
{

using graph::Address;
using graph::address_block;
using graph::address_slot;
using graph::kNoAddress;
using graph::make_address;
using graph::RecordHeader;
using graph::State;

/* The graph's pages as a row sees them that is being inserted. */
class RowStore : public PageStore
{
public:
	void
	set_row(const uint8_t *stored, const quant::StoredMeta &meta)
	{
		stored_ = stored;
		meta_ = meta;
	}

	float
	search_distance(const quant::Query &query, const uint8_t *record) const
	{
		const RecordHeader *h = graph::header(record);

		/* value() is of the record being read: one that has no chunks may be any other. */
		const uint8_t *vector = shape().chunks > 0 ? value() : graph::vector_of(shape(), record);
		if (space().storage == quant::Storage::Int8 || quant::is_plain(space()))
			return quant::stored_distance(space(), stored_, meta_, vector, graph::vector_meta(h));
		return quant::query_distance(space(), query, vector, h->scale);
	}

private:
	const uint8_t *stored_;
	quant::StoredMeta meta_;
};

/* An expanded node; its x^ is the vector'th of OmendbInsert.vectors. */
struct Copy
{
	float distance;
	Address address;
	Address down;
	float scale;
	float self_dot;
	uint32_t vector;
	uint16_t generation;
	uint8_t state;
	uint8_t protected_count;
};

/* A node of the new record's list, to be told of it. */
struct Neighbour
{
	Address address;
	float distance;
	uint32_t vector; /* as in Copy */
	uint16_t generation;
	bool back;   /* it gets a link back; the others are only looked at */
	bool gone;   /* it was dead or another node when looked at again */
	bool answer; /* the link back is one among its answers */
};

/* Where to write a record, or a part: what next_room() has tried for it. */
struct Room
{
	BlockNumber block; /* to be looked at under its lock; InvalidBlockNumber: ask */
	uint8_t stage;
	uint8_t tries;
	BlockNumber full; /* was filled, and the free space map has not been told */
	bool from_map;    /* block is the free space map's word */
	bool warm;        /* found room before, in this statement */
	Size left;        /* bytes that were free in block after all */
};

/* What became of an attempt to write a record. */
enum class Attempt : uint8_t
{
	Done,
	NoRoom,  /* the target page has no free slot */
	NoParent /* the parent takes no child, or is not what it was */
};

} // namespace omendb::store

struct OmendbInsert
{
	MemoryContext context; /* of everything here */
	omendb::Memory memory;
	Relation index; /* during a call */
	OmendbMetaPage meta;
	omendb::graph::Shape shape;
	omendb::quant::Space space;
	omendb::store::RowStore store;

	/* search */
	omendb::graph::Pool pool;
	omendb::Array<omendb::graph::Candidate> starts;
	omendb::Array<omendb::graph::Candidate> scratch;
	omendb::Array<omendb::store::Copy> found[OMENDB_MAX_LEVEL + 1];
	omendb::Array<uint8_t> vectors;
	size_t live;       /* nodes of found[0] that were */
	bool join_allowed; /* equal bytes end the search */
	bool joinable;     /* equal is such a node */
	omendb::store::Copy equal;

	/* the row */
	omendb::graph::Row row;
	omendb::quant::StoredMeta row_meta;
	omendb::quant::Query query;
	float *transformed; /* t(x) */
	float *own;         /* x^ */
	uint8_t *stored;    /* its bytes */
	void *query_memory;
	uint32_t level;

	/* inner product: the row as a query, and what it is answered with that is not near */
	float *asker; /* or NULL */
	uint8_t *asker_stored;
	omendb::quant::StoredMeta asker_meta;
	omendb::quant::Query asker_query;
	void *asker_memory;
	omendb::Array<omendb::store::Copy> answers;

	/* its record on one level, and others that are being changed */
	omendb::Array<omendb::graph::Option> options;
	omendb::Array<omendb::store::Neighbour> neighbours;
	uint8_t *record; /* slot_bytes, as is */
	uint8_t *other;
	omendb::graph::Address address;
	uint16_t generation;
	omendb::graph::LinkMemory link;
	omendb::Array<omendb::graph::KnownValue> known; /* plain values: what a level's search met */

	/* values with chunks */
	omendb::graph::Address rest; /* first chunk of the row's value on this level, or 0 */
	bool reserved;               /* address is a linking record of ours */
	uint8_t *rest_memory;        /* stored_bytes: values put together */
	uint8_t *owner;              /* the same: the value of who gets a link */
	uint16_t owner_generation;

	omendb::store::Room room;       /* for records */
	omendb::store::Room part_room;  /* for parts */
	omendb::store::Room chunk_room; /* for chunks */
	omendb::graph::Address parent;  /* whose list protects it */
	OmendbChange *changes;          /* OMENDB_MAX_CHANGES of them */
};

namespace omendb::store
{

static_assert(std::is_trivially_destructible_v<OmendbInsert>);

/* ---- insert_room.cpp ---- */

/*
 * Another page that may have room for `bytes` of a record or a part, into
 * room->block. Nothing is locked. It may be full after all, or of another kind;
 * a page of zeros is free.
 */
void next_room(OmendbInsert *s, Room *room, Size bytes);
/* The next record will be asked for; more: block has room for another one. */
void keep_room(OmendbInsert *s, Room *room, bool more);

/* ---- insert_place.cpp ---- */

/* A live node of level 0 in the protected tree, by a walk from s->meta.root, or kNoAddress. */
Address find_live(OmendbInsert *s);
/* s->record for a level above 0 into a free slot: s->address and its generation. */
void place_above(OmendbInsert *s);
/*
 * The same for level 0, with the protected link from s->parent, which it finds, in
 * one WAL record. False when no node takes it.
 */
bool place_in_tree(OmendbInsert *s);
/*
 * The same for the first node of an index, or of one where all are dead: meta page
 * and record. False when the meta page is no longer what s->meta says.
 */
bool place_root(OmendbInsert *s);

/* ---- insert_tids.cpp ---- */

/* The row's TID joins s->equal; false when that node is no longer what it was. */
bool join_node(OmendbInsert *s);

/* ---- insert_values.cpp ---- */

/* Whether the row's value is longer than a record's room. */
bool has_rest(const OmendbInsert *s);
/*
 * A slot for the record of such a row, written as linking with what s->record is, and
 * the chunks of its value: s->reserved, s->address, s->generation, s->rest. Then the
 * functions of insert_place.cpp put the record there.
 */
void reserve_record(OmendbInsert *s);

/* ---- insert_answers.cpp ---- */

/* Memory for them, if rows of this index ask. */
void allocate_asker(OmendbInsert *s);
/* s->asker, and what it is searched by, of a row's input_dim floats. */
void prepare_asker(OmendbInsert *s, const float *row);
/* s->answers, after the search of the row itself, which has filled s->found[0]. */
void find_answers(OmendbInsert *s);
/* They among the neighbours: to be looked at again, the best perhaps to be told. */
void add_answers(OmendbInsert *s);
/* They into the last lanes of s->record. */
void put_answers(OmendbInsert *s);

/* ---- insert.cpp ---- */

/* Level 0 as s->query asks, from the entry point; what is met, nearest first. */
void search_answers(OmendbInsert *s);

/* Pin and lock a page; NULL in *record, nothing pinned, when the address leads nowhere. */
Buffer lock_record(OmendbInsert *s, Address a, int mode, uint8_t **record);

/* The stored bytes of a copy, by its vector. */
inline const uint8_t *
vector_of_copy(const OmendbInsert *s, uint32_t vector)
{
	return s->vectors.data + (size_t) vector * quant::stored_bytes(s->shape.storage, s->shape.dim);
}

/* Offset of a record in its page. */
inline Size
record_offset(const OmendbInsert *s, Address a)
{
	return OMENDB_PAGE_HEADER + address_slot(a) * s->shape.slot_bytes;
}

} // namespace omendb::store

#endif
