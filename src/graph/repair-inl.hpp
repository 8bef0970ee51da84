/*
 * repair-inl.hpp - a list that has lanes to dead nodes, made good from the dead
 * nodes' own records.
 *
 * As in FreshDiskANN's consolidation: who was near a dead neighbour is a good
 * candidate to take its place. The dead records score their neighbours by one
 * FastScan each with the owner's tables; dead ones among these are gone through
 * in turn, nearest first (Qdrant's healer does so). The best are read, and
 * selected beside the neighbours that stay, which nothing is asked of. Of each dead
 * neighbour that was diverse the best candidate is read, however far: the way to
 * another cluster is never among the nearest.
 *
 * Works on a copy of the record. The Records have
 *
 *   bool is_dead(Address a) const    noted as dead
 *   void begin()                     a new owner
 *   const uint8_t *find(Address a)   header, vector and, of a dead record, lists and
 *                                    codes, in the shape `wide`, which has room for
 *                                    all of a value; stable until begin(); NULL: do
 *                                    without
 *
 * Plain records have no codes: there a dead record's neighbours are read, for the
 * true distance.
 */
#ifndef OMENDB_GRAPH_REPAIR_INL_HPP
#define OMENDB_GRAPH_REPAIR_INL_HPP

#include "graph/rehang-inl.hpp"

namespace omendb::graph
{

/* Memory of a ListRepair: what its caller allocates once. */
struct RepairMemory
{
	float *own;         /* dim floats */
	float *other;       /* dim floats */
	void *query_memory; /* quant::query_bytes() */
};

template <typename Records>
class ListRepair
{
public:
	void
	init(Records *records, const quant::Space *space, const Shape *shape, const Shape *wide,
		 const RepairMemory &memory)
	{
		records_ = records;
		space_ = space;
		shape_ = shape;
		wide_ = wide;
		m_ = memory;
		epoch_ = 0;
		memset(seen_, 0, sizeof(seen_));
	}

	/* Whether the list has a lane to a dead node. */
	bool
	is_damaged(const uint8_t *record) const
	{
		const uint32_t *links = neighbours(*shape_, record);

		for (uint32_t lane = 0; lane < shape_->max_links; lane++)
		{
			if (links[lane] != kNoAddress && records_->is_dead(links[lane]))
				return true;
		}
		return false;
	}

	/*
	 * Repair the copy. hung: what became of the components that hang on the owner;
	 * a protected lane to a dead node that is not among them, or not complete,
	 * stays. Returns whether no lane to a dead node is left.
	 */
	bool
	repair(Address owner, uint8_t *record, const Rehung *hung, size_t hung_count)
	{
		owner_ = owner;
		record_ = record;
		whole_ = record;
		whole_shape_ = shape_;
		prepared_ = false;
		border_count_ = found_count_ = apart_count_ = 0;
		records_->begin();
		forget();

		uint32_t before = list_state(*shape_, record).used;
		bool clean = drop_dead(hung, hung_count);
		uint32_t used = list_state(*shape_, record).used;
		lost_ = before - used;
		uint32_t wanted = refilled_links(before, used);
		if (wanted > used)
			refill(wanted - used);
		return clean;
	}

	/*
	 * Whether the list just repaired shall have new neighbours from a search as well: it
	 * stayed short; or it is of a level above 0, where no tree holds what has no other
	 * way, and lost a quarter of its places.
	 */
	bool
	is_thin() const
	{
		uint32_t places = shape_->max_links;

		return list_state(*shape_, record_).used < places * 3 / 4 ||
			   (header(record_)->level > 0 && lost_ > places / 4);
	}

private:
	struct Near
	{
		float distance; /* to the owner, or an estimate of it */
		Address address;
	};

	struct Seen
	{
		Address address;
		uint32_t epoch;
	};

