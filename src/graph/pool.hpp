/*
 * pool.hpp - the candidates of one search on one level.
 *
 * - The seen table finds a node's entry by address in O(1). A node has one
 *   entry; further estimates of it are averaged, each weighted with the
 *   inverse of its variance, which gave the best recall per hop of everything
 *   tried (design, part 2).
 * - The heap orders the unexpanded entries by estimate.
 * - The window holds the distances of the best `limit` expanded nodes: its
 *   largest is the bound that a candidate must beat. It slides: a scan raises
 *   the limit by one for every row it hands out (research: streaming search).
 * - The spill keeps what was not good enough when it was met, so that a
 *   stream can go on; a search that ends with the window does without.
 */
#ifndef OMENDB_GRAPH_POOL_HPP
#define OMENDB_GRAPH_POOL_HPP

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/memory.hpp"
#include "base/random.hpp"
#include "graph/record.hpp"

namespace omendb::graph
{

constexpr uint32_t kExpanded = 0xFFFFFFFFu;

struct Entry
{
	Address address;
	float estimate;
	float weight;
	uint32_t position; /* in the heap, or kExpanded */
};

struct SeenSlot
{
	Address address; /* kNoAddress: empty */
	uint32_t entry;
};

struct HeapItem
{
	float estimate;
	uint32_t entry;
};

struct Spilled
{
	Address address;
	float estimate;
};

/* Lanes of one block as they were met: most are never looked at again. */
struct SpilledBlock
{
	uint32_t lanes; /* mask of those that were not good enough and still wait */
	float nearest;  /* least of their estimates */
	Address addresses[OMENDB_LANES];
	float estimates[OMENDB_LANES];
};

class Pool
{
public:
	void
	init(const Memory *memory)
	{
		entries_.init(memory);
		slots_.init(memory);
		heap_.init(memory);
		window_.init(memory);
		admitted_.init(memory);
		beyond_.init(memory);
		spill_.init(memory);
		fresh_.init(memory);
		failed_ = false;
	}

	/* Start over with a window of `limit`; keep_rejected: fill the spill. */
	bool
	start(size_t limit, bool keep_rejected)
	{
		entries_.size = heap_.size = admitted_.size = window_.size = beyond_.size = spill_.size =
			fresh_.size = 0;
		limit_ = limit;
		keep_rejected_ = keep_rejected;
		failed_ = false;
		spill_floor_ = kInfinity;
		if (slots_.capacity == 0 || slots_.size < kFirstSlots)
		{
			if (!slots_.reserve(kFirstSlots))
				return false;
			slots_.size = kFirstSlots;
		}
		/* A long search leaves a large table: do not clear all of it for the next short one. */
		if (slots_.size > 4 * kFirstSlots)
			slots_.size = 4 * kFirstSlots;
		memset(slots_.data, 0xFF, slots_.size * sizeof(SeenSlot));
		return window_.reserve(limit + 1);
	}

	/* The largest distance in the window: the search ends when no candidate is nearer. */
	float
	bound() const
	{
		return window_.size < limit_ ? kInfinity : window_[0];
	}

	/*
	 * What an estimate must beat to be let in: the best kAdmit * limit of all
	 * first estimates so far. Long before the window is full this keeps out most
	 * of what will never be expanded. (Stopping by this rule too, instead of by
	 * true distances, cost recall at equal hops: 128-d SIFT .973 against .976 at
	 * 69 hops, 1536-d clusters .75 at 250 hops against .83 at 150.)
	 */
	float
	admission() const
	{
		if (admitted_.size < kAdmit * limit_)
			return kInfinity;
		/* A stream will slide a little: what lies just beyond the window is kept at hand. */
		return keep_rejected_ ? admitted_[0] : std::min(admitted_[0], bound());
	}

	/* Let a node in, or average one more estimate of it. */
	bool
	offer(Address address, float estimate, float weight)
	{
		if ((entries_.size + 1) * 2 > slots_.size && !grow_slots())
			return false;
		SeenSlot *slot = find(address);
		if (slot->address == kNoAddress)
			return enter(slot, address, estimate, weight) && admit(estimate);
		Entry &entry = entries_[slot->entry];
		if (entry.position != kExpanded)
			average(&entry, estimate, weight);
		return true;
	}

	/* Let a node in whose distance is known, if it is new. admission() is not asked then. */
	bool
	offer_known(Address address, float distance)
	{
		if ((entries_.size + 1) * 2 > slots_.size && !grow_slots())
			return false;
		SeenSlot *slot = find(address);
		return slot->address != kNoAddress || enter(slot, address, distance, 1);
	}

