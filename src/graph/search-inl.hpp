/*
 * search-inl.hpp - greedy best-first search on one level, and the descent.
 *
 * Algorithm 2 of Malkov and Yashunin's HNSW, with the twist of SymphonyQG: a
 * node's true distance is computed only when it is expanded, and one FastScan
 * of its record estimates the distances of all its neighbours. Plain values have
 * nothing to estimate by: there every neighbour is read, as in HNSW itself.
 */
#ifndef OMENDB_GRAPH_SEARCH_INL_HPP
#define OMENDB_GRAPH_SEARCH_INL_HPP

#include "graph/pool.hpp"
#include "graph/store.hpp"

namespace omendb::graph
{

/* Width of the search on the levels above the one wanted. */
constexpr size_t kDescentWidth = 2;

/* An expanded node, as insertion and descent remember it. */
struct Candidate
{
	float distance;
	Address address;
	Address down;
};

/* Offer the lanes of one block that beat the bound; remember the others if asked. */
template <typename Store>
bool
offer_block(Store &store, Pool &pool, const quant::Query &query, const uint8_t *record,
			uint32_t block, float center)
{
	const Shape &shape = store.shape();
	const uint8_t *codes = code_block(shape, record, block);
	const uint32_t *links = neighbours(shape, record) + block * OMENDB_LANES;
	float estimates[OMENDB_LANES];
	float bound = pool.admission();
	uint32_t near = quant::scan_lanes(store.space(), query, codes, center, bound, estimates);

	for (uint32_t mask = near; mask != 0; mask &= mask - 1)
	{
		uint32_t lane = (uint32_t) __builtin_ctz(mask);
		Address address = __atomic_load_n(&links[lane], __ATOMIC_ACQUIRE);
		if (address == kNoAddress)
			continue;
		float mul = quant::lane_mul(store.space(), codes, lane);
		float variance = mul * mul * center;
		float weight = variance > 1e-30f ? 1.0f / variance : 1e30f;
		if (weight < 1e-30f)
			weight = 1e-30f;
		if (!pool.offer(address, estimates[lane], weight))
			return false;
	}
	return pool.reject(links, estimates, ~near, bound);
}

/* Links in the order of their pages, so that those on one page are read together. */
inline void
sort_links(Address *links, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
	{
		Address a = links[i];
		uint32_t j = i;
		for (; j > 0 && links[j - 1] > a; j--)
			links[j] = links[j - 1];
		links[j] = a;
	}
}

/* The neighbours of a record that the pool does not know. */
inline uint32_t
unseen_links(const Shape &shape, Pool &pool, const uint8_t *record, Address *links)
{
	const uint32_t *lanes = neighbours(shape, record);
	uint32_t n = 0;

	for (uint32_t lane = 0; lane < shape.max_links; lane++)
	{
		Address a = __atomic_load_n(&lanes[lane], __ATOMIC_ACQUIRE);
		if (a != kNoAddress && !pool.seen(a))
			links[n++] = a;
	}
	return n;
}

/* Of a record that is being read or glanced at; false: it is no node of the level. */
template <typename Visitor>
bool
distance_of(const quant::Query &query, uint32_t level, const uint8_t *record, Visitor &visitor,
			float *distance)
{
	const RecordHeader *h = header(record);

	if (h->state == (uint8_t) State::Free || h->level != level)
		return false;
	*distance = visitor.distance(query, record);
	return true;
}

/*
 * Plain values have no codes: read each neighbour that was not met before, once, for
 * its distance. What it is good for (TIDs, links) is read when it is expanded, and its
 * distance again: a glance is enough.
 */
template <typename Store, typename Visitor>
bool
offer_neighbours(Store &store, Pool &pool, const quant::Query &query, uint32_t level,
				 Address *links, uint32_t n, Visitor &visitor)
{
	sort_links(links, n);
	for (uint32_t i = 0; i < n; i++)
		store.prefetch_vector(links[i]);
	for (uint32_t i = 0; i < n; i++)
	{
		/* Damaged lists may have one twice; stale ones lead anywhere. */
		if (i > 0 && links[i] == links[i - 1])
			continue;
		float distance = 0;
		const uint8_t *record = store.glance(links[i]);
		bool there = record != nullptr && distance_of(query, level, record, visitor, &distance);
		if (record == nullptr || !store.glanced(links[i]))
		{
			record = store.begin_read(links[i], kNoAddress);
			if (record == nullptr)
				continue;
			there = distance_of(query, level, record, visitor, &distance);
			store.end_read();
		}
		if (there && !pool.offer_known(links[i], distance))
			return false;
	}
	return true;
}

/*
 * Expand one node: its distance to the visitor, its neighbours to the pool.
 * visitor.visit(address, record, distance) runs while the record is being
 * read and returns whether the node counts for the window; visitor.distance
 * (query, record) computes the squared distance.
 */
template <typename Store, typename Visitor>
OmendbStatus
expand(Store &store, Pool &pool, const quant::Query &query, uint32_t level, Address address,
	   Visitor &visitor)
{
	for (uint32_t i = 1; i < store.ahead(); i++)
		store.ask(pool.peek(i));
	const uint8_t *record = store.begin_read(address, pool.peek());
	if (record == nullptr)
		return OMENDB_OK;

	const RecordHeader *h = header(record);
	bool ok = true;
	bool plain = quant::is_plain(store.space());
	Address links[OMENDB_LANES * OMENDB_MAX_BLOCKS];
	uint32_t unseen = 0;
	if (h->state != (uint8_t) State::Free && h->level == level)
	{
		float distance = visitor.distance(query, record);
		if (!(distance <= std::numeric_limits<float>::max()))
			distance = std::numeric_limits<float>::max();
		if (visitor.visit(address, record, distance))
			ok = pool.settle(distance);
		if (plain)
			unseen = unseen_links(store.shape(), pool, record, links);
		for (uint32_t block = 0; !plain && ok && block < store.shape().blocks; block++)
			ok = offer_block(store, pool, query, record, block, distance);
	}
	store.end_read();
	if (unseen > 0)
		ok = ok && offer_neighbours(store, pool, query, level, links, unseen, visitor);
	return ok && !visitor.failed() ? OMENDB_OK : OMENDB_NO_MEMORY;
}

/* Expand until the window is settled, or the visitor has what it wants: visitor.done(). */
template <typename Store, typename Visitor>
OmendbStatus
run_search(Store &store, Pool &pool, const quant::Query &query, uint32_t level, Visitor &visitor)
{
	while (!visitor.done() && pool.has_next())
	{
		OmendbStatus status = expand(store, pool, query, level, pool.pop(), visitor);
		if (status != OMENDB_OK)
			return status;
		store.poll();
	}
	return pool.failed() ? OMENDB_NO_MEMORY : OMENDB_OK;
}

/* Collects every expanded node. */
template <typename Store>
struct CollectVisitor
{
	const Store *store;
	Array<Candidate> *out;
	bool out_of_memory;

