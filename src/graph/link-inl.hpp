/*
 * link-inl.hpp - the list of a record: lanes, and which of them a newcomer takes.
 *
 * Everything here works on the bytes of one record, wherever they are.
 *
 * enter_by_codes() decides a full list without reading a neighbour. A FastScan
 * of the record with the newcomer's tables estimates newcomer to neighbour, one
 * with the owner's own tables owner to neighbour (|o - c|^2 = add - mul <z, c>,
 * without the error of a code). With d the newcomer's distance to the owner, d_i
 * that of lane i, e_i between the two, and the occlusion rule of selection:
 *
 *   the newcomer is occluded when a diverse lane has d_i < d and a e_i < d;
 *   if not, lanes with d_i > d and a e_i < d_i are occluded by it.
 *
 * Plain records have no codes: there d_i and e_i are true distances of those
 * neighbours that the newcomer's search met, and infinite for the others.
 *
 * Occluded lanes are no longer diverse. The farthest lane that is neither diverse
 * nor protected makes room for a newcomer that is not occluded; when all are diverse,
 * the farthest, if it is farther than the newcomer. One that is occluded takes an empty
 * lane, or that of one half as far again (in squared distance: lists from when the
 * index was small). For any that is farther: SIFT 50 000 and as many by INSERT,
 * recall@10 .995 with it and without, and a change more for every eighth neighbour.
 */
#ifndef OMENDB_GRAPH_LINK_INL_HPP
#define OMENDB_GRAPH_LINK_INL_HPP

#include "base/bits.hpp"
#include "graph/select-inl.hpp"
#include "quant/value.hpp"

