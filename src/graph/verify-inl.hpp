/*
 * verify-inl.hpp - does a graph at rest keep its promises?
 *
 * For tests: nothing may change the graph meanwhile. Besides space(), shape(),
 * record(), entry() and root() (store.hpp) the Store has
 *
 *   template <typename F> bool enumerate(F f)
 *       Calls f(address, record) for every slot, free ones too, until f returns
 *       false; returns whether f never did.
 *
 * and record() answers for every enumerated address. The rules:
 *
 *   header  state, level and counts in range, unlocked, down pointer on upper
 *           levels only, TIDs on level 0 only
 *   lanes   an occupied lane leads to another record of the same level, no two
 *           of a list to the same one; its factors are finite and its code is
 *           what encode_lane() gives; an empty lane has add = +inf, mul = 0 and
 *           no bit in a mask; lanes from max_links on are empty
 *   down    leads to the same vector one level lower
 *   tree    the protected links, at most half of a list, are a tree: from the
 *           root to every node of level 0, one link into each but the root
 *   entry   is on the highest level there is
 */
#ifndef OMENDB_GRAPH_VERIFY_INL_HPP
#define OMENDB_GRAPH_VERIFY_INL_HPP

#include "graph/insert-inl.hpp"

namespace omendb::graph
{

struct Problem
{
	const char *what; /* nullptr: none */
	Address address;
	uint32_t lane; /* kNoLane: the record as a whole */
};

/* A record, as the verifier remembers it. */
struct KnownRecord
{
	Address address;
	uint32_t level;
	uint32_t parents; /* protected links into it */
};

template <typename Store>
class Verifier
{
public:
	void
	init(Store *store, const Memory *memory)
	{
		store_ = store;
		known_.init(memory);
		stack_.init(memory);
		own_.init(memory);
		other_.init(memory);
	}

	/* The first problem found. */
	Problem
	run()
	{
		problem_ = Problem{nullptr, kNoAddress, kNoLane};
		known_.size = stack_.size = 0;
		highest_ = 0;
		nodes_ = 0;
		if (!own_.reserve(store_->shape().dim) || !other_.reserve(store_->shape().dim))
			return note("out of memory", kNoAddress), problem_;
		(void) (collect() && check_records() && check_tree() && check_entry());
		return problem_;
	}

	/* Records on all levels, and nodes. */
	size_t
	records() const
	{
		return known_.size;
	}

	size_t
	nodes() const
	{
		return nodes_;
	}

private:
	/* Always false: what a rule that is broken returns. */
	bool
	note(const char *what, Address address, uint32_t lane = kNoLane)
	{
		if (problem_.what == nullptr)
			problem_ = Problem{what, address, lane};
		return false;
	}

	KnownRecord *
	known(Address address)
	{
		KnownRecord *end = known_.data + known_.size;
		KnownRecord *at = std::lower_bound(known_.data, end, address,
										   [](const KnownRecord &record, Address a)
										   { return record.address < a; });

		return at != end && at->address == address ? at : nullptr;
	}

	/* Every record that is not free, sorted by address. */
	bool
	collect()
	{
		bool all = store_->enumerate(
			[this](Address address, const uint8_t *record)
			{
				if (header(record)->state == (uint8_t) State::Free)
					return header(record)->tid_count == 0 || note("free slot with TIDs", address);
				if (!check_header(address, header(record)))
					return false;
				uint32_t level = header(record)->level;
				highest_ = level > highest_ ? level : highest_;
				nodes_ += level == 0;
				return known_.push(KnownRecord{address, level, 0}) ||
					   note("out of memory", address);
			});
		if (!all)
			return false;
		std::sort(known_.data, known_.data + known_.size,
				  [](const KnownRecord &a, const KnownRecord &b) { return a.address < b.address; });
		for (size_t i = 1; i < known_.size; i++)
		{
			if (known_[i].address == known_[i - 1].address)
				return note("address enumerated twice", known_[i].address);
		}
		return true;
	}

