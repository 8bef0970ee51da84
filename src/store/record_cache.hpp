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

class RecordCache
{
public:
	/* bytes: about as much as may be taken. */
	void
	init(Vacuum *vacuum, Size bytes)
	{
		vacuum_ = vacuum;
		record_bytes_ = vacuum->shape.slot_bytes;
		sets_ = 16;
		while ((Size) sets_ * 2 * kWays * (record_bytes_ + sizeof(Tag)) <= bytes)
			sets_ *= 2;
		tags_ = (Tag *) MemoryContextAllocHuge(vacuum->context, sets_ * kWays * sizeof(Tag));
		for (uint32_t i = 0; i < sets_ * kWays; i++)
			tags_[i] = Tag{kNoAddress, 0};
		copies_ = (uint8_t *) MemoryContextAllocHuge(vacuum->context,
													 (Size) sets_ * kWays * record_bytes_);
		owner_ = 0;
		turn_ = 0;
	}

	bool
	is_dead(Address a) const
	{
		return vacuum_->dead.test(a);
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
		uint32_t first = ((a * 0x9E3779B1u) >> 7) % sets_ * kWays;
		uint32_t victim = kNoWay;

		for (uint32_t i = 0; i < kWays; i++)
		{
			Tag *tag = &tags_[first + i];
			if (tag->address == a)
			{
				tag->owner = owner_;
				return copies_ + (Size) (first + i) * record_bytes_;
			}
		}
		turn_++;
		for (uint32_t i = 0; i < kWays && victim == kNoWay; i++)
		{
			uint32_t at = first + (turn_ + i) % kWays;
			if (tags_[at].address == kNoAddress || tags_[at].owner != owner_)
				victim = at;
		}
		return victim == kNoWay ? nullptr : load(a, victim);
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
	load(Address a, uint32_t at)
	{
		uint8_t *copy = copies_ + (Size) at * record_bytes_;

		tags_[at].address = kNoAddress;
		if (!copy_record(vacuum_, a, copy))
			return nullptr;
		tags_[at] = Tag{a, owner_};
		return copy;
	}

	Vacuum *vacuum_;
	Tag *tags_;
	uint8_t *copies_;
	Size record_bytes_;
	uint32_t sets_; /* a power of two */
	uint32_t owner_;
	uint32_t turn_;
};

} // namespace omendb::store::vacuum

#endif
