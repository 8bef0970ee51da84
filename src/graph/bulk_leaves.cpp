/*
 * bulk_leaves.cpp - from points to candidates: leaders, leaves, all pairs.
 *
 * Randomised ball carving: a cluster's points go to their `fanout` nearest of
 * some of its points drawn at random, until clusters are small enough to
 * compare everybody with everybody. Overlap is what finds neighbours beyond a
 * border; leaders drawn from the points follow their density. Distances are
 * those of the int8 copies: exact products of codes, the same on every machine.
 */
#include "graph/bulk.hpp"

#include "base/random.hpp"
#include "base/spin.hpp"

#include "base/no_postgres.hpp"

namespace omendb::graph
{

namespace
{

/* A leaf holds at most this many points; clusters are cut so that most hold half. */
constexpr size_t kLeafPoints = 1024;
/* Rows of a leaf that are multiplied at a time: their products stay in L2. */
constexpr size_t kStrip = 48;
/* Columns of leaders looked at between two bounds. */
constexpr size_t kColumns = 64;
/* Nearest leaders of a cluster within a leader's points; deeper down one. */
constexpr uint32_t kSecondFanout = 2;
/* Cutting that makes no progress (equal distances) ends in slices. */
constexpr uint32_t kDeepest = 16;
/* A member whose order of writing this leader decides. */
constexpr uint32_t kHome = 0x80000000u;
/* A member that asks here: its row as a query. */
constexpr uint32_t kAsks = 0x40000000u;

uint32_t
point_of(uint32_t member)
{
	return member & ~(kHome | kAsks);
}

uint32_t
leaders_for(size_t points, uint32_t fanout)
{
	size_t wanted = 2 * points * fanout / kLeafPoints;

	if (wanted < 2)
		wanted = 2;
	if (wanted < fanout)
		wanted = fanout;
	return (uint32_t) (wanted < kMaxLeaders ? wanted : kMaxLeaders);
}

uint32_t
first_fanout(uint32_t candidates)
{
	uint32_t fanout = candidates / 16;

	return fanout < 2 ? 2 : fanout > kMaxFanout ? kMaxFanout : fanout;
}

} // namespace

/* One participant: leaders drawn one from each of so many stretches of the points. */
void
Bulk::choose_leaders()
{
	uint32_t n = shared_->points;

	shared_->fanout = n <= kLeafPoints ? 1 : first_fanout(candidates_);
	shared_->leaders = n <= kLeafPoints ? 1 : leaders_for(n, shared_->fanout);
	for (uint32_t i = 0; i < shared_->leaders; i++)
	{
		uint64_t low = (uint64_t) n * i / shared_->leaders;
		uint64_t high = (uint64_t) n * (i + 1) / shared_->leaders;
		uint64_t draw = splitmix64(space_->seed, i);
		shared_->leader[i] = (uint32_t) (low + draw % (high - low));
		shared_->members[i].store(0);
		shared_->at_home[i].store(0);
		start_point(shared_->leader[i]);
	}
}

/* Each point's nearest leaders, nearest first. */
bool
Bulk::assign_points()
{
	uint32_t first, end;
	uint32_t points[kStrip];

	if (!pack(shared_->leader, shared_->leaders) || !s_.near.reserve(kStrip * kMaxFanout))
		return false;
	while (take(kStepAssign, kStrip, shared_->points, &first, &end))
	{
		for (uint32_t i = first; i < end; i++)
		{
			points[i - first] = i;
			if (!std::binary_search(shared_->leader, shared_->leader + shared_->leaders, i))
				start_point(i);
		}
		if (!nearest_leaders(points, end - first, shared_->fanout, s_.near.data))
			return false;
		for (uint32_t i = first; i < end; i++)
		{
			uint16_t *near = near_of(point_at(i));
			memcpy(near, s_.near.data + (i - first) * shared_->fanout,
				   shared_->fanout * sizeof(uint16_t));
			for (uint32_t k = 0; k < shared_->fanout; k++)
				shared_->members[near[k]].fetch_add(1, std::memory_order_relaxed);
			shared_->at_home[near[0]].fetch_add(1, std::memory_order_relaxed);
		}
		if (answers_ > 0 && !assign_askers(points, end - first))
			return false;
	}
	return true;
}

/* The leaders nearest to what points ask for. */
bool
Bulk::assign_askers(uint32_t *points, size_t count)
{
	uint32_t fanout = std::min(kAsked, shared_->leaders);

	for (size_t i = 0; i < count; i++)
		points[i] |= kAsks;
	if (!nearest_leaders(points, count, fanout, s_.near.data))
		return false;
	for (size_t i = 0; i < count; i++)
	{
		uint16_t *asked = asked_of(point_at(point_of(points[i])));
		memcpy(asked, s_.near.data + i * fanout, fanout * sizeof(uint16_t));
		for (uint32_t k = 0; k < fanout; k++)
			shared_->members[asked[k]].fetch_add(1, std::memory_order_relaxed);
	}
	return true;
}

/* One participant: where each leader's points begin. */
void
Bulk::start_places()
{
	uint32_t members = 0, home = 0;

	for (uint32_t i = 0; i < shared_->leaders; i++)
	{
		shared_->member_start[i] = members;
		members += shared_->members[i].load();
		shared_->members[i].store(shared_->member_start[i]);
		shared_->home_start[i] = home;
		home += shared_->at_home[i].load();
	}
	shared_->member_start[shared_->leaders] = members;
	shared_->home_start[shared_->leaders] = home;
	need(kBulkMembers, members);
}

void
Bulk::place_points()
{
	uint32_t asked = answers_ > 0 ? std::min(kAsked, shared_->leaders) : 0;
	uint32_t first, end;

	while (take(kStepPlace, 256, shared_->points, &first, &end))
	{
		for (uint32_t i = first; i < end; i++)
		{
			const uint16_t *near = near_of(point_at(i));
			for (uint32_t k = 0; k < shared_->fanout; k++)
				place_member(near[k], k == 0 ? i | kHome : i);
			for (uint32_t k = 0; k < asked; k++)
				place_member(asked_of(point_at(i))[k], i | kAsks);
		}
	}
}

void
Bulk::place_member(uint32_t leader, uint32_t member)
{
	uint32_t at = shared_->members[leader].fetch_add(1, std::memory_order_relaxed);

	*(uint32_t *) (void *) views_[kBulkMembers].at(at) = member;
}

/* Leader by leader: its points into leaves, the leaves into candidates. */
bool
Bulk::cut_leaders()
{
	uint32_t unit, end;

	while (take(kStepLeaves, 1, shared_->leaders + 1, &unit, &end))
	{
		if (unit == 0)
		{
			/* The longest piece first. */
			if (!insert_above())
				return false;
			continue;
		}
		uint32_t leader = unit - 1;
		uint32_t start = shared_->member_start[leader];
		size_t count = shared_->member_start[leader + 1] - start;
		if (!s_.stack.reserve(count))
			return false;
		for (size_t i = 0; i < count; i++)
			s_.stack[i] =
				*(const uint32_t *) (const void *) views_[kBulkMembers].at(start + (uint32_t) i);
		/* Participants placed them in any order; the graph does not depend on it. */
		std::sort(s_.stack.data, s_.stack.data + count,
				  [](uint32_t a, uint32_t b) { return (a & ~kHome) < (b & ~kHome); });
		size_t points =
			(size_t) (std::partition_point(s_.stack.data, s_.stack.data + count,
										   [](uint32_t m) { return (m & kAsks) == 0; }) -
					  s_.stack.data);
		s_.stack.size = count;
		home_ = leader;
		home_rank_ = shared_->home_start[leader];
		if (points > 0 && !cut(BulkCluster{0, points, count - points}, 1))
			return false;
	}
	return true;
}

/* A leaf, or more leaders. */
bool
Bulk::cut(const BulkCluster &cluster, uint32_t depth)
{
	if (cluster.points <= kLeafPoints)
		return leaf(s_.stack.data + cluster.first, cluster.points,
					s_.stack.data + cluster.first + cluster.points, cluster.askers);
	if (depth < kDeepest)
		return cut_by_leaders(cluster, depth);
	for (size_t at = 0; at < cluster.points; at += kLeafPoints)
	{
		size_t n = std::min(cluster.points - at, kLeafPoints);
		if (!leaf(s_.stack.data + cluster.first + at, n,
				  s_.stack.data + cluster.first + cluster.points, cluster.askers))
			return false;
	}
	return true;
}

/* Each leader's points, then those that ask there, to the top of the stack. */
bool
Bulk::cut_by_leaders(const BulkCluster &cluster, uint32_t depth)
{
	uint32_t fanout = depth == 1 ? kSecondFanout : 1;
	uint32_t leaders = leaders_for(cluster.points, fanout);
	size_t members = cluster.points + cluster.askers;
	uint32_t chosen[kMaxLeaders];
	uint32_t starts[2 * kMaxLeaders + 1];
	size_t base = s_.stack.size;

	for (uint32_t i = 0; i < leaders; i++)
	{
		size_t low = cluster.points * i / leaders, high = cluster.points * (i + 1) / leaders;
		uint64_t draw = splitmix64(space_->seed ^ ((uint64_t) home_ << 32 | base), i);
		chosen[i] = point_of(s_.stack[cluster.first + low + draw % (high - low)]);
	}
	if (!pack(chosen, leaders) || !s_.stack.reserve(base + members * fanout) ||
		!s_.near.reserve(members * fanout) ||
		!nearest_leaders(s_.stack.data + cluster.first, members, fanout, s_.near.data))
		return false;
	memset(starts, 0, sizeof(starts));
	auto part_of = [&](size_t i)
	{
		return 2 * s_.near[i] + (i / fanout >= cluster.points);
	};
	for (size_t i = 0; i < members * fanout; i++)
		starts[part_of(i) + 1]++;
	for (uint32_t i = 0; i < 2 * leaders; i++)
		starts[i + 1] += starts[i];
	for (size_t i = 0; i < members * fanout; i++)
		s_.stack[base + starts[part_of(i)]++] = s_.stack[cluster.first + i / fanout];
	s_.stack.size = base + members * fanout;
	for (uint32_t i = 0, start = 0; i < leaders; start = starts[2 * i + 1], i++)
	{
		BulkCluster part = {base + start, starts[2 * i] - start, starts[2 * i + 1] - starts[2 * i]};
		/* Everybody with one leader: another draw decides no better. */
		uint32_t next = part.points == cluster.points ? kDeepest : depth + 1;
		hooks_->poll(hooks_->context);
		if (part.points > 0 && !cut(part, next))
			return false;
	}
	s_.stack.size = base;
	return true;
}

/* The tile of some points, with their scales. */
bool
Bulk::pack(const uint32_t *points, size_t count)
{
	size_t room = (count + 15) / 16 * 16;

	if (!s_.tile.reserve(space_->kernels->tile_bytes(count, leaf_space_.dim)) ||
		!s_.rows.reserve(room) || !s_.scale.reserve(room) || !s_.dot.reserve(room) ||
		!s_.products.reserve(room * kStrip) || !s_.distances.reserve(room) ||
		!s_.indexes.reserve(room))
		return false;
	for (size_t i = 0; i < count; i++)
		__builtin_prefetch(point_at(point_of(points[i])));
	for (size_t i = 0; i < count; i++)
	{
		const BulkRow *row = row_at(point_at(point_of(points[i]))->row);
		s_.rows[i] = leaf_of(row);
		for (uint32_t at = 0; at < leaf_space_.dim; at += 64)
			__builtin_prefetch(s_.rows[i] + at);
		__builtin_prefetch(row);
	}
	for (size_t i = 0; i < count; i++)
	{
		const BulkRow *row = row_at(point_at(point_of(points[i]))->row);
		s_.scale[i] = row->leaf_scale;
		s_.dot[i] = row->leaf_dot;
	}
	s_.rows.size = count;
	space_->kernels->tile_pack(s_.rows.data, count, leaf_space_.dim, s_.tile.data);
	return true;
}

/* The int8 vectors of members, of rows or of rows as queries. */
void
Bulk::read_members(const uint32_t *members, size_t count, const int8_t **vectors,
				   LeafMeta *metas) const
{
	for (size_t i = 0; i < count; i++)
	{
		const BulkRow *row = row_at(point_at(point_of(members[i]))->row);
		bool asks = (members[i] & kAsks) != 0;
		vectors[i] = asks ? asker_of(row) : leaf_of(row);
		metas[i] = asks ? *asker_meta_of(row) : LeafMeta{row->leaf_scale, row->leaf_dot};
	}
}

/*
 * The nearest `fanout` of the packed leaders for each point: their numbers, nearest
 * first, ties to the lower. There are at least as many leaders.
 */
bool
Bulk::nearest_leaders(const uint32_t *points, size_t count, uint32_t fanout, uint16_t *out)
{
	size_t leaders = s_.rows.size;
	size_t stride = (leaders + 15) / 16 * 16;
	const int8_t *rows[kStrip];
	LeafMeta metas[kStrip];

	for (size_t at = 0; at < count; at += kStrip)
	{
		size_t n = count - at < kStrip ? count - at : kStrip;
		read_members(points + at, n, rows, metas);
		space_->kernels->tile_dots(rows, n, s_.tile.data, leaders, leaf_space_.dim,
								   s_.products.data, stride);
		/* The first leaders, not those within one's points. */
		for (size_t i = 0; i < n && home_ == kMaxLeaders; i++)
		{
			if ((points[at + i] & kAsks) == 0)
				collect_coarse(points[at + i], s_.products.data + i * stride);
		}
		for (size_t i = 0; i < n; i++)
		{
			BulkKey best[kMaxFanout + 1];
			uint32_t found = 0;
			float bound = std::numeric_limits<float>::infinity();
			for (size_t c = 0; c < leaders; c += kColumns)
			{
				size_t width = leaders - c < kColumns ? leaders - c : kColumns;
				size_t near = space_->kernels->tile_near(
					s_.products.data + i * stride + c, width, s_.scale.data + c, s_.dot.data + c,
					metas[i].scale, metas[i].self_dot, bound, s_.distances.data, s_.indexes.data);
				for (size_t k = 0; k < near; k++)
				{
					BulkKey key = bulk_key(s_.distances[k], (uint32_t) c + s_.indexes[k]);
					uint32_t place = found < fanout ? found++ : fanout;
					for (; place > 0 && key < best[place - 1]; place--)
						best[place] = best[place - 1];
					best[place] = key;
				}
				if (found == fanout)
					bound = key_distance(best[fanout - 1]);
			}
			/* Distances that are no numbers: any leader will do. */
			for (; found < fanout; found++)
				best[found] = bulk_key(0, found);
			for (uint32_t k = 0; k < fanout; k++)
				out[(at + i) * fanout + k] = (uint16_t) key_point(best[k]);
		}
	}
	return true;
}

/* The order of writing of points whose home is here. */
void
Bulk::place_at_home(const uint32_t *points, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if ((points[i] & kHome) == 0)
			continue;
		BulkPoint *point = point_at(point_of(points[i]));
		if (point->rank != kNoRow)
			continue;
		point->rank = home_rank_++;
		*(uint32_t *) (void *) views_[kBulkOrder].at(point->rank) = point_of(points[i]);
	}
}