	/*
	 * Remember lanes of a block that were not good enough for now. links: their
	 * addresses, kNoAddress where empty; estimates may be no numbers. Those of
	 * the other lanes are below bound, theirs are not.
	 */
	bool
	reject(const Address *links, const float *estimates, uint32_t lanes, float bound)
	{
		if (!keep_rejected_ || lanes == 0)
			return true;
		if (!fresh_.reserve(fresh_.size + 1))
			return false;
		SpilledBlock &block = fresh_.data[fresh_.size++];
		block.lanes = lanes;
		memcpy(block.addresses, links, sizeof(block.addresses));
		memcpy(block.estimates, estimates, sizeof(block.estimates));
		block.nearest = least_from(estimates, bound);
		spill_floor_ = std::min(spill_floor_, block.nearest);
		return true;
	}

	bool
	keeps_rejected() const
	{
		return keep_rejected_;
	}

	/* Is there a candidate worth expanding before the window is settled? */
	bool
	has_next()
	{
		while (true)
		{
			float limit = bound();
			bool found = heap_.size > 0 && heap_[0].estimate <= limit;
			if (spill_.size + fresh_.size == 0 || spill_floor_ > limit ||
				(heap_.size > 0 && heap_[0].estimate <= spill_floor_))
				return found;
			if (!refill())
				return false;
		}
	}

	/* Take the nearest unexpanded candidate; only after has_next(). */
	Address
	pop()
	{
		uint32_t index = heap_[0].entry;
		Entry &entry = entries_[index];

		entry.position = kExpanded;
		HeapItem last = heap_[--heap_.size];
		if (heap_.size > 0)
		{
			heap_[0] = last;
			sift_down(0);
		}
		return entry.address;
	}

	/* The candidate that pop() would give, or one of the next; kNoAddress: none. To prefetch. */
	Address
	peek(size_t i = 0) const
	{
		return i < heap_.size ? entries_[heap_[i].entry].address : kNoAddress;
	}

	/* Mark a node as expanded without popping it; false when it was seen before, or failed(). */
	bool
	mark(Address address)
	{
		if ((entries_.size + 1) * 2 > slots_.size && !grow_slots())
			return false;
		SeenSlot *slot = find(address);
		if (slot->address != kNoAddress)
			return false;
		if (!entries_.push(Entry{address, 0, 0, kExpanded}))
			return failed_ = true, false;
		slot->address = address;
		slot->entry = (uint32_t) entries_.size - 1;
		return true;
	}

	bool
	seen(Address address)
	{
		return find(address)->address != kNoAddress;
	}

	/* Enter the true distance of an expanded node. */
	bool
	settle(float distance)
	{
		if (window_.size < limit_)
		{
			if (!window_.push(distance))
				return false;
			std::push_heap(window_.data, window_.data + window_.size);
			return true;
		}
		if (distance < window_[0])
		{
			std::pop_heap(window_.data, window_.data + window_.size);
			std::swap(distance, window_[window_.size - 1]);
			std::push_heap(window_.data, window_.data + window_.size);
		}
		return !keep_rejected_ || push_beyond(distance);
	}

	/* The window slides by one: the next best expanded node comes in. */
	bool
	slide()
	{
		limit_++;
		if (beyond_.size == 0)
			return true;
		std::pop_heap(beyond_.data, beyond_.data + beyond_.size, std::greater<float>());
		float nearest = beyond_[--beyond_.size];
		if (!window_.push(nearest))
			return false;
		std::push_heap(window_.data, window_.data + window_.size);
		return true;
	}

	/* How many expanded nodes the window takes. */
	size_t
	limit() const
	{
		return limit_;
	}

	/* What this search takes; bytes() is what the pool keeps for the next one. */
	size_t
	used() const
	{
		return entries_.used() + slots_.used() + heap_.used() + window_.used() + admitted_.used() +
			   beyond_.used() + spill_.used() + fresh_.used();
	}

	size_t
	bytes() const
	{
		return entries_.bytes() + slots_.bytes() + heap_.bytes() + window_.bytes() +
			   admitted_.bytes() + beyond_.bytes() + spill_.bytes() + fresh_.bytes();
	}

