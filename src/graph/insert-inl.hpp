/*
 * insert-inl.hpp - one row into the graph.
 *
 * Algorithm 1 of the HNSW paper. In order:
 *   1. search every level from the entry point down, no locks;
 *   2. equal bytes found: the row's TID joins that node, done;
 *   3. write the new records, bottom level first, neighbours and codes filled;
 *   4. level 0: one earlier node adopts the new one (a protected lane that
 *      pruning keeps): the protected links are a tree over all nodes;
 *   5. back-links from all its neighbours (only from the diverse ones: SIFT recall
 *      .950 instead of .965 at 38 hops, for 8 % less build time);
 *   6. the entry point, when the new node is higher.
 *
 * A list is pruned only when full, and then to `pruned_links`, so that most
 * back-links cost a lane and no distances (slack: DiskANN, faiss).
 */
#ifndef OMENDB_GRAPH_INSERT_INL_HPP
#define OMENDB_GRAPH_INSERT_INL_HPP

#include "graph/link-inl.hpp"
#include "quant/value.hpp"

namespace omendb::graph
{

/* Everything one inserting process reuses from row to row. */
struct InsertMemory
{
	Pool pool;
	Array<Candidate> starts;
	Array<Candidate> scratch;
	Array<Candidate> found[OMENDB_MAX_LEVEL + 1];
	Array<Option> options;
	quant::LaneCode code;
	float *own;      /* dim floats: x^ of the row being inserted */
	float *other;    /* dim floats */
	uint8_t *stored; /* its stored bytes */
	void *query_memory;

	void init(const Memory *memory);
	bool allocate(const quant::Space &space, const Memory *memory);
};

inline void
InsertMemory::init(const Memory *memory)
{
	pool.init(memory);
	starts.init(memory);
	scratch.init(memory);
	for (Array<Candidate> &level : found)
		level.init(memory);
	options.init(memory);
	own = other = nullptr;
	stored = nullptr;
	query_memory = nullptr;
}

inline bool
InsertMemory::allocate(const quant::Space &space, const Memory *memory)
{
	auto get = [memory](size_t size)
	{
		return memory->resize(memory->context, nullptr, size);
	};

	own = (float *) get(space.dim * sizeof(float));
	other = (float *) get(space.dim * sizeof(float));
	stored = (uint8_t *) get(quant::stored_bytes(space.storage, space.dim));
	query_memory = get(quant::query_bytes(space));
	return own && other && stored && query_memory;
}

template <typename Store>
class Inserter
{
public:
	/* memory outlives the inserter; ef: width of the search on the node's levels. */
	void
	init(Store *store, InsertMemory *memory, size_t ef)
	{
		store_ = store;
		m_ = memory;
		ef_ = ef;
	}

	/*
	 * Insert a transformed row (dim floats). level: from level_for(); the store
	 * has level + 1 slots and a TID part in reserve, so that nothing allocates
	 * once records are being written.
	 */
	OmendbStatus
	insert(const float *row, float excess, const Row &tid_row, uint32_t level)
	{
		const quant::Space &space = store_->space();
		quant::store_vector(space, row, excess, m_->stored, &meta_);
		quant::load_vector(space, m_->stored, meta_.scale, m_->own);
		quant::prepare_row_query(space, row, m_->query_memory, &query_);
		store_->set_row(m_->stored, meta_);
		row_ = tid_row;
		row_.residual = meta_.residual;

		EntryPoint entry = store_->entry();
		bool locked = entry.address == kNoAddress || level > entry.level;
		if (locked)
		{
			store_->lock_entry();
			entry = store_->entry();
		}
		OmendbStatus status = find_neighbours(entry, level, 0);
		if (status == OMENDB_OK && !join_equal_node())
			link_levels(entry, level, 0, kNoAddress);
		if (locked)
			store_->unlock_entry();
		return status;
	}

	/*
	 * Insert a stored vector on the levels 1 to `level` of a store that has no
	 * level 0. down: its record there. One process only. Each level gets protected links
	 * of its own: a tree as long as no node is higher than the first. Without, a third of
	 * level 1 was out of reach where a few nodes are near to all (sparse vectors, L2).
	 */
	OmendbStatus
	insert_above(const uint8_t *stored, const quant::StoredMeta &meta, uint32_t level, Address down)
	{
		const quant::Space &space = store_->space();
		size_t size = quant::stored_size(space, stored);
		memcpy(m_->stored, stored, size);
		memset(m_->stored + size, 0, quant::stored_bytes(space.storage, space.dim) - size);
		meta_ = meta;
		quant::load_vector(space, m_->stored, meta_.scale, m_->own);
		quant::prepare_row_query(space, m_->own, m_->query_memory, &query_);
		store_->set_row(m_->stored, meta_);

		EntryPoint entry = store_->entry();
		OmendbStatus status = find_neighbours(entry, level, 1);
		if (status == OMENDB_OK)
			link_levels(entry, level, 1, down);
		return status;
	}

private:
	/* Step 1: candidates on every level the node will be on, down to `lowest`. */
	OmendbStatus
	find_neighbours(EntryPoint entry, uint32_t level, uint32_t lowest)
	{
		SearchMemory memory = {&m_->pool, &m_->starts, &m_->scratch};
		return search_levels(
			*store_, query_, Levels{entry, level, lowest}, memory, m_->found,
			[this](uint32_t l, const Array<Candidate> *starts)
			{ return search_level(*store_, m_->pool, query_, l, ef_, starts, &m_->found[l]); });
	}