	bool
	check_header(Address address, const RecordHeader *h)
	{
		if (h->state > (uint8_t) State::Dead)
			return note("state out of range", address);
		if (h->level > OMENDB_MAX_LEVEL)
			return note("level out of range", address);
		if (h->lock != 0)
			return note("locked", address);
		if (h->answers > most_answers(store_->space(), store_->shape().max_links))
			return note("more answers than allowed", address);
		if ((store_->shape().chunks == 0 && h->rest != 0) || (h->flags & ~kFlagUniform) != 0)
			return note("reserved bytes in use", address);
		if (h->tid_count > kInlineTids)
			return note("too many TIDs", address);
		if (h->overflow != kNoAddress && h->tid_count < kInlineTids)
			return note("overflow before the record is full", address);
		bool has_tids = h->tid_count > 0;
		if (h->level > 0 ? has_tids : has_tids == (h->state == (uint8_t) State::Dead))
			return note("TIDs do not fit state and level", address);
		if (!(h->self_dot >= 0 && h->self_dot <= std::numeric_limits<float>::max()) ||
			!(h->scale >= 0 && h->scale <= std::numeric_limits<float>::max()))
			return note("scale or self_dot out of range", address);
		if (!(h->residual >= 0))
			return note("residual out of range", address);
		return true;
	}

	bool
	check_records()
	{
		for (size_t i = 0; i < known_.size; i++)
		{
			Address address = known_[i].address;
			const uint8_t *record = store_->record(address);
			if (record == nullptr)
				return note("enumerated, but not found by its address", address);
			if (store_->shape().chunks == 0)
				quant::load_vector(store_->space(), vector_of(store_->shape(), record),
								   header(record)->scale, own_.data);
			if (!check_down(address, record) || !check_lanes(address, record) ||
				!check_protected(address, record))
				return false;
		}
		return true;
	}

	bool
	check_down(Address address, const uint8_t *record)
	{
		const Shape &shape = store_->shape();
		const RecordHeader *h = header(record);

		if (h->level == 0)
			return h->down == kNoAddress || note("down pointer on level 0", address);
		const KnownRecord *below = known(h->down);
		if (below == nullptr || below->level + 1 != h->level)
			return note("down pointer does not lead one level down", address);
		const uint8_t *other = store_->record(h->down);
		if (header(other)->scale != h->scale || header(other)->self_dot != h->self_dot ||
			memcmp(vector_of(shape, record), vector_of(shape, other),
				   std::min(shape.value_room, quant::stored_bytes(shape.storage, shape.dim))) != 0)
			return note("another vector one level down", address);
		return true;
	}

	bool
	check_lanes(Address address, const uint8_t *record)
	{
		const Shape &shape = store_->shape();
		const uint32_t *links = neighbours(shape, record);

		for (uint32_t lane = 0; lane < shape.blocks * OMENDB_LANES; lane++)
		{
			if (!quant::is_plain(store_->space()))
				quant::read_lane(store_->space(), code_block(shape, record, lane / OMENDB_LANES),
								 lane % OMENDB_LANES, &stored_);
			if (links[lane] == kNoAddress)
			{
				if (!check_empty(address, record, lane))
					return false;
				continue;
			}
			if (lane >= shape.max_links)
				return note("more than max_links", address, lane);
			for (uint32_t i = 0; i < lane; i++)
			{
				if (links[i] == links[lane])
					return note("the same neighbour twice", address, lane);
			}
			if (!check_link(address, record, lane) || !check_code(address, lane, links[lane]))
				return false;
		}
		return true;
	}

	bool
	check_empty(Address address, const uint8_t *record, uint32_t lane)
	{
		const Shape &shape = store_->shape();
		const uint32_t *mask = protected_mask(shape, record);

		if (!quant::is_plain(store_->space()) &&
			(stored_.add != std::numeric_limits<float>::infinity() || stored_.mul != 0))
			return note("an empty lane that scores", address, lane);
		if (get_bit(mask, lane) || get_bit(mask + shape.blocks, lane))
			return note("an empty lane in a mask", address, lane);
		return true;
	}

