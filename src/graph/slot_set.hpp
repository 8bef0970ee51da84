/*
 * slot_set.hpp - a set of addresses: a bit for every slot of the index.
 *
 * An address outside is in no set: what a damaged page says can be asked for.
 */
#ifndef OMENDB_GRAPH_SLOT_SET_HPP
#define OMENDB_GRAPH_SLOT_SET_HPP

#include "base/memory.hpp"
#include "graph/record.hpp"

namespace omendb::graph
{

class SlotSet
{
public:
	/* slots: records a page. An empty set over no blocks. */
	void
	init(const Memory *memory, uint32_t slots)
	{
		memory_ = memory;
		words_ = nullptr;
		word_count_ = 0;
		slots_ = slots;
		blocks_ = 0;
		count_ = 0;
	}

	/* Cover so many blocks; false when memory fails, the set unchanged. */
	bool
	grow(uint32_t blocks)
	{
		size_t wanted = ((size_t) blocks * slots_ + 63) / 64;

		if (wanted > word_count_)
		{
			void *p = memory_->resize(memory_->context, words_, wanted * sizeof(uint64_t));
			if (p == nullptr)
				return false;
			words_ = (uint64_t *) p;
			memset(words_ + word_count_, 0, (wanted - word_count_) * sizeof(uint64_t));
			word_count_ = wanted;
		}
		if (blocks > blocks_)
			blocks_ = blocks;
		return true;
	}

	bool
	test(Address a) const
	{
		if (!covers(a))
			return false;
		uint64_t n = number(a);
		return (words_[n / 64] >> (n % 64) & 1) != 0;
	}

	/* Whether it was not in the set and is now. */
	bool
	add(Address a)
	{
		if (!covers(a) || test(a))
			return false;
		uint64_t n = number(a);
		words_[n / 64] |= (uint64_t) 1 << (n % 64);
		count_++;
		return true;
	}

	void
	clear()
	{
		if (word_count_ > 0)
			memset(words_, 0, word_count_ * sizeof(uint64_t));
		count_ = 0;
	}

	uint64_t
	count() const
	{
		return count_;
	}

	uint32_t
	blocks() const
	{
		return blocks_;
	}

	/* Whether any slot of the block is in the set. */
	bool
	touches(uint32_t block) const
	{
		for (uint32_t slot = 0; slot < slots_; slot++)
		{
			if (test(make_address(block, slot)))
				return true;
		}
		return false;
	}

private:
	bool
	covers(Address a) const
	{
		return address_block(a) < blocks_ && address_slot(a) < slots_;
	}

	uint64_t
	number(Address a) const
	{
		return (uint64_t) address_block(a) * slots_ + address_slot(a);
	}

	const Memory *memory_;
	uint64_t *words_;
	size_t word_count_;
	uint64_t count_;
	uint32_t slots_;
	uint32_t blocks_;
};

} // namespace omendb::graph

#endif
