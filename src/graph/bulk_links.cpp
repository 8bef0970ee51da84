/*
 * bulk_links.cpp - from candidates to lists: selection, both directions, the
 * protected tree.
 */
#include "base/bits.hpp"
#include "base/spin.hpp"
#include "graph/bulk.hpp"
#include "graph/insert-inl.hpp"

#include "base/no_postgres.hpp"

namespace omendb::graph
{

namespace
{

/*
 * Links a point chooses itself; the others' choice of it fills the rest: 20 of
 * 32. (16 to 26 gave the same recall within .001.)
 */
uint32_t
links_chosen(uint32_t max_links)
{
	uint32_t n = max_links * 5 / 8;

	return n > 0 ? n : 1;
}

/* Of so many links, those that only far candidates get. */
uint32_t
links_reserved(uint32_t links)
{
	return links < 8 ? 0 : links / 4;
}

/* Is a point among some far keys? */
bool
is_among(const BulkKey *keys, uint32_t count, uint32_t point)
{
	return std::any_of(keys, keys + count,
					   [point](BulkKey key) { return key_point(key) == point; });
}

} // namespace

/*
 * A merge of sparse vectors takes as long as ten products of their sketches. So only
 * the distances to the owner are true ones, and between candidates the sketches say
 * who occludes whom. (Sketches alone: recall .88 instead of .92 at four times the
 * window, 20 000 rows of 100 elements.) L1 has no sketch on its scale.
 */
bool
Bulk::selects_by_sketch() const
{
	return space_->type == quant::Type::Sparse && space_->metric != quant::Metric::L1;
}

const quant::Space &
Bulk::select_space() const
{
	return selects_by_sketch() ? leaf_space_ : *space_;
}

/* Keys as options for selection; distances become those of the stored vectors. */
size_t
Bulk::set_options(const BulkKey *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		__builtin_prefetch(point_at(key_point(keys[i])));
	/* Of long values enough to begin with: the rest comes by itself. */
	constexpr uint32_t kMostFetched = 2048;
	uint32_t fetched = (uint32_t) sizeof(BulkRow) +
					   std::min(quant::stored_bytes(space_->storage, space_->dim), kMostFetched);
	for (size_t i = 0; i < count; i++)
	{
		const BulkRow *row = row_at(point_at(key_point(keys[i]))->row);
		for (uint32_t at = 0; at < fetched; at += 64)
			__builtin_prefetch((const uint8_t *) row + at);
	}
	for (size_t i = 0; i < count; i++)
	{
		const BulkRow *row = row_at(point_at(key_point(keys[i]))->row);
		bool sketched = selects_by_sketch();
		s_.options[i] = Option{key_distance(keys[i]),
							   key_point(keys[i]),
							   sketched ? (const uint8_t *) leaf_of(row) : stored_of(row),
							   sketched ? row->leaf_scale : row->scale,
							   sketched ? row->leaf_dot : row->self_dot,
							   kNoLane,
							   false,
							   false,
							   Pick::None};
	}
	return count;
}

/* Distances between int8 copies become those between stored vectors. */
void
Bulk::measure(const BulkPoint *point, size_t count)
{
	const BulkRow *own = row_at(point->row);
	quant::StoredMeta meta = {own->scale, own->self_dot, 0};

	for (size_t i = 0; i < count; i++)
	{
		Option &option = s_.options[i];
		const BulkRow *row = row_at(point_at(option.address)->row);
		quant::StoredMeta other = {row->scale, row->self_dot, 0};
		option.distance =
			quant::stored_distance(*space_, stored_of(own), meta, stored_of(row), other);
	}
	std::sort(s_.options.data, s_.options.data + count,
			  [](const Option &a, const Option &b) {
				  return a.distance != b.distance ? a.distance < b.distance : a.address < b.address;
			  });
}

/* Between int8 copies. */
float
Bulk::leaf_distance(const BulkRow *a, const BulkRow *b) const
{
	int32_t dot = space_->kernels->dot_i8(leaf_of(a), leaf_of(b), leaf_space_.dim);

	return (a->leaf_dot + b->leaf_dot) - (2.0f * a->leaf_scale * b->leaf_scale) * (float) dot;
}

/* A point's best answer hears of its other answers. */
void
Bulk::share_answers(BulkPoint *point)
{
	const BulkKey *answers = answers_of(point);

	if (point->answers == 0)
		return;
	BulkPoint *best = point_at(key_point(answers[0]));
	const BulkRow *best_row = row_at(best->row);
	for (uint32_t i = 1; i < point->answers; i++)
	{
		uint32_t other = key_point(answers[i]);
		BulkKey key = bulk_key(leaf_distance(best_row, row_at(point_at(other)->row)), other);
		spin_lock(&best->lock);
		keep_nearest(companions_of(best), &best->companions, key, kCompanions * answers_);
		spin_unlock(&best->lock);
	}
}

/*
 * Answers that are near candidates as well need no links of their own. Where rows are of
 * one length most are, and the few that the near leaves have missed take what lanes they
 * need: choosing there from companions, too, costs recall (unit vectors .90 to .88 at 88
 * hops; lengths over three decades, of the longest, .98 to .95).
 */
void
Bulk::choose_answers(BulkPoint *point)
{
	const BulkKey *keys = keys_of(point);
	BulkKey *answers = answers_of(point);
	uint32_t asked = point->answers;
	auto is_near = [&](BulkKey answer)
	{
		return is_among(keys, point->count, key_point(answer));
	};

	point->answers = (uint8_t) (std::remove_if(answers, answers + asked, is_near) - answers);
	if (2 * point->answers <= asked)
		return;
	const BulkRow *row = row_at(point->row);
	BulkKey *all = s_.keys.data;
	size_t n = 0;
	for (; n < point->answers; n++)
	{
		uint32_t other = key_point(answers[n]);
		all[n] = bulk_key(leaf_distance(row, row_at(point_at(other)->row)), other);
	}
	n = (size_t) (std::remove_copy_if(companions_of(point),
									  companions_of(point) + point->companions, all + n, is_near) -
				  all);
	std::sort(all, all + n);
	n = (size_t) (std::unique(all, all + n) - all);
	set_options(all, n);
	select_neighbours(select_space(), *shape_, s_.options.data, n, answers_);
	point->answers = 0;
	for (Pick pick : {Pick::Diverse, Pick::Fill})
	{
		for (size_t i = 0; i < n; i++)
		{
			if (s_.options[i].pick == pick)
				answers[point->answers++] = all[i];
		}
		if (pick == Pick::Diverse)
			point->diverse_answers = point->answers;
	}
}

/* Lanes for other links than answers. */
uint32_t
Bulk::near_links(const BulkPoint *point) const
{
	return shape_->max_links - point->answers;
}

/* A point's own choice among its candidates: these come first, the diverse before the others. */
void
Bulk::choose_links(BulkPoint *point)
{
	BulkKey *keys = keys_of(point);
	BulkKey *all = s_.keys.data;
	size_t at = 0;

	compact(point);
	choose_answers(point);
	size_t count = (size_t) (std::set_union(keys, keys + point->count, far_keys_of(point),
											far_keys_of(point) + point->far, all) -
							 all);
	set_options(all, count);
	for (size_t i = 0; i < count; i++)
		s_.options[i].far = !std::binary_search(keys, keys + point->count, all[i]);
	if (space_->storage != quant::Storage::Int8)
		measure(point, count);
	uint32_t limit = links_chosen(near_links(point));
	select_neighbours(select_space(), *shape_, s_.options.data, count, limit,
					  links_reserved(limit));
	for (Pick pick : {Pick::Diverse, Pick::Fill, Pick::None})
	{
		for (size_t i = 0; i < count && at < candidates_; i++)
		{
			if (s_.options[i].pick == pick)
				keys[at++] = bulk_key(s_.options[i].distance, s_.options[i].address);
		}
		if (pick == Pick::Diverse)
			point->diverse = (uint16_t) at;
		else if (pick == Pick::Fill)
			point->chosen = (uint16_t) at;
	}
	point->count = (uint16_t) at;
}

/* The others hear of a point's links; each keeps the nearest max_links it hears of. */
void
Bulk::offer_reverse(uint32_t index)
{
	BulkPoint *point = point_at(index);
	const BulkKey *keys = keys_of(point);
	const BulkKey *far = far_keys_of(point);

	for (uint32_t i = 0; i < point->chosen; i++)
		__builtin_prefetch(point_at(key_point(keys[i])), 1);
	for (uint32_t i = 0; i < point->chosen; i++)
	{
		BulkPoint *other = point_at(key_point(keys[i]));
		BulkKey *offered = keys_of(other) + candidates_;
		BulkKey key = (keys[i] & 0xFFFFFFFF00000000u) | index;

		spin_lock(&other->lock);
		if (is_among(far, point->far, key_point(keys[i])))
			keep_nearest(far_keys_of(other) + kFar, &other->far_offered, key);
		else if (other->offered < shape_->max_links)
			offered[other->offered++] = key;
		else
		{
			BulkKey *farthest = std::max_element(offered, offered + shape_->max_links);
			if (key < *farthest)
				*farthest = key;
		}
		spin_unlock(&other->lock);
	}
}

/* A point's final list. */
void
Bulk::settle_links(BulkPoint *point)
{
	settle_near(point);
	add_coarse(point);
	add_answers(point);
}

/* Behind the others; they stay there for good only when the list is full. */
void
Bulk::add_answers(BulkPoint *point)
{
	BulkKey *keys = keys_of(point);
	const BulkKey *answers = answers_of(point);
	uint32_t before = point->count, asked = point->answers;

	for (uint32_t i = 0; i < asked && point->count < shape_->max_links; i++)
	{
		if (is_among(keys, before, key_point(answers[i])))
			continue;
		set_bit(diverse_of(point), point->count, i < point->diverse_answers);
		keys[point->count++] = answers[i];
	}
	point->answers = point->count == shape_->max_links ? (uint8_t) (point->count - before) : 0;
}

/* Links across the set in empty lanes, else in those of the last that were filled in. */
void
Bulk::add_coarse(BulkPoint *point)
{
	BulkKey *keys = keys_of(point);
	const BulkKey *coarse = coarse_keys_of(point);
	uint32_t *diverse = diverse_of(point);
	uint32_t wanted = std::min<uint32_t>(point->coarse, shape_->max_links / 8);
	uint32_t room = near_links(point), farthest = room;

	for (uint32_t i = 0; i < wanted; i++)
	{
		if (is_among(keys, point->count, key_point(coarse[i])))
			continue;
		uint32_t at = point->count;
		if (at < room)
			point->count++;
		else
		{
			/* The farthest that is there to fill; without one the farthest. */
			while (at > 0 && get_bit(diverse, at - 1))
				at--;
			at = at > 0 ? at - 1 : --farthest;
		}
		keys[at] = coarse[i];
		set_bit(diverse, at, true);
	}
}

/* From a point's own choice and what was offered. */
void
Bulk::settle_near(BulkPoint *point)
{
	BulkKey *keys = keys_of(point);
	BulkKey *all = s_.keys.data;
	const BulkKey *far = far_keys_of(point);
	uint32_t *diverse = diverse_of(point);
	uint32_t room = near_links(point);
	size_t n = 0;

	std::copy(keys, keys + point->chosen, all);
	n = point->chosen;
	std::copy(keys + candidates_, keys + candidates_ + point->offered, all + n);
	n += point->offered;
	std::copy(far + kFar, far + kFar + point->far_offered, all + n);
	n += point->far_offered;
	std::sort(all, all + n);
	n = (size_t) (std::unique(all, all + n) - all);
	if (n <= room)
	{
		size_t own = n;
		for (size_t i = 0; i < n; i++)
			set_bit(diverse, (uint32_t) i,
					std::find(keys, keys + point->diverse, all[i]) != keys + point->diverse);
		for (size_t i = point->chosen; i < point->count && n < room; i++)
		{
			if (!std::binary_search(all, all + own, keys[i]))
				all[n++] = keys[i];
		}
		std::copy(all, all + n, keys);
		point->count = (uint16_t) n;
		return;
	}
	set_options(all, n);
	for (size_t i = 0; i < n; i++)
		s_.options[i].far = is_among(far, point->far, key_point(all[i])) ||
							is_among(far + kFar, point->far_offered, key_point(all[i]));
	select_neighbours(select_space(), *shape_, s_.options.data, n, room, links_reserved(room));
	uint32_t lane = 0;
	for (size_t i = 0; i < n; i++)
	{
		if (s_.options[i].pick == Pick::None)
			continue;
		set_bit(diverse, lane, s_.options[i].pick == Pick::Diverse);
		keys[lane++] = all[i];
	}
	point->count = (uint16_t) lane;
}

/* ---- the protected tree, by one participant ---- */

/* A queue of points, in the memory of the members. */
inline uint32_t *
Bulk::queue_at(uint32_t i) const
{
	return (uint32_t *) (void *) views_[kBulkMembers].at(i);
}

void
Bulk::enter_tree(uint32_t index, uint32_t *size)
{
	point_at(index)->in_tree = 1;
	*queue_at((*size)++) = index;
}

/* Protect a point's links to points that are not in the tree yet, up to half of its list. */
void
Bulk::adopt_links(uint32_t index, uint32_t *size)
{
	BulkPoint *point = point_at(index);
	const BulkKey *keys = keys_of(point);
	uint32_t *mask = protected_of(point);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < point->count; i++)
		__builtin_prefetch(point_at(key_point(keys[i])));
	for (uint32_t i = 0; i < point->count && kept < max_protected(shape_->max_links); i++)
	{
		uint32_t other = key_point(keys[i]);
		if (point_at(other)->in_tree != 0)
			continue;
		set_bit(mask, i, true);
		kept++;
		enter_tree(other, size);
	}
}