	float
	distance(const quant::Query &query, const uint8_t *record)
	{
		return store->search_distance(query, record);
	}

	bool
	visit(Address address, const uint8_t *record, float distance)
	{
		if (!out->push(Candidate{distance, address, header(record)->down}))
			out_of_memory = true;
		return true;
	}

	bool
	failed() const
	{
		return out_of_memory;
	}

	bool
	done() const
	{
		return false;
	}
};

/* Order of expanded nodes: Candidates, or whatever else has a distance and an address. */
template <typename Node>
bool
nearer(const Node &a, const Node &b)
{
	return a.distance != b.distance ? a.distance < b.distance : a.address < b.address;
}

/* A new search with a window of `width`, whose candidates are the given starts. */
inline bool
begin_level(Pool &pool, size_t width, bool keep_rejected, const Array<Candidate> *starts)
{
	bool ok = pool.start(width, keep_rejected);

	for (size_t i = 0; ok && i < starts->size; i++)
		ok = pool.offer((*starts)[i].address, (*starts)[i].distance, 1e-30f);
	return ok;
}

/* Search one level from the given starts, addresses on it, with a window of `width`. */
template <typename Store, typename Visitor>
OmendbStatus
visit_level(Store &store, Pool &pool, const quant::Query &query, uint32_t level, size_t width,
			const Array<Candidate> *starts, Visitor &visitor)
{
	if (!begin_level(pool, width, false, starts))
		return OMENDB_NO_MEMORY;
	return run_search(store, pool, query, level, visitor);
}

/* The same; every expanded node goes to out, nearest first. */
template <typename Store>
OmendbStatus
search_level(Store &store, Pool &pool, const quant::Query &query, uint32_t level, size_t width,
			 const Array<Candidate> *starts, Array<Candidate> *out)
{
	out->size = 0;
	CollectVisitor<Store> visitor{&store, out, false};
	OmendbStatus status = visit_level(store, pool, query, level, width, starts, visitor);
	if (status == OMENDB_OK)
		std::sort(out->data, out->data + out->size, nearer<Candidate>);
	return status;
}

/* Replace starts by the nearest of found, one level down. */
template <typename Node>
bool
step_down(const Array<Node> &found, Array<Candidate> *starts)
{
	starts->size = 0;
	for (size_t i = 0; i < found.size && starts->size < kDescentWidth; i++)
	{
		if (found[i].down == kNoAddress)
			continue;
		if (!starts->push(Candidate{found[i].distance, found[i].down, kNoAddress}))
			return false;
	}
	return true;
}

/*
 * From the entry point down to `level`: on return starts holds up to
 * kDescentWidth addresses on that level, none when the index is empty or
 * every path broke off. scratch is overwritten.
 */
template <typename Store>
OmendbStatus
descend(Store &store, Pool &pool, const quant::Query &query, EntryPoint entry, uint32_t level,
		Array<Candidate> *starts, Array<Candidate> *scratch)
{
	starts->size = 0;
	if (entry.address == kNoAddress)
		return OMENDB_OK;
	if (!starts->push(Candidate{0, entry.address, kNoAddress}))
		return OMENDB_NO_MEMORY;
	for (uint32_t l = entry.level; l > level; l--)
	{
		OmendbStatus status = search_level(store, pool, query, l, kDescentWidth, starts, scratch);
		if (status != OMENDB_OK)
			return status;
		if (!step_down(*scratch, starts))
			return OMENDB_NO_MEMORY;
	}
	return OMENDB_OK;
}

/* Where the search of an insertion begins, and the levels it is for. */
struct Levels
{
	EntryPoint entry;
	uint32_t highest; /* of the new node */
	uint32_t lowest;
};

/* What it works with. */
struct SearchMemory
{
	Pool *pool;
	Array<Candidate> *starts;
	Array<Candidate> *scratch;
};

/*
 * The search of an insertion (HNSW, algorithm 1): from the entry point down to the
 * node's levels. On each of them collect(l, starts) searches level l and puts into
 * found[l] what it met, nearest first.
 */
template <typename Store, typename Node, typename Collect>
OmendbStatus
search_levels(Store &store, const quant::Query &query, const Levels &levels, const SearchMemory &m,
			  Array<Node> *found, Collect collect)
{
	for (uint32_t l = 0; l <= levels.highest; l++)
		found[l].size = 0;
	if (levels.entry.address == kNoAddress)
		return OMENDB_OK;
	uint32_t first = std::min(levels.highest, levels.entry.level);
	OmendbStatus status = descend(store, *m.pool, query, levels.entry, first, m.starts, m.scratch);
	for (uint32_t l = first; status == OMENDB_OK; l--)
	{
		status = collect(l, m.starts);
		if (status != OMENDB_OK || l <= levels.lowest)
			break;
		if (!step_down(found[l], m.starts))
			return OMENDB_NO_MEMORY;
	}
	return status;
}

} // namespace omendb::graph

#endif