	/* Step 2: a node with the same bytes takes the TID. */
	bool
	join_equal_node()
	{
		constexpr size_t kLook = 4; /* rounding may put another just before it */
		const quant::Space &space = store_->space();
		size_t bytes = quant::stored_bytes(space.storage, space.dim);
		const Array<Candidate> &found = m_->found[0];

		for (size_t i = 0; i < found.size && i < kLook; i++)
		{
			const uint8_t *record = store_->record(found[i].address);
			if (record == nullptr || header(record)->scale != meta_.scale ||
				memcmp(vector_of(store_->shape(), record), m_->stored, bytes) != 0)
				continue;
			if (store_->add_tid(found[i].address, row_))
				return true;
		}
		return false;
	}

	/* Steps 3 to 6. */
	void
	link_levels(EntryPoint entry, uint32_t level, uint32_t lowest, Address below)
	{
		for (uint32_t l = lowest; l <= level; l++)
		{
			size_t options = gather_options(l);
			size_t limit = pruned_links(store_->shape().max_links);
			select_neighbours(store_->space(), store_->shape(), m_->options.data, options, limit);
			Address address = store_->allocate(l);
			write_record(address, l, below, options);
			if (l == 0 || lowest > 0)
				adopt(address, l);
			link_back(address, options);
			below = address;
		}
		if (entry.address == kNoAddress || level > entry.level)
			store_->set_entry(EntryPoint{below, level});
	}

	Option
	option_for(float distance, Address address, const uint8_t *record, uint32_t lane, bool keep)
	{
		const RecordHeader *h = header(record);

		return Option{distance, address,     vector_of(store_->shape(), record),
					  h->scale, h->self_dot, lane,
					  keep,     false,       Pick::None};
	}

	/* The candidates of a level as options, nearest first; at most ef of them. */
	size_t
	gather_options(uint32_t level)
	{
		const Array<Candidate> &found = m_->found[level];
		size_t n = 0;

		m_->options.size = 0;
		if (!m_->options.reserve(ef_ + kMaxLinks + 1))
			return 0;
		for (size_t i = 0; i < found.size && n < ef_; i++)
		{
			const uint8_t *record = store_->record(found[i].address);
			if (record == nullptr)
				continue;
			m_->options[n++] =
				option_for(found[i].distance, found[i].address, record, kNoLane, false);
		}
		return n;
	}

	/* Step 3: nobody knows the address yet, so no lock. */
	void
	write_record(Address address, uint32_t level, Address down, size_t options)
	{
		const quant::Space &space = store_->space();
		const Shape &shape = store_->shape();
		uint8_t *record = store_->new_record(address);

		init_record(space, shape, record, level, down, meta_, m_->stored);
		if (level == 0)
		{
			RecordHeader *h = header(record);
			h->hash = row_.hash;
			h->tids[0] = row_.tid;
			h->tid_count = 1;
		}
		fill_list(space, shape, record, m_->own, m_->options.data, options);
	}

	/*
	 * Step 4: the nearest node with room for a protected link; the first node is the root.
	 * A level above, where asked for: its first node has nobody to adopt it.
	 */
	void
	adopt(Address address, uint32_t level)
	{
		const Array<Candidate> &found = m_->found[level];

		if (level > 0 && found.size == 0)
			return;
		if (level == 0 && store_->root() == kNoAddress)
		{
			store_->set_root(address);
			return;
		}
		for (size_t i = 0; i < found.size; i++)
		{
			if (link_from(found[i].address, address, found[i].distance, true))
				return;
		}
		/* Everyone near is full: down the tree, whose leaves have room. */
		Address parent = found.size > 0 ? found[0].address : store_->root();
		while (!link_from(parent, address, distance_to(parent), true))
			parent = some_child(parent, address);
	}

	float
	distance_to(Address address)
	{
		/* begin_read: nobody may have looked there yet, and the store must be able to. */
		const uint8_t *record = store_->begin_read(address, kNoAddress);
		if (record == nullptr)
			return 0;
		float distance = store_->search_distance(query_, record);
		store_->end_read();
		return distance;
	}