	bool
	check_link(Address address, const uint8_t *record, uint32_t lane)
	{
		Address to = neighbours(store_->shape(), record)[lane];

		if (to == address)
			return note("its own neighbour", address, lane);
		KnownRecord *target = known(to);
		if (target == nullptr)
			return note("neighbour does not exist", address, lane);
		if (target->level != header(record)->level)
			return note("neighbour on another level", address, lane);
		if (get_bit(protected_mask(store_->shape(), record), lane))
			target->parents++;
		return true;
	}

	bool
	check_code(Address address, uint32_t lane, Address to)
	{
		const quant::Space &space = store_->space();
		const Shape &shape = store_->shape();
		const uint8_t *record = store_->record(to);

		/* What continues in chunks only the server's check puts together. */
		if (quant::is_plain(space) || shape.chunks > 0)
			return true;
		constexpr float kLargest = std::numeric_limits<float>::max();
		if (!(stored_.add >= -kLargest && stored_.add <= kLargest) ||
			!(stored_.mul >= 0 && stored_.mul <= kLargest))
			return note("factors of a link are not finite", address, lane);
		quant::load_vector(space, vector_of(shape, record), header(record)->scale, other_.data);
		quant::encode_lane(space, other_.data, own_.data, &expected_);
		if (memcmp(&stored_.add, &expected_.add, sizeof(float)) != 0 ||
			memcmp(&stored_.mul, &expected_.mul, sizeof(float)) != 0)
			return note("wrong factors", address, lane);
		if (memcmp(stored_.planes, expected_.planes, shape.code_bits * shape.code_dim / 8) != 0)
			return note("wrong code", address, lane);
		return true;
	}

	bool
	check_protected(Address address, const uint8_t *record)
	{
		const Shape &shape = store_->shape();
		uint32_t count = list_state(shape, record).protected_count;

		if (header(record)->level > 0)
			return count == 0 || note("protected links on an upper level", address);
		return count <= max_protected(shape.max_links) || note("too many protected links", address);
	}

	/* One link into each node but the root, and no cycle: then it is a tree. */
	bool
	check_tree()
	{
		Address root = store_->root();

		if (nodes_ == 0)
			return root == kNoAddress || note("a root without nodes", root);
		KnownRecord *top = known(root);
		if (top == nullptr || top->level != 0)
			return note("the root is no node", root);
		for (size_t i = 0; i < known_.size; i++)
		{
			uint32_t wanted = known_[i].level == 0 && known_[i].address != root;
			if (known_[i].parents > wanted)
				return note("too many protected links lead here", known_[i].address);
			if (known_[i].parents < wanted)
				return note("no protected link leads here", known_[i].address);
		}
		return walk_tree(root);
	}

	bool
	walk_tree(Address root)
	{
		const Shape &shape = store_->shape();
		size_t reached = 0;

		if (!stack_.push(root))
			return note("out of memory", root);
		while (stack_.size > 0)
		{
			const uint8_t *record = store_->record(stack_[--stack_.size]);
			reached++;
			for (uint32_t lane = 0; lane < shape.max_links; lane++)
			{
				if (get_bit(protected_mask(shape, record), lane) &&
					!stack_.push(neighbours(shape, record)[lane]))
					return note("out of memory", root);
			}
		}
		return reached == nodes_ || note("the root does not reach every node", root);
	}

	bool
	check_entry()
	{
		EntryPoint entry = store_->entry();

		if (nodes_ == 0)
			return entry.address == kNoAddress ||
				   note("an entry point without nodes", entry.address);
		const KnownRecord *top = known(entry.address);
		if (top == nullptr || top->level != entry.level)
			return note("the entry point is not on its level", entry.address);
		return entry.level == highest_ || note("a level above the entry point", entry.address);
	}

	Store *store_;
	Problem problem_;
	Array<KnownRecord> known_;
	Array<Address> stack_;
	Array<float> own_;   /* x^ of the record being checked */
	Array<float> other_; /* x^ of one of its neighbours */
	quant::LaneCode stored_;
	quant::LaneCode expected_;
	size_t nodes_;
	uint32_t highest_;
};

} // namespace omendb::graph

#endif
