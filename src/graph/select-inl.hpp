/*
 * select-inl.hpp - which candidates become neighbours.
 *
 * Algorithm 4 of the HNSW paper (a candidate nearer to a chosen neighbour than
 * to the node is left out), then filled up with the nearest of those left
 * out: a FastScan of 32 lanes costs the same as one of 15. Protected lanes
 * are always kept and count as chosen.
 */
#ifndef OMENDB_GRAPH_SELECT_INL_HPP
#define OMENDB_GRAPH_SELECT_INL_HPP

#include "graph/search-inl.hpp"

namespace omendb::graph
{

enum class Pick : uint8_t
{
	None = 0,
	Diverse = 1,
	Fill = 2
};

/* A possible neighbour and its stored vector. */
struct Option
{
	float distance;  /* to the list's owner */
	Address address; /* or, in a bulk build, its point */
	const uint8_t *vector;
	float scale;
	float self_dot;
	uint32_t lane; /* where it is now, or OMENDB_LANES * OMENDB_MAX_BLOCKS */
	bool keep;     /* its lane is protected */
	bool far;      /* a far candidate of a bulk build */
	Pick pick;
};

constexpr uint32_t kMaxLinks = OMENDB_LANES * OMENDB_MAX_BLOCKS;
constexpr uint32_t kNoLane = kMaxLinks;

/* The vectors chosen so far. */
struct Chosen
{
	const int8_t *vectors[kMaxLinks];
	float scale[kMaxLinks];
	float self_dot[kMaxLinks];
	size_t count;
	float occlusion;
};

/* Squared distance between two records' stored vectors. */
inline float
record_distance(const quant::Space &space, const Shape &shape, const uint8_t *a, const uint8_t *b)
{
	return quant::stored_distance(space, vector_of(shape, a), vector_meta(header(a)),
								  vector_of(shape, b), vector_meta(header(b)));
}

/* Squared distance of a row that is being inserted to a record: what its Store answers. */
inline float
row_distance(const quant::Space &space, const Shape &shape, const uint8_t *stored,
			 const quant::StoredMeta &meta, const quant::Query &query, const uint8_t *record)
{
	const RecordHeader *h = header(record);
	const uint8_t *vector = vector_of(shape, record);

	if (space.storage == quant::Storage::Int8 || quant::is_plain(space))
		return quant::stored_distance(space, stored, meta, vector, vector_meta(h));
	return quant::query_distance(space, query, vector, h->scale);
}

/*
 * How much nearer to a chosen neighbour than to the owner an option must be to
 * be left out, in squared distance (the alpha of Vamana, squared): with 32 links
 * on SIFT 50 000 recall@10 .973 instead of .969 at 40 hops; short lists need the
 * strict rule (4 links on clusters: .70, not .56).
 */
inline float
occlusion(uint32_t max_links)
{
	return max_links < 16 ? 1.0f : 1.2f;
}

/* Is the option nearer to one of the chosen than to the owner? int8 vectors. */
inline bool
occluded_int8(const quant::Space &space, const Option &option, const Chosen &chosen)
{
	constexpr size_t kBatch = 8;
	const int8_t *vector = (const int8_t *) option.vector;
	int32_t dots[kBatch];

	for (size_t i = 0; i < chosen.count; i += kBatch)
	{
		size_t n = std::min(kBatch, chosen.count - i);
		space.kernels->dot_i8_many(vector, chosen.vectors + i, n, space.dim, dots);
		for (size_t j = 0; j < n; j++)
		{
			float d = option.self_dot + chosen.self_dot[i + j] -
					  2 * option.scale * chosen.scale[i + j] * (float) dots[j];
			if (d * chosen.occlusion < option.distance)
				return true;
		}
	}
	return false;
}

inline bool
occluded(const quant::Space &space, const Option &option, const Chosen &chosen)
{
	quant::StoredMeta meta = {option.scale, option.self_dot, 0};

	if (space.storage == quant::Storage::Int8)
		return occluded_int8(space, option, chosen);
	for (size_t i = 0; i < chosen.count; i++)
	{
		quant::StoredMeta other = {chosen.scale[i], chosen.self_dot[i], 0};
		float d = quant::stored_distance(space, option.vector, meta,
										 (const uint8_t *) chosen.vectors[i], other);
		if (d * chosen.occlusion < option.distance)
			return true;
	}
	return false;
}

inline void
choose(Option *option, Chosen *chosen)
{
	option->pick = Pick::Diverse;
	chosen->vectors[chosen->count] = (const int8_t *) option->vector;
	chosen->scale[chosen->count] = option->scale;
	chosen->self_dot[chosen->count] = option->self_dot;
	chosen->count++;
}

/*
 * Pick up to `limit` of n options (sorted by distance): those the occlusion
 * rule lets in, then the nearest others. `reserve` of the places are for far
 * options alone: where nothing occludes (many dimensions, no structure) near
 * ones would take them all. Sets every pick; returns how many.
 */
inline size_t
select_neighbours(const quant::Space &space, const Shape &shape, Option *options, size_t n,
				  size_t limit, size_t reserve = 0)
{
	Chosen chosen;
	size_t kept = 0, far = 0;

	chosen.count = 0;
	chosen.occlusion = occlusion(shape.max_links);
	for (size_t i = 0; i < n; i++)
	{
		options[i].pick = Pick::None;
		kept += options[i].keep;
	}
	/* Protected lanes not reached yet need their room at the end. */
	for (size_t i = 0; i < n && chosen.count + kept <= limit; i++)
	{
		bool room = options[i].far ? far < reserve : chosen.count - far + kept + reserve < limit;
		if (options[i].keep)
		{
			kept--;
			choose(&options[i], &chosen);
		}
		else if (room && !occluded(space, options[i], chosen))
		{
			choose(&options[i], &chosen);
			far += options[i].far;
		}
	}
	for (size_t i = 0; i < n && kept > 0; i++)
	{
		if (options[i].keep && options[i].pick == Pick::None)
		{
			kept--;
			choose(&options[i], &chosen);
		}
	}
	size_t picked = chosen.count;
	for (size_t i = 0; i < n && picked < limit; i++)
	{
		if (options[i].pick == Pick::None && !options[i].far)
		{
			options[i].pick = Pick::Fill;
			picked++;
		}
	}
	return picked;
}

} // namespace omendb::graph

#endif
