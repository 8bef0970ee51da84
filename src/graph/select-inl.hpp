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

/* A possible neighbour, with the record it would be read from. */
struct Option
{
	float distance; /* to the list's owner */
	Address address;
	const uint8_t *record;
	uint32_t lane; /* where it is now, or OMENDB_LANES * OMENDB_MAX_BLOCKS */
	bool keep;     /* its lane is protected */
	Pick pick;
};

constexpr uint32_t kMaxLinks = OMENDB_LANES * OMENDB_MAX_BLOCKS;
constexpr uint32_t kNoLane = kMaxLinks;

/* The vectors chosen so far. */
struct Chosen
{
	const int8_t *vectors[kMaxLinks];
	const uint8_t *records[kMaxLinks];
	size_t count;
};

/* Squared distance between two records' stored vectors. */
inline float
record_distance(const quant::Space &space, const Shape &shape, const uint8_t *a, const uint8_t *b)
{
	return quant::stored_distance(space, vector_of(shape, a), vector_meta(header(a)),
								  vector_of(shape, b), vector_meta(header(b)));
}

/* Is the option nearer to one of the chosen than to the owner? int8 records. */
inline bool
occluded_int8(const quant::Space &space, const Shape &shape, const Option &option,
			  const Chosen &chosen)
{
	constexpr size_t kBatch = 8;
	const RecordHeader *h = header(option.record);
	const int8_t *vector = (const int8_t *) vector_of(shape, option.record);
	int32_t dots[kBatch];

	for (size_t i = 0; i < chosen.count; i += kBatch)
	{
		size_t n = std::min(kBatch, chosen.count - i);
		space.kernels->dot_i8_many(vector, chosen.vectors + i, n, shape.dim, dots);
		for (size_t j = 0; j < n; j++)
		{
			const RecordHeader *c = header(chosen.records[i + j]);
			float d = h->self_dot + c->self_dot - 2 * h->scale * c->scale * (float) dots[j];
			if (d < option.distance)
				return true;
		}
	}
	return false;
}

inline bool
occluded(const quant::Space &space, const Shape &shape, const Option &option, const Chosen &chosen)
{
	if (space.storage == quant::Storage::Int8)
		return occluded_int8(space, shape, option, chosen);
	for (size_t i = 0; i < chosen.count; i++)
	{
		if (record_distance(space, shape, option.record, chosen.records[i]) < option.distance)
			return true;
	}
	return false;
}

inline void
choose(const Shape &shape, Option *option, Chosen *chosen)
{
	option->pick = Pick::Diverse;
	chosen->vectors[chosen->count] = (const int8_t *) vector_of(shape, option->record);
	chosen->records[chosen->count] = option->record;
	chosen->count++;
}

/*
 * Pick up to `limit` of n options (sorted by distance): those the occlusion
 * rule lets in, then the nearest others. Sets every pick; returns how many.
 */
inline size_t
select_neighbours(const quant::Space &space, const Shape &shape, Option *options, size_t n,
				  size_t limit)
{
	Chosen chosen;
	size_t kept = 0;

	chosen.count = 0;
	for (size_t i = 0; i < n; i++)
	{
		options[i].pick = Pick::None;
		kept += options[i].keep;
	}
	/* Protected lanes not reached yet need their room at the end. */
	for (size_t i = 0; i < n && chosen.count + kept <= limit; i++)
	{
		if (options[i].keep)
		{
			kept--;
			choose(shape, &options[i], &chosen);
		}
		else if (chosen.count + kept < limit && !occluded(space, shape, options[i], chosen))
			choose(shape, &options[i], &chosen);
	}
	for (size_t i = 0; i < n && kept > 0; i++)
	{
		if (options[i].keep && options[i].pick == Pick::None)
		{
			kept--;
			choose(shape, &options[i], &chosen);
		}
	}
	size_t picked = chosen.count;
	for (size_t i = 0; i < n && picked < limit; i++)
	{
		if (options[i].pick == Pick::None)
		{
			options[i].pick = Pick::Fill;
			picked++;
		}
	}
	return picked;
}

} // namespace omendb::graph

#endif