namespace omendb::graph
{

/* How many links a list keeps when it is pruned: 26 of 32. */
inline uint32_t
pruned_links(uint32_t max_links)
{
	uint32_t n = max_links * 13 / 16;
	return n > 0 ? n : 1;
}

/*
 * How many neighbours get a link back where each is a page to be changed and logged,
 * those first that selection picked as diverse: 20 of 32. SIFT as below: with 16
 * recall@10 at ef_search 20 falls from .995 to .991, with 20 not; WAL by a tenth.
 */
inline uint32_t
links_back(uint32_t max_links)
{
	return (max_links * 5 + 7) / 8;
}

/* At most half of a list is protected; the next candidate adopts. */
inline uint32_t
max_protected(uint32_t max_links)
{
	return max_links / 2;
}

/* Lanes [first, end) of a list. */
struct Lanes
{
	uint32_t first;
	uint32_t end;
};

/*
 * Where a list has its answers (RecordHeader.answers), or the others. A newcomer takes a
 * place among its own kind: by the rules below, which know distances only, those that are
 * near would have taken all of them.
 */
inline Lanes
lanes_of(const Shape &shape, const uint8_t *record, bool answers)
{
	uint32_t near = shape.max_links - std::min<uint32_t>(header(record)->answers, shape.max_links);

	return answers ? Lanes{near, shape.max_links} : Lanes{0, near};
}

/* Occupied lanes and protected lanes of a list. */
struct ListState
{
	uint32_t free_lane; /* kNoLane: full */
	uint32_t used;
	uint32_t protected_count;
};

inline ListState
list_state(const Shape &shape, const uint8_t *record)
{
	const uint32_t *links = neighbours(shape, record);
	const uint32_t *mask = protected_mask(shape, record);
	ListState state = {kNoLane, 0, 0};

	for (uint32_t lane = 0; lane < shape.max_links; lane++)
	{
		if (links[lane] != kNoAddress)
			state.used++;
		else if (state.free_lane == kNoLane)
			state.free_lane = lane;
	}
	for (uint32_t block = 0; block < shape.blocks; block++)
		state.protected_count += popcount32(mask[block]);
	return state;
}

inline void
set_bit(uint32_t *mask, uint32_t lane, bool on)
{
	uint32_t bit = 1u << (lane % OMENDB_LANES);

	if (on)
		mask[lane / OMENDB_LANES] |= bit;
	else
		mask[lane / OMENDB_LANES] &= ~bit;
}

inline bool
get_bit(const uint32_t *mask, uint32_t lane)
{
	return (mask[lane / OMENDB_LANES] >> (lane % OMENDB_LANES) & 1) != 0;
}

/* What a link is, on its way into a list. */
struct Link
{
	Address address;
	float distance; /* owner to neighbour */
	const uint8_t *record;
	bool keep;    /* as a protected link */
	bool diverse; /* picked by the occlusion rule */
};

inline void
put_link(const quant::Space &space, const Shape &shape, uint8_t *record, uint32_t lane,
		 const Link &link, const quant::LaneCode &code)
{
	__atomic_store_n(&neighbours(shape, record)[lane], link.address, __ATOMIC_RELEASE);
	quant::write_lane(space, code_block(shape, record, lane / OMENDB_LANES), lane % OMENDB_LANES,
					  code);
	set_bit(protected_mask(shape, record), lane, link.keep);
	set_bit(diverse_mask(shape, record), lane, link.diverse);
}

inline void
drop_link(const quant::Space &space, const Shape &shape, uint8_t *record, uint32_t lane)
{
	quant::clear_lane(space, code_block(shape, record, lane / OMENDB_LANES), lane % OMENDB_LANES);
	__atomic_store_n(&neighbours(shape, record)[lane], kNoAddress, __ATOMIC_RELEASE);
	set_bit(protected_mask(shape, record), lane, false);
	set_bit(diverse_mask(shape, record), lane, false);
}

/* A record with its vector, or as much of it as it has room for, and no neighbours. */
inline void
init_record(const quant::Space &space, const Shape &shape, uint8_t *record, uint32_t level,
			Address down, const quant::StoredMeta &meta, const uint8_t *vector)
{
	RecordHeader *h = header(record);

	memset(h, 0, sizeof(*h));
	h->level = (uint8_t) level;
	h->flags = kFlagUniform;
	h->down = down;
	h->overflow = kNoAddress;
	h->scale = meta.scale;
	h->self_dot = meta.self_dot;
	h->residual = meta.residual;
	memset(protected_mask(shape, record), 0, 2 * 4 * shape.blocks);
	memcpy(vector_of(shape, record), vector,
		   std::min(shape.value_room, quant::stored_bytes(shape.storage, shape.dim)));
	memset(neighbours(shape, record), 0xFF, 4 * OMENDB_LANES * shape.blocks);
	for (uint32_t block = 0; block < shape.blocks; block++)
		quant::clear_block(space, code_block(shape, record, block));
	h->state = (uint8_t) State::Live;
}

/* The lane that leads to an address, or kNoLane. */
inline uint32_t
find_lane(const Shape &shape, const uint8_t *record, Address address)
{
	const uint32_t *links = neighbours(shape, record);

	for (uint32_t lane = 0; lane < shape.max_links; lane++)
	{
		if (links[lane] == address)
			return lane;
	}
	return kNoLane;
}

/*
 * The picked of n options become the neighbours of a record that nobody reads
 * yet, which has none. own: its x^, dim floats.
 */
inline void
fill_list(const quant::Space &space, const Shape &shape, uint8_t *record, const float *own,
		  const Option *options, size_t n)
{
	quant::StoredVector vectors[OMENDB_LANES];
	uint32_t lane = 0;

	for (size_t i = 0; i < n && lane < shape.max_links; i++)
	{
		const Option &option = options[i];
		if (option.pick == Pick::None)
			continue;
		vectors[lane % OMENDB_LANES] = {option.vector, option.scale};
		neighbours(shape, record)[lane] = option.address;
		set_bit(diverse_mask(shape, record), lane, option.pick == Pick::Diverse);
		if (++lane % OMENDB_LANES == 0)
			quant::encode_block(space, own, vectors, OMENDB_LANES,
								code_block(shape, record, lane / OMENDB_LANES - 1));
	}
	if (lane % OMENDB_LANES != 0)
		quant::encode_block(space, own, vectors, lane % OMENDB_LANES,
							code_block(shape, record, lane / OMENDB_LANES));
}

/* Who wants to enter lists. */
struct Newcomer
{
	Address address;
	const float *own;          /* x^, dim floats */
	const quant::Query *query; /* its tables */
	const uint8_t *stored;     /* its stored bytes */
	bool answer = false;       /* it enters as one */
};

/* The stored bytes of a node that the search of an insertion met. */
struct KnownValue
{
	Address address;
	const uint8_t *stored;
};

/* What enter_by_codes() works with: one for any number of calls. */
struct LinkMemory
{
	quant::LaneCode code;
	float *owner;       /* dim floats */
	void *query_memory; /* query_bytes() */
	float to_newcomer[kMaxLinks];
	float to_owner[kMaxLinks];
	/* the owner's stored bytes, where they are more than its record has; else NULL */
	const uint8_t *owner_stored = nullptr;
	const KnownValue *known = nullptr; /* plain values: by address */
	size_t known_count = 0;
};

inline const uint8_t *
find_known(const LinkMemory &m, Address address)
{
	const KnownValue *end = m.known + m.known_count;
	const KnownValue *at =
		std::lower_bound(m.known, end, address,
						 [](const KnownValue &value, Address a) { return value.address < a; });

	return at != end && at->address == address ? at->stored : nullptr;
}

/*
 * Distances of plain lanes, for which there are no codes: of neighbours that the search
 * met. The others, which it did not go near, count as the farthest.
 */
inline void
measure_lanes(const quant::Space &space, const Shape &shape, const uint8_t *record,
			  const Newcomer &newcomer, LinkMemory *m)
{
	constexpr float kInfinity = std::numeric_limits<float>::infinity();
	const uint8_t *owner = m->owner_stored != nullptr ? m->owner_stored : vector_of(shape, record);

	for (uint32_t lane = 0; lane < shape.max_links; lane++)
	{
		const uint8_t *other = find_known(*m, neighbours(shape, record)[lane]);
		m->to_newcomer[lane] = m->to_owner[lane] = kInfinity;
		if (other == nullptr)
			continue;
		m->to_newcomer[lane] = quant::pair_distance(space, newcomer.stored, other);
		m->to_owner[lane] = quant::pair_distance(space, owner, other);
	}
}

/* Estimates of every lane, from the newcomer and from the owner; none below zero. */
inline void
estimate_lanes(const quant::Space &space, const Shape &shape, const uint8_t *record,
			   const Newcomer &newcomer, float distance, LinkMemory *m)
{
	constexpr float kInfinity = std::numeric_limits<float>::infinity();
	quant::Query owner;

	quant::prepare_row_query(space, m->owner, m->query_memory, &owner);
	for (uint32_t block = 0; block < shape.blocks; block++)
	{
		const uint8_t *codes = code_block(shape, record, block);
		quant::scan_lanes(space, *newcomer.query, codes, distance, kInfinity,
						  m->to_newcomer + block * OMENDB_LANES);
		quant::scan_lanes(space, owner, codes, 0, kInfinity, m->to_owner + block * OMENDB_LANES);
	}
}

/* Is the newcomer nearer to a diverse lane than to the owner? */
inline bool
newcomer_occluded(const Shape &shape, const uint8_t *record, const Lanes &lanes, float distance,
				  const LinkMemory &m)
{
	const uint32_t *links = neighbours(shape, record);
	const uint32_t *mask = protected_mask(shape, record);
	float factor = occlusion(shape.max_links);

	for (uint32_t lane = lanes.first; lane < lanes.end; lane++)
	{
		if (links[lane] != kNoAddress && get_bit(mask + shape.blocks, lane) &&
			m.to_owner[lane] < distance && m.to_newcomer[lane] * factor < distance)
			return true;
	}
	return false;
}

/* Lanes that are nearer to the newcomer than to the owner are no longer diverse. */
inline void
occlude_lanes(const Shape &shape, uint8_t *record, const Lanes &lanes, float distance,
			  const LinkMemory &m)
{
	const uint32_t *links = neighbours(shape, record);
	float factor = occlusion(shape.max_links);

	for (uint32_t lane = lanes.first; lane < lanes.end; lane++)
	{
		if (links[lane] != kNoAddress && m.to_owner[lane] > distance &&
			m.to_newcomer[lane] * factor < m.to_owner[lane] &&
			m.to_newcomer[lane] <= std::numeric_limits<float>::max())
			set_bit(diverse_mask(shape, record), lane, false);
	}
}

/* The farthest lane that is not protected, among the diverse or among the others. */
inline uint32_t
farthest_lane(const Shape &shape, const uint8_t *record, const Lanes &lanes, bool diverse,
			  const LinkMemory &m)
{
	const uint32_t *links = neighbours(shape, record);
	const uint32_t *mask = protected_mask(shape, record);
	uint32_t farthest = kNoLane;

	for (uint32_t lane = lanes.first; lane < lanes.end; lane++)
	{
		if (links[lane] == kNoAddress || get_bit(mask, lane) ||
			get_bit(mask + shape.blocks, lane) != diverse)
			continue;
		if (farthest == kNoLane || m.to_owner[lane] > m.to_owner[farthest])
			farthest = lane;
	}
	return farthest;
}

/* The lane of a full list that a newcomer takes, or kNoLane. keep: it must get one. */
inline uint32_t
lane_to_evict(const Shape &shape, const uint8_t *record, const Lanes &lanes, float distance,
			  bool diverse, bool keep, const LinkMemory &m)
{
	constexpr float kMuchFarther = 1.5f;
	uint32_t lane = farthest_lane(shape, record, lanes, false, m);

	if (lane != kNoLane && (diverse || m.to_owner[lane] > kMuchFarther * distance))
		return lane;
	if (!diverse)
		return kNoLane;
	lane = farthest_lane(shape, record, lanes, true, m);
	return lane != kNoLane && (keep || m.to_owner[lane] > distance) ? lane : kNoLane;
}

/*
 * Enter a newcomer into the list of a record, which is the caller's alone;
 * distance: between the two. keep: as a protected link. False when it is not let in,
 * and nothing has changed.
 */
inline bool
enter_by_codes(const quant::Space &space, const Shape &shape, uint8_t *record,
			   const Newcomer &newcomer, float distance, bool keep, LinkMemory *m)
{
	uint32_t lane = find_lane(shape, record, newcomer.address);

	/* Left over from an earlier node of that slot, or told already. */
	if (lane != kNoLane && get_bit(protected_mask(shape, record), lane))
		return true;
	quant::load_vector(space,
					   m->owner_stored != nullptr ? m->owner_stored : vector_of(shape, record),
					   header(record)->scale, m->owner);
	if (quant::is_plain(space))
		measure_lanes(space, shape, record, newcomer, m);
	else
		estimate_lanes(space, shape, record, newcomer, distance, m);
	Lanes lanes = lanes_of(shape, record, newcomer.answer);
	bool diverse = keep || !newcomer_occluded(shape, record, lanes, distance, *m);
	if (lane == kNoLane)
		lane = list_state(shape, record).free_lane;
	if (lane == kNoLane)
		lane = lane_to_evict(shape, record, lanes, distance, diverse, keep, *m);
	/* All near lanes are protected. */
	if (lane == kNoLane && keep)
		lane =
			lane_to_evict(shape, record, lanes_of(shape, record, true), distance, true, true, *m);
	if (lane == kNoLane)
		return false;
	if (diverse)
		occlude_lanes(shape, record, lanes, distance, *m);
	quant::encode_lane(space, newcomer.own, m->owner, &m->code);
	put_link(space, shape, record, lane, Link{newcomer.address, distance, nullptr, keep, diverse},
			 m->code);
	return true;
}

} // namespace omendb::graph

#endif