/* Make a point of the tree link to one that nobody protects; false when it has no room. */
bool
Bulk::adopt_at(uint32_t parent, uint32_t orphan)
{
	BulkPoint *point = point_at(parent);
	BulkKey *keys = keys_of(point);
	uint32_t *mask = protected_of(point);
	uint32_t kept = 0, lane = point->count;

	for (uint32_t block = 0; block < shape_->blocks; block++)
		kept += popcount32(mask[block]);
	if (kept >= max_protected(shape_->max_links))
		return false;
	if (lane < shape_->max_links)
		point->count++;
	else
	{
		/* Rather than an answer. */
		for (lane -= point->answers; lane > 0 && get_bit(mask, lane - 1);)
			lane--;
		for (lane = lane > 0 ? lane : point->count; get_bit(mask, lane - 1);)
			lane--;
		lane--;
	}
	keys[lane] = bulk_key(0, orphan);
	set_bit(mask, lane, true);
	set_bit(diverse_of(point), lane, false);
	return true;
}

/* Nobody in the tree links to this point: one of its links does from now on, or anybody. */
void
Bulk::adopt_orphan(uint32_t orphan, uint32_t *size)
{
	BulkPoint *point = point_at(orphan);
	const BulkKey *keys = keys_of(point);
	bool adopted = false;

	for (uint32_t i = 0; i < point->count && !adopted; i++)
	{
		uint32_t other = key_point(keys[i]);
		adopted = point_at(other)->in_tree != 0 && adopt_at(other, orphan);
	}
	/* The latest in the tree has no children yet, unless it was just given some. */
	for (uint32_t i = *size; !adopted && i > 0; i--)
		adopted = adopt_at(*queue_at(i - 1), orphan);
	enter_tree(orphan, size);
}

/*
 * Breadth first from the first point over the links: who is met protects the
 * link it was met by. Parents are always earlier than children: no cycles. What
 * is not met hangs on a link made for it; if more than one point hangs there, the
 * first of them is promoted, and the first of all.
 */
bool
Bulk::grow_tree()
{
	uint32_t size = 0, next = 0, orphan = 0;
	uint32_t root = ordered(0), part = root, part_start = 0;
	bool one_part = true;

	need(kBulkMembers, shared_->points);
	enter_tree(root, &size);
	while (true)
	{
		for (; next < size; next++)
		{
			if (next % 1024 == 0)
				hooks_->poll(hooks_->context);
			if (next + 8 < size)
				__builtin_prefetch(keys_of(point_at(*queue_at(next + 8))));
			adopt_links(*queue_at(next), &size);
		}
		if (part != root && size - part_start > 1)
		{
			if (!promote(part))
				return false;
			one_part = false;
		}
		if (size == shared_->points)
			break;
		while (point_at(ordered(orphan))->in_tree != 0)
			orphan++;
		part = ordered(orphan);
		part_start = size;
		adopt_orphan(part, &size);
	}
	return one_part || promote(root);
}

} // namespace omendb::graph