	/* Dead records looked into for one list; beyond, a list has lost all it had. */
	static constexpr uint32_t kMaxExpanded = 24;
	static constexpr uint32_t kMaxBorder = 512;
	static constexpr uint32_t kMaxFound = 1024;
	static constexpr uint32_t kSeenSlots = 4096; /* a power of two */
	/* Candidates read for a place to fill, in halves, and at least. */
	static constexpr uint32_t kReadHalves = 8;
	static constexpr uint32_t kReadLeast = 6;
	static constexpr uint32_t kEnough8ths = 7;

	/*
	 * How many links the list shall have that had `before` and keeps `used`. One
	 * that keeps 7 of 8 places is left alone: an insertion may want the lanes.
	 */
	uint32_t
	refilled_links(uint32_t before, uint32_t used) const
	{
		uint32_t enough = shape_->max_links * kEnough8ths / 8;

		if (used >= enough)
			return used;
		return std::max(before, enough);
	}

	/* ---- lanes to dead nodes ---- */

	bool
	drop_dead(const Rehung *hung, size_t hung_count)
	{
		const uint32_t *links = neighbours(*shape_, (const uint8_t *) record_);
		bool clean = true;

		for (uint32_t lane = 0; lane < shape_->max_links; lane++)
		{
			Address dead = links[lane];
			if (dead == kNoAddress || !records_->is_dead(dead))
				continue;
			bool diverse = get_bit(diverse_mask(*shape_, record_), lane);
			if (get_bit(protected_mask(*shape_, record_), lane))
			{
				const Rehung *h = find_hung(dead, hung, hung_count);
				if (h == nullptr || !h->complete || !replace_by_heir(lane, h->heir))
				{
					clean = false;
					continue;
				}
			}
			else
				drop_link(*space_, *shape_, record_, lane);
			if (border_count_ >= kMaxBorder)
				continue;
			border_[border_count_] = Near{-1, dead};
			was_diverse_[border_count_++] = diverse;
		}
		return clean;
	}

	static const Rehung *
	find_hung(Address top, const Rehung *hung, size_t count)
	{
		for (size_t i = 0; i < count; i++)
		{
			if (hung[i].top == top)
				return &hung[i];
		}
		return nullptr;
	}

	/* The heir takes the place of the component in the tree. */
	bool
	replace_by_heir(uint32_t lane, Address heir)
	{
		const uint32_t *links = neighbours(*shape_, (const uint8_t *) record_);
		bool diverse = get_bit(diverse_mask(*shape_, record_), lane);

		for (uint32_t i = 0; heir != kNoAddress && i < shape_->max_links; i++)
		{
			if (links[i] != heir)
				continue;
			set_bit(protected_mask(*shape_, record_), i, true);
			heir = kNoAddress;
		}
		if (heir == kNoAddress)
		{
			drop_link(*space_, *shape_, record_, lane);
			return true;
		}
		const uint8_t *other = records_->find(heir);
		if (other == nullptr || !prepare())
			return false;
		put(lane, Link{heir, 0, other, true, diverse});
		return true;
	}

	void
	put(uint32_t lane, const Link &link)
	{
		quant::load_vector(*space_, vector_of(*wide_, link.record), header(link.record)->scale,
						   m_.other);
		quant::encode_lane(*space_, m_.other, m_.own, &code_);
		put_link(*space_, *shape_, record_, lane, link, code_);
	}

	/* The owner's vector and tables, when they are needed. False: they cannot be had. */
	bool
	prepare()
	{
		if (prepared_)
			return true;
		if (shape_->chunks > 0)
		{
			whole_ = records_->find(owner_);
			whole_shape_ = wide_;
			if (whole_ == nullptr)
				return false;
		}
		prepared_ = true;
		quant::load_vector(*space_, vector_of(*whole_shape_, whole_), header(whole_)->scale,
						   m_.own);
		quant::prepare_row_query(*space_, m_.own, m_.query_memory, &query_);
		return true;
	}

	/* Between the owner and another record. */
	float
	distance_to(const uint8_t *other) const
	{
		return quant::stored_distance(*space_, vector_of(*whole_shape_, whole_),
									  vector_meta(header(whole_)), vector_of(*wide_, other),
									  vector_meta(header(other)));
	}