	/* A child of a node whose protected lanes are all taken; another for another newcomer. */
	Address
	some_child(Address parent, Address newcomer)
	{
		const Shape &shape = store_->shape();
		const uint8_t *record = store_->begin_write(parent);
		const uint32_t *mask = protected_mask(shape, record);
		uint32_t count = list_state(shape, record).protected_count;
		uint32_t wanted =
			count > 0 ? (uint32_t) (mix64(((uint64_t) parent << 32) | newcomer) % count) : 0;
		Address child = parent;

		for (uint32_t lane = 0; lane < shape.max_links; lane++)
		{
			if (get_bit(mask, lane) && wanted-- == 0)
			{
				child = neighbours(shape, record)[lane];
				break;
			}
		}
		store_->end_write(parent);
		return child;
	}

	/* Step 5. */
	void
	link_back(Address address, size_t options)
	{
		/* link_from() reuses the options for pruning: remember who is to be told. */
		Array<Candidate> *chosen = &m_->scratch;

		chosen->size = 0;
		for (size_t i = 0; i < options; i++)
		{
			const Option &option = m_->options[i];
			if (option.pick == Pick::None)
				continue;
			if (!chosen->push(Candidate{option.distance, option.address, kNoAddress}))
				return;
		}
		for (size_t i = 0; i < chosen->size; i++)
		{
			if (i + 1 < chosen->size)
				store_->prefetch((*chosen)[i + 1].address);
			link_from((*chosen)[i].address, address, (*chosen)[i].distance, false);
		}
	}

	/*
	 * Enter the new node into another's list, pruning it when it is full.
	 * keep: as its protected link; false when no more may be protected.
	 */
	bool
	link_from(Address from, Address address, float distance, bool keep)
	{
		const quant::Space &space = store_->space();
		const Shape &shape = store_->shape();
		const uint8_t *centre = store_->record(from);

		if (centre == nullptr)
			return false;
		quant::load_vector(space, vector_of(shape, centre), header(centre)->scale, m_->other);
		quant::encode_lane(space, m_->own, m_->other, &m_->code);
		Link link{address, distance, store_->record(address), keep, keep};

		uint8_t *record = store_->begin_write(from);
		bool done = enter_link(record, link);
		store_->end_write(from);
		return done;
	}

	/* Under the record's lock. */
	bool
	enter_link(uint8_t *record, Link link)
	{
		const quant::Space &space = store_->space();
		const Shape &shape = store_->shape();
		ListState state = list_state(shape, record);

		if (link.keep && state.protected_count >= max_protected(shape.max_links))
			return false;
		if (!link.keep && find_lane(shape, record, link.address) != kNoLane)
			return true;
		if (state.free_lane != kNoLane)
		{
			put_link(space, shape, record, state.free_lane, link, m_->code);
			return true;
		}
		return prune(record, link);
	}

	/* Select anew among a full list and one newcomer. */
	bool
	prune(uint8_t *record, const Link &link)
	{
		const quant::Space &space = store_->space();
		const Shape &shape = store_->shape();
		const uint32_t *links = neighbours(shape, record);
		const uint32_t *mask = protected_mask(shape, record);
		Option options[kMaxLinks + 1];
		size_t n = 0;

		for (uint32_t lane = 0; lane < shape.max_links; lane++)
			store_->prefetch_vector(links[lane]);
		for (uint32_t lane = 0; lane < shape.max_links; lane++)
		{
			const uint8_t *other = store_->record(links[lane]);
			if (other != nullptr)
				options[n++] = option_for(record_distance(space, shape, record, other), links[lane],
										  other, lane, get_bit(mask, lane));
			else if (!get_bit(mask, lane))
				drop_link(space, shape, record, lane);
		}
		options[n++] = option_for(link.distance, link.address, link.record, kNoLane, link.keep);
		std::sort(options, options + n,
				  [](const Option &a, const Option &b) {
					  return a.distance != b.distance ? a.distance < b.distance
													  : a.address < b.address;
				  });
		select_neighbours(space, shape, options, n, pruned_links(shape.max_links));
		return apply_selection(record, options, n, link);
	}

	bool
	apply_selection(uint8_t *record, const Option *options, size_t n, const Link &link)
	{
		const quant::Space &space = store_->space();
		const Shape &shape = store_->shape();
		bool entered = false;
		Link newcomer = link;

		for (size_t i = 0; i < n; i++)
		{
			if (options[i].lane == kNoLane)
			{
				entered = options[i].pick != Pick::None;
				newcomer.diverse = options[i].pick == Pick::Diverse;
			}
			else if (options[i].pick == Pick::None)
				drop_link(space, shape, record, options[i].lane);
			else
				set_bit(diverse_mask(shape, record), options[i].lane,
						options[i].pick == Pick::Diverse);
		}
		if (!entered)
			return false;
		uint32_t lane = list_state(shape, record).free_lane;
		if (lane == kNoLane)
			return false;
		put_link(space, shape, record, lane, newcomer, m_->code);
		return true;
	}

	Store *store_;
	InsertMemory *m_;
	size_t ef_;
	quant::Query query_;
	quant::StoredMeta meta_;
	Row row_;
};

} // namespace omendb::graph

#endif