/* All pairs of a leaf, and of its points with those that ask here. */
bool
Bulk::leaf(const uint32_t *points, size_t count, const uint32_t *askers, size_t asking)
{
	size_t stride = (count + 15) / 16 * 16;

	place_at_home(points, count);
	if (count < 2)
		return true;
	if (!pack(points, count))
		return false;
	for (size_t at = 0; at < count; at += kStrip)
	{
		size_t n = count - at < kStrip ? count - at : kStrip;
		space_->kernels->tile_dots(s_.rows.data + at, n, s_.tile.data, count, leaf_space_.dim,
								   s_.products.data, stride);
		for (size_t i = 0; i < n; i++)
		{
			/* Far candidates at home only: the other leaves bring no better ones. */
			collect(points, count, at + i, s_.products.data + i * stride);
			if ((points[at + i] & kHome) != 0)
				collect_far(points, count, at + i, s_.products.data + i * stride);
		}
		hooks_->poll(hooks_->context);
	}
	for (size_t at = 0; at < asking; at += kStrip)
	{
		size_t n = asking - at < kStrip ? asking - at : kStrip;
		answer(points, count, askers + at, n);
		hooks_->poll(hooks_->context);
	}
	return true;
}

/*
 * The nearest of a leaf's points to whom the products are of, but not itself, as keys: at
 * most so many, in s_.keys, in no order.
 */