	/* ---- candidates ---- */

	void
	forget()
	{
		epoch_++;
		seen_count_ = 0;
		if (epoch_ == 0)
		{
			memset(seen_, 0, sizeof(seen_));
			epoch_ = 1;
		}
	}

	/* Whether the address is met for the first time; false also when too many were. */
	bool
	remember(Address a)
	{
		if (seen_count_ >= kSeenSlots / 2)
			return false;
		for (uint32_t at = (a * 0x9E3779B1u) >> 20;; at++)
		{
			Seen *seen = &seen_[at % kSeenSlots];
			if (seen->epoch != epoch_)
			{
				*seen = Seen{a, epoch_};
				seen_count_++;
				return true;
			}
			if (seen->address == a)
				return false;
		}
	}

	/* Let the dead record score its neighbours. */
	void
	look_into(Address dead)
	{
		const uint8_t *other = records_->find(dead);
		float estimates[OMENDB_LANES];

		if (other == nullptr || header(other)->level != header(record_)->level)
			return;
		bool plain = quant::is_plain(*space_);
		float center = plain ? 0 : distance_to(other);
		for (uint32_t block = 0; block < shape_->blocks; block++)
		{
			const uint32_t *links = neighbours(*wide_, other) + block * OMENDB_LANES;
			if (!plain)
				(void) quant::scan_lanes(*space_, query_, code_block(*wide_, other, block), center,
										 std::numeric_limits<float>::infinity(), estimates);
			for (uint32_t lane = 0; lane < OMENDB_LANES; lane++)
			{
				Address a = links[lane];
				if (a != kNoAddress && remember(a) && (!plain || measure(a, &estimates[lane])))
					note_near(Near{estimates[lane], a});
			}
		}
	}

	/* The true distance of a plain record; false when there is none. */
	bool
	measure(Address a, float *distance)
	{
		const uint8_t *other = records_->find(a);

		if (other == nullptr || header(other)->state == (uint8_t) State::Free)
			return false;
		*distance = distance_to(other);
		return true;
	}

	void
	note_near(const Near &near)
	{
		bool dead_too = records_->is_dead(near.address);

		if (dead_too && border_count_ < kMaxBorder)
			border_[border_count_++] = near;
		if (!dead_too && found_count_ < kMaxFound)
			found_[found_count_++] = near;
	}

	static bool
	is_nearer(const Near &a, const Near &b)
	{
		return a.distance != b.distance ? a.distance < b.distance : a.address < b.address;
	}

	/*
	 * Look into the dead neighbours, then into the dead that those have, nearest
	 * first, until there are candidates enough.
	 */
	void
	gather(uint32_t first, uint32_t enough)
	{
		for (uint32_t i = 0; i < border_count_ && i < kMaxExpanded; i++)
		{
			if (i >= first)
			{
				if (found_count_ >= enough)
					break;
				std::swap(border_[i],
						  *std::min_element(border_ + i, border_ + border_count_, is_nearer));
			}
			uint32_t before = found_count_;
			look_into(border_[i].address);
			if (i < first && was_diverse_[i] && found_count_ > before)
				apart_[apart_count_++] =
					*std::min_element(found_ + before, found_ + found_count_, is_nearer);
		}
	}

	/* The nearest `most` candidates, and behind them those apart that are not among them. */
	void
	choose_candidates(uint32_t most)
	{
		if (found_count_ <= most)
			return;
		std::nth_element(found_, found_ + most, found_ + found_count_, is_nearer);
		Near first_left = found_[most];
		found_count_ = most;
		for (uint32_t i = 0; i < apart_count_; i++)
		{
			if (!is_nearer(apart_[i], first_left))
				found_[found_count_++] = apart_[i];
		}
	}

	/* ---- selection ---- */

