/*
 * bulk.hpp - a whole graph at once, when all rows are known.
 *
 * Instead of searching the growing graph once for every row, rows are cut into
 * overlapping leaves of near ones, all pairs within a leaf are compared (int8
 * products of packed tiles: some hundred pairs in the time of one random
 * access), and each node selects its neighbours among the nearest it met.
 *
 * Sources: PiPNN (arXiv 2602.21247) for randomised ball carving with overlap
 * and for candidates from all pairs of a leaf; its hashed reservoir is replaced
 * by the nearest ef_construction candidates, which gave the same recall with
 * less work at these degrees. Selection is select-inl.hpp's. The levels above,
 * one node in 32, are inserted one by one (insert-inl.hpp): near candidates
 * alone do not link clusters there, and a descent would end in the wrong one
 * (30 Gaussian clusters, 32 dimensions: recall .82 instead of .99).
 *
 * Steps, each done by all participants; between them they meet:
 *   load     rows into the row store, in any order
 *   equal    rows with equal stored bytes share the node of one of them
 *   assign   each point to its `fanout` nearest of a thousand random leaders,
 *            as an asker, too
 *   place    the points of each leader together
 *   leaves   each leader's points are cut further down to leaves (leaf size
 *            and smaller); every point keeps the nearest it meets there, and as
 *            an asker (inner product) in leaves near to what it asks for.
 *            One participant begins with the levels above instead, the highest
 *            node first: protected links from it hold each level together until
 *            it is written (without them level 1 fell apart where few rows are
 *            near to all, and in clusters a search came down in the wrong one)
 *   share    each point's best answer hears of its other answers
 *   choose   each point selects links among its candidates, and among answers
 *   reverse  each link is offered to its other end
 *   settle   each point selects its final list from its own and the offered
 *   tree     one participant walks the links, which protects those it goes by;
 *            who was not reached gets a link, and parts that hang by such a link
 *            only get a node on level 1: small clusters to which the hash gives
 *            none would be islands
 *   write    records, in the order of the leaves: neighbours share pages
 *
 * The result does not depend on the number of participants, only on the order
 * of the rows in the store (and chance decides which of equal rows stands for
 * them).
 */
#ifndef OMENDB_GRAPH_BULK_HPP
#define OMENDB_GRAPH_BULK_HPP

#include <atomic>

#include "base/memory.hpp"
#include "base/status.h"
#include "graph/insert-inl.hpp"
#include "graph/record.hpp"
#include "quant/value.hpp"