size_t
Bulk::nearest_of(const uint32_t *points, size_t count, const LeafMeta &meta,
				 const int32_t *products, const BulkWanted &wanted)
{
	float bound = wanted.bound;
	float minima[64];

	if (wanted.most < 64 && count >= 128)
	{
		/* It may be among its own nearest: one more. */
		space_->kernels->tile_minima(products, count, s_.scale.data, s_.dot.data, meta.scale,
									 meta.self_dot, minima);
		std::nth_element(minima, minima + wanted.most, minima + 64);
		float enough = std::nextafter(minima[wanted.most], std::numeric_limits<float>::max());
		bound = std::min(bound, enough);
	}
	size_t near =
		space_->kernels->tile_near(products, count, s_.scale.data, s_.dot.data, meta.scale,
								   meta.self_dot, bound, s_.distances.data, s_.indexes.data);
	if (!s_.keys.reserve(near))
		return 0;
	size_t n = 0;
	for (size_t i = 0; i < near; i++)
	{
		uint32_t point = point_of(points[s_.indexes[i]]);
		if (point != wanted.but)
			s_.keys[n++] = bulk_key(s_.distances[i], point);
	}
	if (n <= wanted.most)
		return n;
	std::nth_element(s_.keys.data, s_.keys.data + wanted.most, s_.keys.data + n);
	return wanted.most;
}