	/* Memory failed where the answer does not say so: has_next(), mark(). */
	bool
	failed() const
	{
		return failed_;
	}

private:
	static constexpr size_t kAdmit = 2;
	static constexpr size_t kFirstSlots = 1024;
	static constexpr size_t kShortSpill = 8192;
	static constexpr float kReach = 0.1f;
	static constexpr float kSpilledWeight = 1e-30f;
	static constexpr float kInfinity = std::numeric_limits<float>::infinity();

	SeenSlot *
	find(Address address)
	{
		size_t mask = slots_.size - 1;
		size_t i = (address * 0x9E3779B1u) >> 7 & mask;
		while (slots_[i].address != address && slots_[i].address != kNoAddress)
			i = (i + 1) & mask;
		return &slots_[i];
	}

	bool
	grow_slots()
	{
		size_t size = slots_.size * 4;
		if (!slots_.reserve(size))
			return failed_ = true, false;
		slots_.size = size;
		memset(slots_.data, 0xFF, size * sizeof(SeenSlot));
		for (size_t i = 0; i < entries_.size; i++)
		{
			SeenSlot *slot = find(entries_[i].address);
			slot->address = entries_[i].address;
			slot->entry = (uint32_t) i;
		}
		return true;
	}

	/* A new node in an empty slot of the seen table. */
	bool
	enter(SeenSlot *slot, Address address, float estimate, float weight)
	{
		uint32_t entry = (uint32_t) entries_.size;

		if (!entries_.push(Entry{address, estimate, weight, 0}) ||
			!heap_.push(HeapItem{estimate, entry}))
			return false;
		slot->address = address;
		slot->entry = entry;
		sift_up(heap_.size - 1);
		return true;
	}

	/* Keep the best kAdmit * limit_ first estimates. */
	bool
	admit(float estimate)
	{
		if (admitted_.size < kAdmit * limit_)
		{
			if (!admitted_.push(estimate))
				return false;
			std::push_heap(admitted_.data, admitted_.data + admitted_.size);
		}
		else if (estimate < admitted_[0])
		{
			std::pop_heap(admitted_.data, admitted_.data + admitted_.size);
			admitted_[admitted_.size - 1] = estimate;
			std::push_heap(admitted_.data, admitted_.data + admitted_.size);
		}
		return true;
	}

	bool
	push_beyond(float distance)
	{
		if (!beyond_.push(distance))
			return false;
		std::push_heap(beyond_.data, beyond_.data + beyond_.size, std::greater<float>());
		return true;
	}

	void
	average(Entry *entry, float estimate, float weight)
	{
		float total = entry->weight + weight;
		float mean = entry->estimate + (estimate - entry->estimate) * (weight / total);
		/* An infinite estimate (huge values) says nothing. */
		if (!(std::abs(mean) <= std::numeric_limits<float>::max()))
			mean = std::min(entry->estimate, estimate);
		entry->weight = total;
		entry->estimate = mean;
		size_t position = entry->position;
		float old = heap_[position].estimate;
		heap_[position].estimate = mean;
		if (mean < old)
			sift_up(position);
		else
			sift_down(position);
	}

	/* The least of a block's estimates that are not below bound. Four at a time: once a hop. */
	static float
	least_from(const float *estimates, float bound)
	{
		typedef float Four __attribute__((vector_size(16)));
		const Four from = {bound, bound, bound, bound};
		const Four none = {kInfinity, kInfinity, kInfinity, kInfinity};
		Four least = none;

		for (uint32_t i = 0; i < OMENDB_LANES; i += 4)
		{
			Four four;
			memcpy(&four, estimates + i, sizeof(four));
			/* False for what is no number. */
			four = four >= from ? four : none;
			least = four < least ? four : least;
		}
		return std::min(std::min(least[0], least[1]), std::min(least[2], least[3]));
	}

	/*
	 * Move the nearest part of the spill into the heap: of a short one what the
	 * window will reach soon, of a long one an eighth at least, so that a stream
	 * looks at each entry a few times only.
	 */
	bool
	refill()
	{
		if (spill_.size + fresh_.size * OMENDB_LANES <= kShortSpill)
		{
			float limit = bound() < kInfinity ? std::max(bound(), spill_floor_) : spill_floor_;
			float reach = limit + kReach * std::fabs(limit);
			return (take_lanes(reach) && take_spilled(reach)) || (failed_ = true, false);
		}
		if (!take_apart())
			return failed_ = true, false;
		spill_floor_ = kInfinity;
		if (spill_.size == 0)
			return true;
		size_t count = std::max<size_t>(spill_.size / 8, 1);
		std::nth_element(spill_.data, spill_.data + (count - 1), spill_.data + spill_.size,
						 [](const Spilled &a, const Spilled &b)
						 { return a.estimate < b.estimate; });
		return take_spilled(spill_[count - 1].estimate) || (failed_ = true, false);
	}