	void
	refill(uint32_t places)
	{
		const uint32_t *links = neighbours(*shape_, (const uint8_t *) record_);
		uint32_t to_read = places * kReadHalves / 2;

		if (to_read < kReadLeast)
			to_read = kReadLeast;
		if (!prepare())
			return;
		(void) remember(owner_);
		for (uint32_t lane = 0; lane < shape_->max_links; lane++)
		{
			if (links[lane] != kNoAddress)
				(void) remember(links[lane]);
		}
		for (uint32_t i = 0; i < border_count_; i++)
			(void) remember(border_[i].address);
		gather(border_count_, to_read);
		if (found_count_ == 0)
			return;
		choose_candidates(to_read);
		size_t kept = stay_options();
		size_t n = kept + candidate_options(kept);
		if (n == kept)
			return;
		std::sort(options_, options_ + n,
				  [](const Option &a, const Option &b) {
					  return a.distance != b.distance ? a.distance < b.distance
													  : a.address < b.address;
				  });
		select_neighbours(*space_, *shape_, options_, n, kept + places);
		enter_picked(n);
	}

	Option
	option_for(Address address, const uint8_t *other, uint32_t lane, bool keep) const
	{
		const RecordHeader *h = header(other);

		return Option{distance_to(other),
					  address,
					  vector_of(*wide_, other),
					  h->scale,
					  h->self_dot,
					  lane,
					  keep,
					  false,
					  Pick::None};
	}

	bool
	is_usable(const uint8_t *other) const
	{
		return other != nullptr && header(other)->level == header(record_)->level &&
			   header(other)->state == (uint8_t) State::Live;
	}

	/* The neighbours that stay: they occlude candidates. */
	size_t
	stay_options()
	{
		const uint32_t *links = neighbours(*shape_, (const uint8_t *) record_);
		size_t n = 0;

		for (uint32_t lane = 0; lane < shape_->max_links; lane++)
		{
			if (links[lane] == kNoAddress || records_->is_dead(links[lane]))
				continue;
			const uint8_t *other = records_->find(links[lane]);
			if (is_usable(other))
				options_[n++] = option_for(links[lane], other, lane, true);
		}
		return n;
	}

	size_t
	candidate_options(size_t at)
	{
		size_t n = 0;

		for (uint32_t i = 0; i < found_count_ && at + n < kMaxOptions; i++)
		{
			const uint8_t *other = records_->find(found_[i].address);
			if (is_usable(other))
				options_[at + n++] = option_for(found_[i].address, other, kNoLane, false);
		}
		return n;
	}

	void
	enter_picked(size_t n)
	{
		for (size_t i = 0; i < n; i++)
		{
			const Option &option = options_[i];
			if (option.lane != kNoLane || option.pick == Pick::None)
				continue;
			uint32_t lane = list_state(*shape_, record_).free_lane;
			if (lane == kNoLane)
				return;
			/* The vector lies where its record has it. */
			const uint8_t *other = option.vector - wide_->vector_at;
			put(lane,
				Link{option.address, option.distance, other, false, option.pick == Pick::Diverse});
		}
	}

	static constexpr size_t kMaxOptions = kMaxLinks + kMaxFound;

	Records *records_;
	const quant::Space *space_;
	const Shape *shape_;
	const Shape *wide_;
	RepairMemory m_;
	quant::Query query_;
	quant::LaneCode code_;
	Address owner_;
	uint8_t *record_;
	const uint8_t *whole_; /* the owner with all of its value, once prepared */
	const Shape *whole_shape_;
	bool prepared_;
	uint32_t lost_; /* lanes to dead nodes that the list had */
	uint32_t border_count_;
	uint32_t found_count_;
	uint32_t epoch_;
	uint32_t seen_count_;
	uint32_t apart_count_;
	Near border_[kMaxBorder];
	bool was_diverse_[kMaxBorder]; /* the dead neighbours, which come first */
	Near apart_[kMaxExpanded];
	Near found_[kMaxFound];
	Seen seen_[kSeenSlots];
	Option options_[kMaxOptions];
};

} // namespace omendb::graph

#endif