namespace omendb::graph
{

/*
 * A row in the store; its stored vector follows, then its int8 copy unless that is the
 * same. A plain value comes first likewise, then the int8 form of its sketch. Last, where
 * points ask, the int8 form of the row as a query, and its LeafMeta.
 */
struct BulkRow
{
	float scale; /* as in RecordHeader */
	float self_dot;
	uint32_t residual; /* float bits, not negative: grows by compare and swap */
	uint32_t hash;
	Tid tid;
	uint8_t used;     /* 0: a place nobody took */
	uint8_t unequal;  /* a row of this node has another hash */
	uint32_t equal;   /* next row with the same stored bytes, kNoRow at the end */
	uint32_t equals;  /* in the node's first row: how many others */
	uint32_t value;   /* where among kBulkValues its value is, or kNoRow: behind this */
	float leaf_scale; /* of the int8 copy */
	float leaf_dot;
	Address above; /* in the node's first row: its record on level 1 */
};

static_assert(sizeof(BulkRow) == 48, "vectors behind it stay aligned to 16");

constexpr uint32_t kNoRow = 0xFFFFFFFFu;

/*
 * Far candidates of a point: the nearest among a sixteenth of those it meets.
 * Near ones alone may all lie in its own cluster; these, like the nodes that HNSW
 * inserted early, are what links a cluster to others. (25 rows a cluster, 32
 * dimensions: recall .71 without.)
 */
constexpr uint32_t kFar = 16;
constexpr uint32_t kFarShare = 16;

/*
 * Links of a point across the whole set: to the nearest of a share of the leaders,
 * all, a 4th, a 16th or a 64th, by its hash. So lengths are spread evenly over
 * the orders of magnitude, which is what makes a greedy search arrive (Kleinberg,
 * "The small-world phenomenon", 2000). A search that came down into the wrong of 60
 * clusters (100 000 rows of 384 dimensions) stayed there: recall .85 to .88 at ef 40
 * and .92 at 100; .90 to .92 and .95 to .98 with these links. On SIFT they cost
 * .005 at ef 20 and save one hop in 40.
 */
constexpr uint32_t kCoarse = 4;
constexpr uint32_t kCoarseShares = 4;

/* Keys of a point behind its candidates: far, far of others, coarse; answers and companions follow.
 */
constexpr uint32_t kOtherKeys = 2 * kFar + kCoarse;

/* Leaders a point may belong to. */
constexpr uint32_t kMaxFanout = 16;

/* Of the int8 copy of a row, or of a row as a query: as RecordHeader has them. */
struct LeafMeta
{
	float scale; /* 0: zeros, which ask for nothing */
	float self_dot;
};

/* Companions kept for each answer kept. */
constexpr uint32_t kCompanions = 2;

/* Leaders that a point asks. What it asks for is far from it, and spread more widely. */
constexpr uint32_t kAsked = 16;
static_assert(kAsked <= kMaxFanout, "room behind a point");

/* A node of level 0 being built; masks, leaders and candidates follow. */
struct BulkPoint
{
	uint32_t row;     /* the node's first row */
	uint32_t rank;    /* place in the order of writing, kNoRow: none yet */
	uint32_t bound;   /* float bits: no candidate as far as this is wanted */
	uint16_t count;   /* candidates; in the end links */
	uint16_t chosen;  /* of them, the first so many were selected */
	uint16_t diverse; /* of these, the first so many by the occlusion rule */
	uint16_t offered; /* keys from other points' links, behind the candidates */
	uint8_t lock;
	uint8_t in_tree;
	uint8_t far;             /* far candidates, behind the room of the others */
	uint8_t far_offered;     /* from other points' far links, behind them */
	uint8_t coarse;          /* links to leaders, behind those */
	uint8_t answers;         /* behind those; in the end the last so many links */
	uint8_t companions;      /* behind those */
	uint8_t diverse_answers; /* the first so many answers */
	uint32_t chunk;          /* number of the first chunk of its value */
};

inline uint32_t
float_bits(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

inline float
bits_float(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

/* A candidate as one number: distance, then point; sorts by both. */
using BulkKey = uint64_t;

inline BulkKey
bulk_key(float distance, uint32_t point)
{
	uint32_t bits = float_bits(distance);
	bits = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
	return (BulkKey) bits << 32 | point;
}

inline uint32_t
key_point(BulkKey key)
{
	return (uint32_t) key;
}

inline float
key_distance(BulkKey key)
{
	uint32_t bits = (uint32_t) (key >> 32);
	return bits_float((bits & 0x80000000u) != 0 ? bits & 0x7FFFFFFFu : ~bits);
}

/* Shared memory of a build, in segments of 2^shift elements. */
enum BulkRegion : uint32_t
{
	kBulkRows = 0, /* BulkRow and vectors; grows while rows are loaded */
	kBulkEqual,    /* u32: a hash table of rows */
	kBulkPoints,   /* BulkPoint and what follows it */
	kBulkMembers,  /* u32: the points of each leader */
	kBulkOrder,    /* u32: points by rank */
	kBulkAbove,    /* records of the levels above, with all of their values */
	kBulkParts,    /* 136 bytes: TID parts */
	kBulkValues,   /* values that are longer than most; grows while rows are loaded */
	kBulkRegions
};

struct BulkRegionShape
{
	uint32_t stride; /* bytes an element */
	uint32_t shift;  /* elements a segment: 2^shift */
};

/* Pages that are written, and logged, together. */
constexpr uint32_t kPagesAtOnce = 32;

/* A page less its header; the special space is the writer's. */
constexpr uint32_t kPageContent = 8192 - 24;

constexpr uint32_t kMaxLeaders = 1024;

/* Steps that hand out work by a counter. */
enum BulkStep : uint32_t
{
	kStepEqual = 0,
	kStepAssign,
	kStepPlace,
	kStepLeaves,
	kStepShare,
	kStepChoose,
	kStepReverse,
	kStepSettle,
	kStepWrite,
	kStepAbove,
	kStepParts,
	kStepValues,
	kBulkSteps
};

/* Shared by all participants; zeroed memory, then init_bulk(). */
struct BulkShared
{
	BulkRegionShape regions[kBulkRegions];
	std::atomic<uint32_t> next_row;   /* places given out */
	std::atomic<uint32_t> next_value; /* of kBulkValues */
	std::atomic<uint64_t> rows;       /* places filled */
	std::atomic<uint32_t> longest;    /* float bits: the largest |x^|^2, where points ask */
	std::atomic<uint32_t> nodes;
	std::atomic<uint32_t> parts; /* TID parts given out */
	std::atomic<uint32_t> next[kBulkSteps];
	std::atomic<bool> failed; /* memory; everybody ends at the next meeting */

	uint32_t points;
	uint32_t fanout;
	uint32_t leaders;
	uint32_t leader[kMaxLeaders];
	std::atomic<uint32_t> members[kMaxLeaders]; /* counts, then cursors */
	std::atomic<uint32_t> at_home[kMaxLeaders]; /* points whose nearest leader this is */
	uint32_t member_start[kMaxLeaders + 1];
	uint32_t home_start[kMaxLeaders + 1];

	/* pages: TID parts, level 0, levels above, values; meta page and parameters not counted */
	uint32_t first_page; /* of level 0 */
	uint32_t above_page;
	uint32_t value_page;
	uint32_t above;        /* records of the levels above */
	uint32_t point_chunks; /* of level 0; those of the levels above follow */
	uint32_t chunks;
	uint32_t pages;
	EntryPoint entry;
	Address root;
};

/* What is on a page. */
enum class BulkPage : uint8_t
{
	Records,
	Parts,
	Values
};

/* What a build needs from its surroundings. Any of them may not return (error). */
struct BulkHooks
{
	void *context;
	/* Wait for all participants; true in one of them. */
	bool (*meet)(void *context);
	/* Called every few microseconds to milliseconds. */
	void (*poll)(void *context);
	/* `first` of `limit` pieces of a step have been given out. */
	void (*progress)(void *context, uint32_t step, uint32_t first, uint32_t limit);
	/* Have at least so many segments of a region. */
	void (*extend)(void *context, uint32_t region, uint32_t segments, size_t segment_bytes);
	/* Addresses of a region's segments here; *count of them. */
	uint8_t *const *(*map)(void *context, uint32_t region, uint32_t *count);
	/* So many pages are about to be written. Called by one participant. */
	void (*begin_pages)(void *context, uint32_t pages);
	/* One page's content: `bytes` behind the page header. */
	void (*write_page)(void *context, uint32_t page, BulkPage kind, const uint8_t *content,
					   size_t bytes);
	/* Pages [first, first + count) have been written. */
	void (*written)(void *context, uint32_t first, uint32_t count);
};

/* One participant's view of a region. */
struct BulkView
{
	uint8_t *const *segments;
	uint32_t known;
	uint32_t shift;
	uint32_t stride;

	uint8_t *
	at(uint32_t i) const
	{
		return segments[i >> shift] + (size_t) (i & ((1u << shift) - 1)) * stride;
	}
};

/*
 * The levels above while they are built: a Store (store.hpp) over records in the
 * order of their addresses, for one participant at a time. Their values are
 * whole here: shape() is wider than what is written where values have chunks.
 * In the header of such a record, `rest` is its row, and in the end `overflow` the
 * number of its first chunk.
 */
class AboveStore
{
public:
	/* slots: of the pages to come. */
	void
	init(const quant::Space *space, const Shape *wide, BulkShared *shared, const BulkView *records,
		 uint32_t first_block, uint32_t slots)
	{
		space_ = space;
		shape_ = wide;
		shared_ = shared;
		records_ = records;
		first_block_ = first_block + shared->above_page;
		slots_ = slots;
	}

	const quant::Space &
	space() const
	{
		return *space_;
	}

	const Shape &
	shape() const
	{
		return *shape_;
	}

	uint8_t *
	new_record(Address a)
	{
		return records_->at((address_block(a) - first_block_) * slots_ + address_slot(a));
	}

	const uint8_t *
	record(Address a)
	{
		return a == kNoAddress ? nullptr : new_record(a);
	}

	const uint8_t *
	begin_read(Address a, Address next)
	{
		prefetch(next);
		return record(a);
	}

	/* Reading is as cheap. */
	const uint8_t *
	glance(Address) const
	{
		return nullptr;
	}

	bool
	glanced(Address) const
	{
		return false;
	}

	void
	end_read()
	{
	}

	uint32_t
	ahead() const
	{
		return 0;
	}

	void
	ask(Address)
	{
	}

	void
	poll()
	{
	}

	void
	prefetch(Address a)
	{
		const uint8_t *p = record(a);
		for (uint32_t at = 0; p != nullptr && at < shape_->slot_bytes; at += 64)
			__builtin_prefetch(p + at);
	}

	void
	prefetch_vector(Address a)
	{
		const uint8_t *p = record(a);
		for (uint32_t at = 0; p != nullptr && at < shape_->neighbours_at; at += 64)
			__builtin_prefetch(p + at);
	}

	void
	set_row(const uint8_t *stored, const quant::StoredMeta &meta)
	{
		stored_ = stored;
		meta_ = meta;
	}

	float
	search_distance(const quant::Query &query, const uint8_t *record) const
	{
		return row_distance(*space_, *shape_, stored_, meta_, query, record);
	}

	uint8_t *
	begin_write(Address a)
	{
		return new_record(a);
	}

	void
	end_write(Address)
	{
	}

	/* There must be memory for it. */
	Address
	allocate(uint32_t)
	{
		return address_of(shared_->above++);
	}

	/* Of the i-th record. */
	Address
	address_of(uint32_t i) const
	{
		return make_address(first_block_ + i / slots_, i % slots_);
	}

	bool
	add_tid(Address, const Row &)
	{
		return false;
	}

	EntryPoint
	entry() const
	{
		return shared_->entry;
	}

	void
	set_entry(EntryPoint entry)
	{
		shared_->entry = entry;
	}

	Address
	root() const
	{
		return kNoAddress;
	}

	void
	set_root(Address)
	{
	}

	void
	lock_entry()
	{
	}

	void
	unlock_entry()
	{
	}

private:
	const quant::Space *space_;
	const Shape *shape_;
	BulkShared *shared_;
	const BulkView *records_;
	uint32_t first_block_;
	uint32_t slots_;
	const uint8_t *stored_;
	quant::StoredMeta meta_;
};

/* Arrays a participant reuses. */
struct BulkScratch
{
	Array<uint32_t> stack; /* points of the clusters being cut */
	Array<uint16_t> near;  /* leaders of each of a cluster's points */
	Array<uint8_t> tile;
	Array<const int8_t *> rows;
	Array<float> scale;
	Array<float> dot;
	Array<int32_t> products;
	Array<float> distances;
	Array<uint16_t> indexes;
	Array<BulkKey> keys;
	Array<Option> options;
	Array<float> own;
	alignas(8) uint8_t page[8192];
};

void init_bulk(BulkShared *shared, const quant::Space &space, const Shape &shape,
			   uint32_t ef_construction, uint64_t expected_rows);

/* Bytes a row takes until the graph is written, about. */
size_t bulk_bytes_per_row(const quant::Space &space, const Shape &shape, uint32_t ef_construction);

/* Points that are cut together: a stretch of the stack, those that ask behind the others. */
struct BulkCluster
{
	size_t first;
	size_t points;
	size_t askers;
};

/* What nearest_of() is to find. */
struct BulkWanted
{
	uint32_t most;
	float bound;  /* nothing as far as this */
	uint32_t but; /* the point that asks */
};

class Bulk
{
public:
	/* All pointers outlive the builder. first_block: the block of page 0. */
	bool init(const quant::Space *space, const Shape *shape, BulkShared *shared,
			  const BulkHooks *hooks, const Memory *memory, uint32_t ef_construction,
			  uint32_t first_block);

	/*
	 * Load a transformed row (space.dim floats). asker: the same row as a query, from
	 * transform_query(); not read but under inner product.
	 */
	void add_row(const float *transformed, float excess, const float *asker, const Row &row);
	/* Load a plain value, given its sketch (sketch_dim floats). */
	void add_value(const uint8_t *value, const float *sketch, const Row &row);

	/* All that follows; every participant calls it once its rows are loaded. */
	OmendbStatus finish();

private:
	/* bulk.cpp: rows, levels */
	BulkRow *row_at(uint32_t i) const;
	const uint8_t *stored_of(const BulkRow *row) const;
	const int8_t *leaf_of(const BulkRow *row) const;
	const int8_t *asker_of(const BulkRow *row) const;
	const LeafMeta *asker_meta_of(const BulkRow *row) const;
	void see(uint32_t region);
	void need(uint32_t region, uint64_t elements);
	BulkRow *new_row(const Row &row);
	uint8_t *room_for_value(BulkRow *row, uint32_t bytes);
	uint32_t size_of(const BulkRow *row) const;
	void find_equal_rows();
	void join_or_enter(uint32_t index);
	void add_equal(BulkRow *first, uint32_t index);
	void collect_points();
	void start_equal_rows();
	void start_points();
	void start_point(uint32_t index);
	bool link_points();
	bool write_all();
	bool meet();

	/* bulk_leaves.cpp: from points to candidates */
	void choose_leaders();
	bool assign_points();
	bool assign_askers(uint32_t *points, size_t count);
	void start_places();
	void place_points();
	void place_member(uint32_t leader, uint32_t member);
	bool cut_leaders();
	bool cut(const BulkCluster &cluster, uint32_t depth);
	bool cut_by_leaders(const BulkCluster &cluster, uint32_t depth);
	void read_members(const uint32_t *members, size_t count, const int8_t **vectors,
					  LeafMeta *metas) const;
	bool nearest_leaders(const uint32_t *points, size_t count, uint32_t fanout, uint16_t *out);
	void collect_coarse(uint32_t index, const int32_t *products);
	bool pack(const uint32_t *points, size_t count);
	bool leaf(const uint32_t *points, size_t count, const uint32_t *askers, size_t asking);
	void place_at_home(const uint32_t *points, size_t count);
	size_t nearest_of(const uint32_t *points, size_t count, const LeafMeta &meta,
					  const int32_t *products, const BulkWanted &wanted);
	void collect(const uint32_t *points, size_t count, size_t self, const int32_t *products);
	void offer(BulkPoint *point, const BulkKey *keys, size_t count);
	void answer(const uint32_t *points, size_t count, const uint32_t *askers, size_t asking);
	void collect_far(const uint32_t *points, size_t count, size_t self, const int32_t *products);
	void compact(BulkPoint *point);

	/* bulk_above.cpp: the levels above */
	uint32_t level_of(uint32_t index) const;
	bool start_above();
	bool insert_above();
	bool promote(uint32_t point);
	void finish_above();

	/* bulk_links.cpp: from candidates to lists */
	void choose_links(BulkPoint *point);
	void offer_reverse(uint32_t index);
	void settle_links(BulkPoint *point);
	void settle_near(BulkPoint *point);
	void add_coarse(BulkPoint *point);
	void share_answers(BulkPoint *point);
	float leaf_distance(const BulkRow *a, const BulkRow *b) const;
	void choose_answers(BulkPoint *point);
	void add_answers(BulkPoint *point);
	uint32_t near_links(const BulkPoint *point) const;
	bool selects_by_sketch() const;
	const quant::Space &select_space() const;
	size_t set_options(const BulkKey *keys, size_t count);
	void measure(const BulkPoint *point, size_t count);
	bool grow_tree();
	void enter_tree(uint32_t index, uint32_t *size);
	void adopt_links(uint32_t index, uint32_t *size);
	void adopt_orphan(uint32_t orphan, uint32_t *size);
	bool adopt_at(uint32_t parent, uint32_t orphan);

	/* bulk_write.cpp: records and pages */
	Address address_of(const BulkPoint *point) const;
	void write_pages();
	void write_above();
	void write_record(uint8_t *record, uint32_t index);
	void write_tids(RecordHeader *header, Address address, const BulkRow *row);
	void write_parts();
	void write_above_record(uint8_t *record, uint32_t index);
	uint32_t chunks_of(const BulkRow *row) const;
	Address chunk_address(uint32_t chunk) const;
	uint32_t owner_of_chunk(uint32_t chunk) const;
	void write_chunk(uint8_t *out, uint32_t chunk);
	void write_values();

	BulkPoint *point_at(uint32_t i) const;
	BulkKey *keys_of(BulkPoint *point) const;
	BulkKey *far_keys_of(BulkPoint *point) const;
	BulkKey *coarse_keys_of(BulkPoint *point) const;
	BulkKey *answers_of(BulkPoint *point) const;
	BulkKey *companions_of(BulkPoint *point) const;
	uint16_t *near_of(BulkPoint *point) const;
	uint16_t *asked_of(BulkPoint *point) const;
	uint32_t *protected_of(BulkPoint *point) const;
	uint32_t *diverse_of(BulkPoint *point) const;
	uint32_t *queue_at(uint32_t i) const;
	uint32_t ordered(uint32_t rank) const;
	bool take(BulkStep step, uint32_t grain, uint32_t limit, uint32_t *first, uint32_t *end);

	const quant::Space *space_;
	const Shape *shape_;
	BulkShared *shared_;
	const BulkHooks *hooks_;
	uint32_t first_block_;
	uint32_t candidates_; /* kept a point */
	uint32_t room_;       /* of its key array */
	uint32_t leaf_nearest_;
	uint32_t answers_;        /* kept a point; 0: points do not ask */
	quant::Space leaf_space_; /* the same with int8 storage; of plain values their sketches' */
	uint32_t leaf_at_;        /* where a row's int8 copy is, behind its head */
	uint32_t asker_at_;       /* where the row as a query is */
	BulkView views_[kBulkRegions];
	uint32_t row_; /* next place of this participant's extent */
	uint32_t row_end_;
	uint32_t value_; /* the same of kBulkValues */
	uint32_t value_end_;
	uint32_t home_; /* leader whose points are being cut, and their next rank */
	uint32_t home_rank_;
	BulkScratch s_;
	const Memory *memory_;
	/* of whoever builds the levels above */
	Shape wide_; /* of records with all of their values */
	AboveStore above_store_;
	InsertMemory above_memory_;
	Inserter<AboveStore> inserter_;
};

inline BulkRow *
Bulk::row_at(uint32_t i) const
{
	return (BulkRow *) (void *) views_[kBulkRows].at(i);
}

inline const uint8_t *
Bulk::stored_of(const BulkRow *row) const
{
	return row->value == kNoRow ? (const uint8_t *) (row + 1) : views_[kBulkValues].at(row->value);
}

inline const int8_t *
Bulk::leaf_of(const BulkRow *row) const
{
	return (const int8_t *) (row + 1) + leaf_at_;
}

inline const int8_t *
Bulk::asker_of(const BulkRow *row) const
{
	return (const int8_t *) (row + 1) + asker_at_;
}

inline const LeafMeta *
Bulk::asker_meta_of(const BulkRow *row) const
{
	return (const LeafMeta *) (const void *) (asker_of(row) + leaf_space_.dim);
}

inline BulkPoint *
Bulk::point_at(uint32_t i) const
{
	return (BulkPoint *) (void *) views_[kBulkPoints].at(i);
}

inline uint32_t *
Bulk::protected_of(BulkPoint *point) const
{
	return (uint32_t *) (point + 1);
}

inline uint32_t *
Bulk::diverse_of(BulkPoint *point) const
{
	return protected_of(point) + shape_->blocks;
}

inline uint16_t *
Bulk::near_of(BulkPoint *point) const
{
	return (uint16_t *) (void *) (diverse_of(point) + shape_->blocks);
}

/* The leaders near to what the point asks for. */
inline uint16_t *
Bulk::asked_of(BulkPoint *point) const
{
	return near_of(point) + kMaxFanout;
}

inline BulkKey *
Bulk::keys_of(BulkPoint *point) const
{
	uint8_t *end = (uint8_t *) point + views_[kBulkPoints].stride;

	return (BulkKey *) (void *) end - room_ - kOtherKeys - (1 + kCompanions) * answers_;
}

inline BulkKey *
Bulk::far_keys_of(BulkPoint *point) const
{
	return keys_of(point) + room_;
}

inline BulkKey *
Bulk::coarse_keys_of(BulkPoint *point) const
{
	return far_keys_of(point) + 2 * kFar;
}

inline BulkKey *
Bulk::answers_of(BulkPoint *point) const
{
	return coarse_keys_of(point) + kCoarse;
}

inline BulkKey *
Bulk::companions_of(BulkPoint *point) const
{
	return answers_of(point) + answers_;
}

/* Enter a key among the nearest `room` of a kind, in order, each once. */
inline void
keep_nearest(BulkKey *kept, uint8_t *count, BulkKey key, uint32_t room = kFar)
{
	BulkKey *end = kept + *count;
	BulkKey *at = std::lower_bound(kept, end, key);

	if (at != end && *at == key)
		return;
	if (*count < room)
		++*count, ++end;
	else if (at == end)
		return;
	std::move_backward(at, end - 1, end);
	*at = key;
}

/* The record a point gets: they lie in the order of their ranks. */
inline Address
Bulk::address_of(const BulkPoint *point) const
{
	uint32_t page = shared_->first_page + point->rank / shape_->slots;

	return make_address(first_block_ + page, point->rank % shape_->slots);
}

/* The point written as the rank-th. */
inline uint32_t
Bulk::ordered(uint32_t rank) const
{
	return *(const uint32_t *) (const void *) views_[kBulkOrder].at(rank);
}

/* The next `grain` of a step's work; false when it is all given out. */
inline bool
Bulk::take(BulkStep step, uint32_t grain, uint32_t limit, uint32_t *first, uint32_t *end)
{
	hooks_->poll(hooks_->context);
	if (shared_->next[step].load(std::memory_order_relaxed) >= limit)
		return false;
	*first = shared_->next[step].fetch_add(grain, std::memory_order_relaxed);
	if (*first >= limit)
		return false;
	*end = limit - *first < grain ? limit : *first + grain;
	hooks_->progress(hooks_->context, step, *first, limit);
	return true;
}

} // namespace omendb::graph

#endif