	/* Offer what is up to reach of the spill, which is taken apart. */
	bool
	take_spilled(float reach)
	{
		size_t left = 0;

		for (size_t i = 0; i < spill_.size; i++)
		{
			Spilled s = spill_[i];
			if (s.estimate > reach)
			{
				spill_floor_ = std::min(spill_floor_, s.estimate);
				spill_[left++] = s;
			}
			else if (!offer(s.address, s.estimate, kSpilledWeight))
				return false;
		}
		spill_.size = left;
		return true;
	}

	/* The same of the blocks; begins the count of spill_floor_ anew. */
	bool
	take_lanes(float reach)
	{
		size_t left = 0;

		spill_floor_ = kInfinity;
		for (size_t i = 0; i < fresh_.size; i++)
		{
			SpilledBlock &block = fresh_[i];
			if (!(block.nearest > reach) && !take_lanes_of(&block, reach))
				return false;
			if (block.lanes == 0)
				continue;
			spill_floor_ = std::min(spill_floor_, block.nearest);
			if (left != i)
				fresh_[left] = block;
			left++;
		}
		fresh_.size = left;
		return true;
	}

	bool
	take_lanes_of(SpilledBlock *block, float reach)
	{
		float nearest = kInfinity;

		for (uint32_t lanes = block->lanes; lanes != 0; lanes &= lanes - 1)
		{
			uint32_t lane = (uint32_t) __builtin_ctz(lanes);
			float estimate = block->estimates[lane];
			if (estimate > reach)
			{
				nearest = std::min(nearest, estimate);
				continue;
			}
			block->lanes &= ~(1u << lane);
			if (block->addresses[lane] != kNoAddress &&
				!offer(block->addresses[lane], or_infinity(estimate), kSpilledWeight))
				return false;
		}
		block->nearest = nearest;
		return true;
	}

	/* An estimate that is no number (huge values) must not hide a row. */
	static float
	or_infinity(float estimate)
	{
		return estimate == estimate ? estimate : kInfinity;
	}

	/* All lanes of all blocks into the spill. */
	bool
	take_apart()
	{
		for (size_t i = 0; i < fresh_.size; i++)
		{
			const SpilledBlock &block = fresh_[i];
			for (uint32_t lanes = block.lanes; lanes != 0; lanes &= lanes - 1)
			{
				uint32_t lane = (uint32_t) __builtin_ctz(lanes);
				Spilled s = {block.addresses[lane], or_infinity(block.estimates[lane])};
				if (s.address != kNoAddress && !spill_.push(s))
					return false;
			}
		}
		fresh_.size = 0;
		return true;
	}

	void
	place(size_t position, const HeapItem &item)
	{
		heap_[position] = item;
		entries_[item.entry].position = (uint32_t) position;
	}

	void
	sift_up(size_t position)
	{
		HeapItem item = heap_[position];
		while (position > 0)
		{
			size_t parent = (position - 1) / 2;
			if (heap_[parent].estimate <= item.estimate)
				break;
			place(position, heap_[parent]);
			position = parent;
		}
		place(position, item);
	}

	void
	sift_down(size_t position)
	{
		HeapItem item = heap_[position];
		size_t n = heap_.size;
		while (true)
		{
			size_t child = 2 * position + 1;
			if (child >= n)
				break;
			if (child + 1 < n && heap_[child + 1].estimate < heap_[child].estimate)
				child++;
			if (item.estimate <= heap_[child].estimate)
				break;
			place(position, heap_[child]);
			position = child;
		}
		place(position, item);
	}

	Array<Entry> entries_;
	Array<SeenSlot> slots_;
	Array<HeapItem> heap_;
	Array<float> admitted_; /* max-heap of the best kAdmit * limit_ first estimates */
	Array<float> window_;   /* max-heap of the best `limit_` distances */
	Array<float> beyond_;   /* min-heap of the other expanded nodes' */
	Array<Spilled> spill_;
	Array<SpilledBlock> fresh_; /* what of the spill is not yet taken apart */
	size_t limit_;
	float spill_floor_;
	bool keep_rejected_;
	bool failed_;
};

} // namespace omendb::graph

#endif