/* The nearest few of a leaf to one of its points. */
void
Bulk::collect(const uint32_t *points, size_t count, size_t self, const int32_t *products)
{
	uint32_t index = point_of(points[self]);
	BulkPoint *point = point_at(index);
	float bound = bits_float(__atomic_load_n(&point->bound, __ATOMIC_RELAXED));
	size_t n = nearest_of(points, count, LeafMeta{s_.scale[self], s_.dot[self]}, products,
						  BulkWanted{leaf_nearest_, bound, index});

	if (n > 0)
		offer(point, s_.keys.data, n);
}

/* A leaf's answers to at most kStrip that ask. */
void
Bulk::answer(const uint32_t *points, size_t count, const uint32_t *askers, size_t asking)
{
	size_t stride = (count + 15) / 16 * 16;
	const int8_t *vectors[kStrip];
	LeafMeta metas[kStrip];

	read_members(askers, asking, vectors, metas);
	space_->kernels->tile_dots(vectors, asking, s_.tile.data, count, leaf_space_.dim,
							   s_.products.data, stride);
	for (size_t i = 0; i < asking; i++)
	{
		uint32_t index = point_of(askers[i]);
		BulkPoint *point = point_at(index);
		BulkKey *answers = answers_of(point);
		if (metas[i].scale == 0)
			continue;
		size_t n = nearest_of(points, count, metas[i], s_.products.data + i * stride,
							  BulkWanted{answers_, std::numeric_limits<float>::max(), index});
		spin_lock(&point->lock);
		for (size_t k = 0; k < n; k++)
			keep_nearest(answers, &point->answers, s_.keys[k], answers_);
		spin_unlock(&point->lock);
	}
}

