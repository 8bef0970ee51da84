/*
 * rehang-inl.hpp - taking dead nodes out of the protected tree.
 *
 * Dead nodes that hang together (by protected links) are one component, below
 * a live parent or at the root. Its heir is one of the live nodes that hang on
 * it; the others move below the heir, one at a time, each from the one tree to
 * the next in one step. In the end only the heir hangs on the component, and the
 * caller puts it into the component's place, which takes all of the dead out of
 * the tree at once. Moved nodes and heir are children of one component, so none
 * is above another: no step makes a circle.
 *
 * The walk keeps a stack of dead nodes, no frames: it is as deep as the tree.
 *
 * The Store has, besides shape():
 *
 *   bool is_dead(Address a) const   noted as dead; nobody else changes these
 *   bool enter(Address dead)        the first time: true
 *   const uint8_t *read(Address a)  the record as it is now, until the next
 *                                   call; NULL when a leads to none
 *   bool move(Address child, Address from, Address to)
 *       In one step: a protected lane to child in to's list, the one in from's
 *       list an ordinary one. False, nothing changed, when `to` is not live or
 *       has no room any more.
 *   void poll()                     nothing is held; may not return
 */
#ifndef OMENDB_GRAPH_REHANG_INL_HPP
#define OMENDB_GRAPH_REHANG_INL_HPP

#include "base/memory.hpp"
#include "base/status.h"
#include "graph/insert-inl.hpp"

namespace omendb::graph
{

/* What became of a component. */
struct Rehung
{
	Address top;   /* the dead node that hung on the live parent, or the root */
	Address heir;  /* kNoAddress: nothing live hung on it */
	bool complete; /* nothing live but the heir hangs on it now */
};

/*
 * Where the child of a protected link is in a list or can be: an empty lane, one
 * to a dead node, one that the last selection only filled, any other that is not
 * protected; kNoLane when all are.
 */
template <typename IsDead>
uint32_t
lane_for_child(const Shape &shape, const uint8_t *record, Address child, IsDead is_dead)
{
	const uint32_t *links = neighbours(shape, record);
	const uint32_t *kept = protected_mask(shape, record);
	const uint32_t *diverse = kept + shape.blocks;
	uint32_t best = kNoLane;
	int best_worth = 4;

	for (uint32_t lane = 0; lane < shape.max_links; lane++)
	{
		int worth = 3;

		if (links[lane] == child)
			return lane;
		if (get_bit(kept, lane))
			continue;
		if (links[lane] == kNoAddress)
			worth = 0;
		else if (is_dead(links[lane]))
			worth = 1;
		else if (!get_bit(diverse, lane))
			worth = 2;
		if (worth < best_worth)
		{
			best = lane;
			best_worth = worth;
		}
	}
	return best;
}

/*
 * A protected link from a record to child, whose code it is. False, nothing
 * changed, when the record is no live node or protects as many as it may.
 */
template <typename IsDead>
bool
take_child(const quant::Space &space, const Shape &shape, uint8_t *record, Address child,
		   const quant::LaneCode &code, IsDead is_dead)
{
	const RecordHeader *h = header((const uint8_t *) record);

	if (h->state != (uint8_t) State::Live || h->level != 0 ||
		list_state(shape, record).protected_count >= max_protected(shape.max_links))
		return false;
	uint32_t lane = lane_for_child(shape, record, child, is_dead);
	if (lane == kNoLane)
		return false;
	if (neighbours(shape, (const uint8_t *) record)[lane] == child)
		set_bit(protected_mask(shape, record), lane, true);
	else
		put_link(space, shape, record, lane, Link{child, 0, nullptr, true, false}, code);
	return true;
}

/* The protected link from a record to child becomes an ordinary one. */
inline void
give_child(const Shape &shape, uint8_t *record, Address child)
{
	for (uint32_t lane = 0; lane < shape.max_links; lane++)
	{
		if (neighbours(shape, (const uint8_t *) record)[lane] == child)
			set_bit(protected_mask(shape, record), lane, false);
	}
}

/* A dead record becomes a free slot of the next generation. */
inline void
free_record(const Shape &shape, uint8_t *record)
{
	RecordHeader *h = header(record);
	uint16_t generation = h->generation;

	/* Vector and codes mean nothing now; to clear them would be so much WAL. */
	memset(h, 0, sizeof(*h));
	h->state = (uint8_t) State::Free;
	h->generation = (uint16_t) (generation + 1);
	h->down = h->overflow = kNoAddress;
	memset(protected_mask(shape, record), 0, 2 * sizeof(uint32_t) * shape.blocks);
	memset(neighbours(shape, record), 0xFF, sizeof(uint32_t) * OMENDB_LANES * shape.blocks);
}

template <typename Store>
class Rehanger
{
public:
	void
	init(Store *store, const Memory *memory)
	{
		store_ = store;
		stack_.init(memory);
		turn_ = 0;
	}

