/*
 * record_cache.hpp - copies of records that VACUUM reads again and again.
 *
 * A repair reads the records around a list; the lists near it on disk need much
 * the same ones. What is used of a copy does not change while one bulk delete
 * repairs: vectors never do, the records of dead nodes are VACUUM's own, and what
 * was live when it began is not freed before it ends. A copy may be older than its
 * page in everything else.
 *
 * Sets of a few ways: no copy that the present owner has asked for is overwritten.
 */
#ifndef OMENDB_STORE_RECORD_CACHE_HPP
#define OMENDB_STORE_RECORD_CACHE_HPP

#include "store/vacuum_state.hpp"

namespace omendb::store::vacuum
{

/* Copies of the first bytes of records. */
class CopySets
{
public:
	/* copy_bytes of each record; total: about as many bytes as may be taken. */
	void
	init(Vacuum *vacuum, Size copy_bytes, Size total)
	{
		vacuum_ = vacuum;
		copy_bytes_ = copy_bytes;
		sets_ = 16;
		while ((Size) sets_ * 2 * kWays * (copy_bytes + sizeof(Tag)) <= total)
			sets_ *= 2;
		tags_ = (Tag *) MemoryContextAllocHuge(vacuum->context, sets_ * kWays * sizeof(Tag));
		for (uint32_t i = 0; i < sets_ * kWays; i++)
			tags_[i] = Tag{kNoAddress, 0};
		copies_ =
			(uint8_t *) MemoryContextAllocHuge(vacuum->context, (Size) sets_ * kWays * copy_bytes);
		turn_ = 0;
	}

	/* The copy, which stays for this owner; NULL: no such record, or no room. */
	const uint8_t *
	find(Address a, uint32_t owner)
	{
		uint32_t first = ((a * 0x9E3779B1u) >> 4) % sets_ * kWays;
		uint32_t victim = kNoWay;

		for (uint32_t i = 0; i < kWays; i++)
		{
			Tag *tag = &tags_[first + i];
			if (tag->address == a)
			{
				tag->owner = owner;
				return copies_ + (Size) (first + i) * copy_bytes_;
			}
		}
		turn_++;
		for (uint32_t i = 0; i < kWays && victim == kNoWay; i++)
		{
			uint32_t at = first + (turn_ + i) % kWays;
			if (tags_[at].address == kNoAddress || tags_[at].owner != owner)
				victim = at;
		}
		return victim == kNoWay ? nullptr : load(a, victim, owner);
	}

private:
	static constexpr uint32_t kWays = 4;
	static constexpr uint32_t kNoWay = 0xFFFFFFFFu;

	struct Tag
	{
		Address address;
		uint32_t owner; /* who asked for it last */
	};

	const uint8_t *
	load(Address a, uint32_t at, uint32_t owner)
	{
		uint8_t *copy = copies_ + (Size) at * copy_bytes_;

		tags_[at].address = kNoAddress;
		if (!copy_wide(vacuum_, a, copy, copy_bytes_))
			return nullptr;
		tags_[at] = Tag{a, owner};
		return copy;
	}

	Vacuum *vacuum_;
	Tag *tags_;
	uint8_t *copies_;
	Size copy_bytes_;
	uint32_t sets_; /* a power of two */
	uint32_t turn_;
};

/* The Records of graph::ListRepair. */
class RecordCache
{
public:
	/* bytes: about as much as may be taken, if the index has so many records. */
	void
	init(Vacuum *vacuum, Size bytes)
	{
		const graph::Shape &shape = vacuum->wide;
		Size slots = (Size) vacuum->blocks * vacuum->shape.slots;

		dead_ = &vacuum->dead;
		owner_ = 0;
		/* Of those that stay only header and vector are asked for. */
		whole_.init(vacuum, shape.slot_bytes,
					std::min<Size>(bytes / 4, 2 * vacuum->dead.count() * shape.slot_bytes));
		heads_.init(vacuum, shape.neighbours_at,
					std::min<Size>(bytes / 4 * 3, 2 * slots * shape.neighbours_at));
	}

	bool
	is_dead(Address a) const
	{
		return dead_->test(a);
	}

	void
	begin()
	{
		/* After 2^32 owners an old copy may look as if in use: it is kept once more. */
		owner_++;
	}

	/* The copy, until begin(); NULL: no such record, or no room for its copy. */
	const uint8_t *
	find(Address a)
	{
		return is_dead(a) ? whole_.find(a, owner_) : heads_.find(a, owner_);
	}

private:
	const graph::SlotSet *dead_;
	CopySets whole_;
	CopySets heads_;
	uint32_t owner_;
};

} // namespace omendb::store::vacuum

#endif