/* The nearest of some of a leaf's points, others for each; the arithmetic of tile_near(). */
void
Bulk::collect_far(const uint32_t *points, size_t count, size_t self, const int32_t *products)
{
	BulkPoint *point = point_at(point_of(points[self]));
	BulkKey nearest[kFar];
	uint8_t found = 0;
	float twice = 2.0f * s_.scale[self];

	for (size_t c = mix64(point_of(points[self])) % kFarShare; c < count; c += kFarShare)
	{
		float distance = (s_.dot[self] + s_.dot[c]) - (twice * s_.scale[c]) * (float) products[c];
		if (c != self)
			keep_nearest(nearest, &found, bulk_key(distance, point_of(points[c])));
	}
	spin_lock(&point->lock);
	for (uint8_t i = 0; i < found; i++)
		keep_nearest(far_keys_of(point), &point->far, nearest[i]);
	spin_unlock(&point->lock);
}

/* The nearest of a share of the packed leaders; the arithmetic of tile_near(). */
void
Bulk::collect_coarse(uint32_t index, const int32_t *products)
{
	constexpr uint32_t kFewest = 4; /* leaders to choose from */
	BulkPoint *point = point_at(index);
	const BulkRow *row = row_at(point->row);
	BulkKey *kept = coarse_keys_of(point);
	uint64_t draw = mix64(splitmix64(space_->seed, index));
	uint32_t share = 1u << (2 * (draw % kCoarseShares));
	uint8_t count = 0;
	float twice = 2.0f * row->leaf_scale;

	while (share > 1 && shared_->leaders / share < kFewest)
		share /= 4;
	for (uint32_t c = (uint32_t) (draw >> 32) % share; c < shared_->leaders; c += share)
	{
		float distance = (row->leaf_dot + s_.dot[c]) - (twice * s_.scale[c]) * (float) products[c];
		if (shared_->leader[c] != index)
			keep_nearest(kept, &count, bulk_key(distance, shared_->leader[c]), kCoarse);
	}
	point->coarse = count;
}

void
Bulk::offer(BulkPoint *point, const BulkKey *keys, size_t count)
{
	spin_lock(&point->lock);
	if (point->count + count > room_)
		compact(point);
	memcpy(keys_of(point) + point->count, keys, count * sizeof(BulkKey));
	point->count = (uint16_t) (point->count + count);
	spin_unlock(&point->lock);
}

/* The nearest candidates in order, each once. */
void
Bulk::compact(BulkPoint *point)
{
	BulkKey *keys = keys_of(point);

	std::sort(keys, keys + point->count);
	size_t n = (size_t) (std::unique(keys, keys + point->count) - keys);
	if (n >= candidates_)
	{
		n = candidates_;
		float bound = std::nextafter(key_distance(keys[n - 1]), std::numeric_limits<float>::max());
		__atomic_store_n(&point->bound, float_bits(bound), __ATOMIC_RELAXED);
	}
	point->count = (uint16_t) n;
}

} // namespace omendb::graph