	/*
	 * Empty the component below `top`. Not complete: there was no room below the
	 * heir, because dead nodes have all of it; once they are out of the tree it
	 * can be tried again, after every mark of enter() was taken back.
	 */
	OmendbStatus
	rehang(Address top, Rehung *out)
	{
		*out = Rehung{top, kNoAddress, true};
		heir_ = room_ = kNoAddress;
		stack_.size = 0;
		if (!stack_.push(top))
			return OMENDB_NO_MEMORY;
		while (stack_.size > 0)
		{
			Address dead = stack_[--stack_.size];
			store_->poll();
			/* Met before: only in a damaged tree. */
			if (!store_->enter(dead))
				continue;
			size_t count = children(dead);
			for (size_t i = 0; i < count; i++)
			{
				if (store_->is_dead(children_[i]))
				{
					if (!stack_.push(children_[i]))
						return OMENDB_NO_MEMORY;
				}
				else if (is_live(children_[i]))
					place(children_[i], dead, out);
			}
		}
		return OMENDB_OK;
	}

private:
	/* Steps down the tree in search of room; more only where it is damaged. */
	static constexpr uint32_t kMaxSteps = 1000;

	/* The protected links of a node into children_. */
	size_t
	children(Address a)
	{
		const Shape &shape = store_->shape();
		const uint8_t *record = store_->read(a);
		size_t n = 0;

		if (record == nullptr || header(record)->level != 0 ||
			header(record)->state == (uint8_t) State::Free)
			return 0;
		const uint32_t *mask = protected_mask(shape, record);
		for (uint32_t lane = 0; lane < shape.max_links; lane++)
		{
			if (get_bit(mask, lane) && neighbours(shape, record)[lane] != kNoAddress)
				children_[n++] = neighbours(shape, record)[lane];
		}
		return n;
	}

	bool
	is_live(Address a)
	{
		const uint8_t *record = store_->read(a);

		return record != nullptr && header(record)->level == 0 &&
			   header(record)->state == (uint8_t) State::Live;
	}

	/* A live child of a dead node: the heir, or one that goes below it. */
	void
	place(Address child, Address from, Rehung *out)
	{
		constexpr int kTries = 10; /* others may take the room that was seen */

		if (out->heir == kNoAddress)
		{
			out->heir = heir_ = room_ = child;
			return;
		}
		for (int i = 0; i < kTries; i++)
		{
			Address to = find_room();
			if (to == kNoAddress)
				break;
			if (store_->move(child, from, to))
				return;
		}
		out->complete = false;
	}

	/* A live node with room for one more child, below the heir. */
	Address
	find_room()
	{
		const Shape &shape = store_->shape();

		for (uint32_t step = 0; step < kMaxSteps; step++)
		{
			const uint8_t *record = store_->read(room_);
			if (record == nullptr || header(record)->state != (uint8_t) State::Live)
				break;
			if (list_state(shape, record).protected_count < max_protected(shape.max_links))
				return room_;
			/* children_ is being walked by rehang(). */
			Address below = live_child(record);
			if (below == kNoAddress)
				break;
			room_ = below;
		}
		room_ = heir_;
		return kNoAddress;
	}

	/* A protected link of the record that does not lead to a dead node, in turns. */
	Address
	live_child(const uint8_t *record)
	{
		const Shape &shape = store_->shape();
		const uint32_t *mask = protected_mask(shape, record);

		turn_++;
		for (uint32_t i = 0; i < shape.max_links; i++)
		{
			uint32_t lane = (turn_ + i) % shape.max_links;
			Address child = neighbours(shape, record)[lane];
			if (get_bit(mask, lane) && child != kNoAddress && !store_->is_dead(child))
				return child;
		}
		return kNoAddress;
	}

	Store *store_;
	Array<Address> stack_;
	Address heir_;
	Address room_; /* at or below the heir: where to look for room */
	uint32_t turn_;
	Address children_[kMaxLinks];
};

} // namespace omendb::graph

#endif
