/*
 * insert.cpp - one row into the graph on pages: src/README, "INSERT".
 *
 * The search keeps a copy of every node it expands, so that choosing neighbours
 * reads no page again. Then each neighbour's page is locked once, for the link
 * back, and decides from its own bytes (graph/link-inl.hpp).
 */
#include "store/insert_state.hpp"

extern "C"
{
#include "utils/memutils.h"
}

#include "quant/value.hpp"
#include "store/constants.hpp"
#include "store/shape.hpp"

namespace omendb::store
{

namespace
{

/* Searches of one row that ended at an equal node which was another one when it was locked. */
constexpr uint32_t kJoinAttempts = 4;
/* Searches of one row that led nowhere: only what is damaged does that for long. */
constexpr uint32_t kAttempts = 100;
/* Dead nodes that a search may expand, in windows. */
constexpr size_t kDeadWindows = 16;

/* Hints of this backend, for all insertions. */
RecentBuffers recent_buffers;

/*
 * A node that was alive when this backend last met it or wrote it: where to search when all
 * that the entry point leads to is dead. It may be any other by now, or nothing.
 */
struct LiveNode
{
	Oid index;
	Address address;
};

LiveNode recent_live;

/* Copies what is expanded; on level 0 a node of equal bytes ends the search. */
struct CopyVisitor
{
	OmendbInsert *s;
	Array<Copy> *out;
	bool join;
	size_t live; /* nodes of out that are */
	size_t most; /* nodes of out that are not */

	float
	distance(const quant::Query &query, const uint8_t *record)
	{
		return s->store.search_distance(query, record);
	}

	bool
	visit(Address address, const uint8_t *record, float distance)
	{
		const RecordHeader *h = graph::header(record);
		size_t bytes = quant::stored_bytes(s->shape.storage, s->shape.dim);
		const uint8_t *vector = s->store.value();
		size_t size = quant::stored_size(s->space, vector);
		uint32_t protected_count = 0;

		for (uint32_t block = 0; block < s->shape.blocks; block++)
			protected_count += popcount32(graph::protected_mask(s->shape, record)[block]);
		Copy copy = {distance,      address,     h->down,
					 h->scale,      h->self_dot, (uint32_t) (s->vectors.size / bytes),
					 h->generation, h->state,    (uint8_t) protected_count};
		(void) s->vectors.reserve(s->vectors.size + bytes);
		memcpy(s->vectors.data + s->vectors.size, vector, size);
		s->vectors.size += bytes;
		(void) out->push(copy);
		live += h->state == (uint8_t) State::Live;
		if (join && h->state == (uint8_t) State::Live && h->scale == s->row_meta.scale &&
			h->self_dot == s->row_meta.self_dot &&
			size == quant::stored_size(s->space, s->stored) && memcmp(vector, s->stored, size) == 0)
		{
			s->equal = copy;
			s->joinable = true;
		}
		return h->state == (uint8_t) State::Live;
	}

	/* Memory is palloc'd: it raises an error instead. */
	bool
	failed() const
	{
		return false;
	}

	bool
	done() const
	{
		return s->joinable || out->size - live >= most;
	}
};

/* How many dead nodes a search of one level expands at most. */
size_t
most_dead(const OmendbInsert *s)
{
	return kDeadWindows * s->meta.ef_construction;
}

/*
 * Dead nodes, which are many while VACUUM is at work, have kept the live ones behind them
 * out of the pool. Once more: what is not let in is kept, and comes in when those run out.
 */
void
collect_beyond(OmendbInsert *s, uint32_t level, const Array<graph::Candidate> *starts,
			   CopyVisitor *visitor)
{
	visitor->out->size = visitor->live = 0;
	visitor->most = most_dead(s);
	(void) graph::begin_level(s->pool, s->meta.ef_construction, true, starts);
	(void) graph::run_search(s->store, s->pool, s->query, level, *visitor);
}

/* Level by level; nearest first. */
OmendbStatus
collect(OmendbInsert *s, uint32_t level, const Array<graph::Candidate> *starts)
{
	Array<Copy> *out = &s->found[level];
	bool plain = quant::is_plain(s->space);
	/* Without estimates nothing is kept out, and the search goes on among the dead by itself. */
	size_t most = plain ? most_dead(s) : SIZE_MAX;
	CopyVisitor visitor = {s, out, level == 0 && s->join_allowed, 0, most};

	out->size = 0;
	(void) graph::visit_level(s->store, s->pool, s->query, level, s->meta.ef_construction, starts,
							  visitor);
	if (!plain && visitor.live < out->size && visitor.live < s->shape.max_links && !s->joinable)
		collect_beyond(s, level, starts, &visitor);
	std::sort(out->data, out->data + out->size, graph::nearer<Copy>);
	return OMENDB_OK;
}

void
count_live(OmendbInsert *s)
{
	s->live = 0;
	for (size_t i = 0; i < s->found[0].size; i++)
		s->live += s->found[0][i].state == (uint8_t) State::Live;
}

/* From the entry point, on levels `level` to `lowest`. */
void
search(OmendbInsert *s, uint32_t level, uint32_t lowest)
{
	graph::EntryPoint entry = {s->meta.entry, s->meta.entry_level};

	s->joinable = false;
	s->vectors.size = 0;
	graph::SearchMemory memory = {&s->pool, &s->starts, &s->scratch};
	(void) graph::search_levels(
		s->store, s->query, graph::Levels{entry, level, lowest}, memory, s->found,
		[s](uint32_t l, const Array<graph::Candidate> *starts) { return collect(s, l, starts); });
	s->store.release();
	count_live(s);
}

/* Level 0 from one node. */
void
search_from(OmendbInsert *s, Address start)
{
	s->starts.size = 0;
	(void) s->starts.push(graph::Candidate{0, start, kNoAddress});
	s->joinable = false;
	(void) collect(s, 0, &s->starts);
	s->store.release();
	count_live(s);
}

void
remember_live(const OmendbInsert *s, Address address)
{
	recent_live = LiveNode{RelationGetRelid(s->index), address};
}

/*
 * Where the search met dead nodes alone, or no way led down from the entry point: from
 * the live node met last, from the root, then from any live node of the tree, which may
 * take a walk of all of it. False: there is one, and it was not found again. True with
 * s->live 0: no node is alive, and none can become so, since a node enters the tree below
 * a live one only.
 */
bool
search_tree(OmendbInsert *s)
{
	if (recent_live.index == RelationGetRelid(s->index))
		search_from(s, recent_live.address);
	if (s->live == 0)
		search_from(s, s->meta.root);
	if (s->live > 0)
		return true;
	Address live = find_live(s);
	if (live == kNoAddress)
		return true;
	remember_live(s, live);
	search_from(s, live);
	return s->live > 0;
}

/* Entry point and root as they are now; all else of the meta page never changes. */
void
read_entry(OmendbInsert *s)
{
	Buffer buffer = s->store.pin_page(OMENDB_META_BLOCK);
	OmendbMetaPage now;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	const char *problem = omendb_page_problem(BufferGetPage(buffer), OMENDB_PAGE_META);
	if (problem != nullptr)
		omendb_page_damaged(s->index, OMENDB_META_BLOCK, problem);
	memcpy(&now, PageGetContents(BufferGetPage(buffer)), sizeof(now));
	UnlockReleaseBuffer(buffer);
	if (memcmp(&now, &s->meta, offsetof(OmendbMetaPage, entry)) != 0)
		omendb_page_damaged(s->index, OMENDB_META_BLOCK, "parameters have changed");
	if (now.entry_level > OMENDB_MAX_LEVEL || (now.entry == kNoAddress) != (now.root == kNoAddress))
		omendb_page_damaged(s->index, OMENDB_META_BLOCK, "entry point is out of range");
	s->meta.entry = now.entry;
	s->meta.entry_level = now.entry_level;
	s->meta.root = now.root;
	s->meta.query_length = s->space.query_length = now.query_length;
}

/*
 * Searches must know of a row that is longer than the radius and all others before it can
 * be met. By twice what it wants, so that growing lengths rarely change the meta page.
 */
void
raise_query_length(OmendbInsert *s)
{
	float wanted = quant::query_length_for(s->space, std::sqrt(s->row_meta.self_dot));

	if (wanted <= s->meta.query_length)
		return;
	Buffer buffer =
		omendb_read_page(s->index, OMENDB_META_BLOCK, OMENDB_PAGE_META, BUFFER_LOCK_EXCLUSIVE);
	OmendbMetaPage meta;

	memcpy(&meta, PageGetContents(BufferGetPage(buffer)), sizeof(meta));
	if (wanted > meta.query_length)
	{
		OmendbChange *change = &s->changes[0];

		meta.query_length = 2 * wanted;
		omendb_change_begin(change, buffer);
		omendb_change_compare(change, OMENDB_PAGE_HEADER, &meta, sizeof(meta));
		omendb_change_apply(s->index, &change, 1);
	}
	UnlockReleaseBuffer(buffer);
	s->meta.query_length = s->space.query_length = meta.query_length;
}

/* ---- the record of one level ---- */

/* What a level's search met, for lists that have no codes. */
void
remember_values(OmendbInsert *s, const Array<Copy> &found)
{
	s->known.size = 0;
	for (size_t i = 0; i < found.size; i++)
		(void) s->known.push(
			graph::KnownValue{found[i].address, vector_of_copy(s, found[i].vector)});
	std::sort(s->known.data, s->known.data + s->known.size,
			  [](const graph::KnownValue &a, const graph::KnownValue &b)
			  { return a.address < b.address; });
	s->link.known = s->known.data;
	s->link.known_count = s->known.size;
}

/* The nearest options of a kind get links back, up to `left`; returns what is left of it. */
uint32_t
choose_back(OmendbInsert *s, graph::Pick pick, uint32_t left)
{
	for (size_t i = 0; i < s->options.size && left > 0; i++)
	{
		if (s->options[i].pick != pick)
			continue;
		s->neighbours[i].back = true;
		left--;
	}
	return left;
}

/* The neighbours among what the search of that level found alive. */
void
select(OmendbInsert *s, uint32_t level)
{
	const Array<Copy> &found = s->found[level];
	size_t n = 0;

	s->neighbours.size = 0;
	(void) s->options.reserve(found.size);
	for (size_t i = 0; i < found.size && n < s->meta.ef_construction; i++)
	{
		const Copy &copy = found[i];
		/* Ours: VACUUM may have made it the entry point. */
		if (copy.state != (uint8_t) State::Live || copy.address == s->address)
			continue;
		s->options[n++] =
			graph::Option{copy.distance, copy.address,  vector_of_copy(s, copy.vector),
						  copy.scale,    copy.self_dot, graph::kNoLane,
						  false,         false,         graph::Pick::None};
		(void) s->neighbours.push(Neighbour{copy.address, copy.distance, copy.vector,
											copy.generation, false, false, false});
	}
	s->options.size = n;
	if (quant::is_plain(s->space))
		remember_values(s, found);
	uint32_t lanes = s->shape.max_links - (level == 0 ? (uint32_t) s->answers.size : 0);
	graph::select_neighbours(s->space, s->shape, s->options.data, n, graph::pruned_links(lanes));
	uint32_t left = graph::links_back(s->shape.max_links);
	left = choose_back(s, graph::Pick::Diverse, left);
	(void) choose_back(s, graph::Pick::Fill, left);
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
	{
		if (s->options[i].pick != graph::Pick::None)
			s->neighbours[kept++] = s->neighbours[i];
	}
	s->neighbours.size = kept;
	if (level == 0)
		add_answers(s);
}

void
compose(OmendbInsert *s, uint32_t level, Address down)
{
	graph::init_record(s->space, s->shape, s->record, level, down, s->row_meta, s->stored);
	if (level == 0)
	{
		RecordHeader *h = graph::header(s->record);
		h->hash = s->row.hash;
		h->tids[0] = s->row.tid;
		h->tid_count = 1;
	}
	if (has_rest(s))
	{
		if (!s->reserved)
			reserve_record(s);
		graph::header(s->record)->state = (uint8_t) State::Live;
		graph::header(s->record)->rest = s->rest;
	}
	graph::fill_list(s->space, s->shape, s->record, s->own, s->options.data, s->options.size);
	if (level == 0)
		put_answers(s);
}

/* ---- links back ---- */

/* One neighbour, whose page is locked. */
void
link_neighbour(OmendbInsert *s, OmendbChange *change, Neighbour *neighbour, uint32_t level)
{
	const uint8_t *record = s->store.record_on(BufferGetPage(change->buffer), neighbour->address);
	const RecordHeader *h = graph::header(record);

	if (record == nullptr || h->state != (uint8_t) State::Live || h->level != level ||
		h->generation != neighbour->generation)
	{
		neighbour->gone = true;
		return;
	}
	/* The parent has its link. */
	if (!neighbour->back || (level == 0 && neighbour->address == s->parent))
		return;
	graph::Newcomer newcomer = {s->address, s->own, &s->query, s->stored, neighbour->answer};
	s->link.owner_stored = s->shape.chunks > 0 ? vector_of_copy(s, neighbour->vector) : nullptr;
	memcpy(s->other, record, s->shape.slot_bytes);
	if (graph::enter_by_codes(s->space, s->shape, s->other, newcomer, neighbour->distance, false,
							  &s->link))
		omendb_change_compare(change, record_offset(s, neighbour->address), s->other,
							  s->shape.slot_bytes);
}

/* Lanes of the new record to nodes that were gone already. */
void
drop_gone(OmendbInsert *s)
{
	uint8_t *record;
	Buffer buffer = lock_record(s, s->address, BUFFER_LOCK_EXCLUSIVE, &record);

	if (record == nullptr)
		return;
	if (graph::header(record)->generation == s->generation &&
		graph::header(record)->state == (uint8_t) State::Live)
	{
		OmendbChange *change = &s->changes[0];

		memcpy(s->other, record, s->shape.slot_bytes);
		for (size_t i = 0; i < s->neighbours.size; i++)
		{
			uint32_t lane = graph::find_lane(s->shape, s->other, s->neighbours[i].address);
			if (s->neighbours[i].gone && lane != graph::kNoLane &&
				!graph::get_bit(graph::protected_mask(s->shape, s->other), lane))
				graph::drop_link(s->space, s->shape, s->other, lane);
		}
		omendb_change_begin(change, buffer);
		omendb_change_compare(change, record_offset(s, s->address), s->other, s->shape.slot_bytes);
		omendb_change_apply(s->index, &change, 1);
	}
	UnlockReleaseBuffer(buffer);
	OMENDB_FAULT(insert_dropped);
}

/* The neighbours from `first` on, whose page the change is of; where the next page's begin. */
size_t
link_page(OmendbInsert *s, OmendbChange *change, size_t first, uint32_t level)
{
	Array<Neighbour> &list = s->neighbours;
	BlockNumber block = address_block(list[first].address);
	size_t i = first;

	for (; i < list.size && address_block(list[i].address) == block; i++)
		link_neighbour(s, change, &list[i], level);
	return i;
}

/*
 * All neighbours, several pages in one WAL record: a record's own header is a fifth of
 * what a link back takes.
 */
void
link_back(OmendbInsert *s, uint32_t level)
{
	Array<Neighbour> &list = s->neighbours;
	OmendbChange *changes[OMENDB_MAX_CHANGES];
	Buffer buffers[OMENDB_MAX_CHANGES];
	bool gone = false;

	std::sort(list.data, list.data + list.size,
			  [](const Neighbour &a, const Neighbour &b) { return a.address < b.address; });
	for (size_t next = 0; next < list.size;)
	{
		int pages = 0;

		CHECK_FOR_INTERRUPTS();
		/* They may have to be read: before one is locked. */
		for (size_t i = next; i < list.size && pages < OMENDB_MAX_CHANGES; i++)
		{
			BlockNumber block = address_block(list[i].address);
			if (i > next && block == address_block(list[i - 1].address))
				continue;
			s->store.prefetch(list[i].address);
			buffers[pages++] = s->store.pin_page(block);
		}
		for (int page = 0; page < pages; page++)
		{
			changes[page] = &s->changes[page];
			LockBuffer(buffers[page], BUFFER_LOCK_EXCLUSIVE);
			omendb_change_begin(changes[page], buffers[page]);
			next = link_page(s, changes[page], next, level);
		}
		omendb_change_apply(s->index, changes, pages);
		for (int page = 0; page < pages; page++)
			UnlockReleaseBuffer(buffers[page]);
		OMENDB_FAULT(insert_linked);
	}
	for (size_t i = 0; i < list.size; i++)
		gone |= list[i].gone;
	if (gone)
		drop_gone(s);
}

/* ---- levels ---- */

/* The level-0 record: in the tree, linked. False: others changed what it needs. */
bool
insert_base(OmendbInsert *s)
{
	if (s->meta.entry == kNoAddress || s->live == 0)
	{
		s->options.size = s->neighbours.size = s->answers.size = 0;
		compose(s, 0, kNoAddress);
		if (!place_root(s))
			return false;
		OMENDB_FAULT(insert_rooted);
		s->meta.entry = s->meta.root = s->address;
		s->meta.entry_level = 0;
		return true;
	}
	find_answers(s);
	select(s, 0);
	compose(s, 0, kNoAddress);
	OMENDB_FAULT(insert_placing);
	if (!place_in_tree(s))
		return false;
	OMENDB_FAULT(insert_entered);
	link_back(s, 0);
	return true;
}

void
insert_level(OmendbInsert *s, uint32_t level)
{
	Address down = s->address;

	select(s, level);
	compose(s, level, down);
	place_above(s);
	OMENDB_FAULT(insert_above);
	link_back(s, level);
}

/* The entry point becomes our highest record, at s->address, if it is lower. */
bool
raise_entry(OmendbInsert *s, uint32_t level)
{
	Buffer buffer =
		omendb_read_page(s->index, OMENDB_META_BLOCK, OMENDB_PAGE_META, BUFFER_LOCK_EXCLUSIVE);
	OmendbMetaPage meta;
	bool higher;

	memcpy(&meta, PageGetContents(BufferGetPage(buffer)), sizeof(meta));
	higher = meta.entry != kNoAddress && level > meta.entry_level;
	if (higher)
	{
		OmendbChange *change = &s->changes[0];

		meta.entry = s->address;
		meta.entry_level = level;
		omendb_change_begin(change, buffer);
		omendb_change_compare(change, OMENDB_PAGE_HEADER, &meta, sizeof(meta));
		omendb_change_apply(s->index, &change, 1);
	}
	UnlockReleaseBuffer(buffer);
	if (higher)
		OMENDB_FAULT(insert_raised);
	return higher;
}

/*
 * Those that select() has chosen take lanes of a record, a copy of s->address's: free ones
 * first, then those of neighbours that were not chosen, but for protected links.
 */
void
put_chosen(OmendbInsert *s, uint8_t *record)
{
	bool chosen[graph::kMaxLinks] = {};
	uint32_t near = graph::lanes_of(s->shape, record, false).end;
	uint32_t lane = 0;

	for (size_t i = 0; i < s->options.size; i++)
	{
		uint32_t at = graph::find_lane(s->shape, record, s->options[i].address);
		if (s->options[i].pick != graph::Pick::None && at != graph::kNoLane)
			chosen[at] = true;
	}
	for (size_t i = 0; i < s->options.size; i++)
	{
		const graph::Option &option = s->options[i];
		if (option.pick == graph::Pick::None ||
			graph::find_lane(s->shape, record, option.address) != graph::kNoLane)
			continue;
		uint32_t to = graph::list_state(s->shape, record).free_lane;
		for (; to == graph::kNoLane && lane < near; lane++)
		{
			if (!chosen[lane] && !graph::get_bit(graph::protected_mask(s->shape, record), lane))
				to = lane;
		}
		if (to == graph::kNoLane)
			return;
		chosen[to] = true;
		quant::load_vector(s->space, option.vector, option.scale, s->link.owner);
		quant::encode_lane(s->space, s->link.owner, s->own, &s->link.code);
		graph::put_link(s->space, s->shape, record, to,
						graph::Link{option.address, option.distance, nullptr, false,
									option.pick == graph::Pick::Diverse},
						s->link.code);
	}
}

/*
 * More neighbours for the record s->address, from a new search of its level: in one WAL
 * record. if_empty: only if it has none. The links back are the caller's. False: the
 * address is another record's by now, and nothing has changed.
 */
bool
relink(OmendbInsert *s, uint32_t level, bool if_empty)
{
	uint8_t *record;

	select(s, level);
	Buffer buffer = lock_record(s, s->address, BUFFER_LOCK_EXCLUSIVE, &record);
	if (record == nullptr)
		return false;
	bool ours = graph::header(record)->generation == s->generation &&
				graph::header(record)->state == (uint8_t) State::Live;
	if (ours && s->options.size > 0 && (!if_empty || graph::list_state(s->shape, record).used == 0))
	{
		OmendbChange *change = &s->changes[0];

		memcpy(s->other, record, s->shape.slot_bytes);
		put_chosen(s, s->other);
		omendb_change_begin(change, buffer);
		omendb_change_compare(change, record_offset(s, s->address), s->other, s->shape.slot_bytes);
		omendb_change_apply(s->index, &change, 1);
	}
	UnlockReleaseBuffer(buffer);
	return ours;
}

/* Neighbours for a record above that was written while its level was empty. */
void
link_late(OmendbInsert *s, uint32_t level, Address address, uint16_t generation)
{
	s->address = address;
	s->generation = generation;
	search(s, level, level);
	(void) relink(s, level, true);
	OMENDB_FAULT(insert_linked_late);
	link_back(s, level);
}

/* Records on the levels above 0, and the entry point. s->address is the base. */
void
insert_above(OmendbInsert *s)
{
	Address addresses[OMENDB_MAX_LEVEL + 1];
	uint16_t generations[OMENDB_MAX_LEVEL + 1];
	uint32_t linked = s->meta.entry_level; /* the levels up to it were not empty */

	for (uint32_t l = 1; l <= s->level; l++)
	{
		if (l > s->meta.entry_level)
			s->found[l].size = 0;
		insert_level(s, l);
		addresses[l] = s->address;
		generations[l] = s->generation;
	}
	OMENDB_FAULT(insert_raising);
	/* Even when it was no lower: VACUUM may have put one in its place that is. */
	while (true)
	{
		CHECK_FOR_INTERRUPTS();
		read_entry(s);
		/* Whoever was quicker made levels that we found empty. */
		uint32_t last = std::min(s->level, s->meta.entry_level);
		for (uint32_t l = linked + 1; l <= last; l++)
			link_late(s, l, addresses[l], generations[l]);
		linked = std::max(linked, last);
		s->address = addresses[s->level];
		if (s->level <= s->meta.entry_level || s->meta.entry == kNoAddress ||
			raise_entry(s, s->level))
			break;
	}
}

/* Memory for one row after the other. */
void
allocate(OmendbInsert *s)
{
	s->memory = memory_in(s->context);
	s->pool.init(&s->memory);
	s->starts.init(&s->memory);
	s->scratch.init(&s->memory);
	s->vectors.init(&s->memory);
	s->options.init(&s->memory);
	s->neighbours.init(&s->memory);
	for (Array<Copy> &found : s->found)
		found.init(&s->memory);
	s->known.init(&s->memory);
	s->answers.init(&s->memory);
	allocate_asker(s);
	uint32_t bytes = quant::stored_bytes(s->shape.storage, s->shape.dim);
	if (!quant::is_plain(s->space))
	{
		s->transformed = (float *) palloc(s->shape.dim * sizeof(float));
		s->own = (float *) palloc(s->shape.dim * sizeof(float));
		s->link.owner = (float *) palloc(s->shape.dim * sizeof(float));
	}
	s->stored = (uint8_t *) palloc0(bytes);
	if (s->shape.chunks > 0)
	{
		s->rest_memory = (uint8_t *) palloc(bytes);
		s->owner = (uint8_t *) palloc(bytes);
	}
	s->query_memory = palloc(quant::query_bytes(s->space));
	s->link.query_memory = palloc(quant::query_bytes(s->space));
	s->changes = (OmendbChange *) palloc(OMENDB_MAX_CHANGES * sizeof(OmendbChange));
	s->record = (uint8_t *) palloc0(s->shape.slot_bytes);
	s->other = (uint8_t *) palloc0(s->shape.slot_bytes);
}

/* The row in the index's space. False: it has no place there. */
bool
take_row(OmendbInsert *s, const void *row, uint32 hash, ItemPointer tid)
{
	float excess;

	if (quant::is_plain(s->space))
	{
		const uint8_t *value = (const uint8_t *) row;
		size_t size = quant::stored_size(s->space, value);

		if (!quant::value_has_place(s->space, value))
			return false;
		memcpy(s->stored, value, size);
		memset(s->stored + size, 0, quant::stored_bytes(s->shape.storage, s->shape.dim) - size);
		s->row_meta = quant::StoredMeta{0, 0, 0};
	}
	else
	{
		if (!quant::transform_row(s->space, (const float *) row, s->transformed, &excess))
			return false;
		quant::store_vector(s->space, s->transformed, excess, s->stored, &s->row_meta);
		quant::load_vector(s->space, s->stored, s->row_meta.scale, s->own);
		if (s->asker != nullptr)
			prepare_asker(s, (const float *) row);
	}
	quant::prepare_row_query(s->space, s->transformed, s->query_memory, &s->query);
	s->reserved = false;
	s->address = kNoAddress;
	s->store.set_row(s->stored, s->row_meta);
	memcpy(&s->row.tid, tid, sizeof(s->row.tid));
	s->row.hash = hash;
	s->row.residual = s->row_meta.residual;
	s->level = graph::level_for(s->space.seed, s->row.tid);
	return true;
}

} // namespace

void
search_answers(OmendbInsert *s)
{
	CopyVisitor visitor = {s, &s->answers, false, 0, SIZE_MAX};
	graph::EntryPoint entry = {s->meta.entry, s->meta.entry_level};

	s->answers.size = 0;
	s->store.set_row(s->asker_stored, s->asker_meta);
	(void) graph::descend(s->store, s->pool, s->asker_query, entry, 0, &s->starts, &s->scratch);
	(void) graph::visit_level(s->store, s->pool, s->asker_query, 0, s->meta.ef_construction,
							  &s->starts, visitor);
	s->store.release();
	s->store.set_row(s->stored, s->row_meta);
	std::sort(s->answers.data, s->answers.data + s->answers.size, graph::nearer<Copy>);
}

namespace
{

/* A node in the place of a row that is being inserted. False: there is none, or not above. */
bool
take_node(OmendbInsert *s, Address address, bool above)
{
	const uint8_t *record = s->store.begin_read(address, kNoAddress);
	if (record == nullptr)
	{
		s->store.release();
		return false;
	}
	const RecordHeader *h = graph::header(record);
	bool taken = h->state == (uint8_t) State::Live && (h->level > 0) == above;
	if (taken)
	{
		const uint8_t *value = s->store.value();
		size_t size = quant::stored_size(s->space, value);

		memcpy(s->stored, value, size);
		memset(s->stored + size, 0, quant::stored_bytes(s->shape.storage, s->shape.dim) - size);
		s->row_meta = graph::stored_meta(h);
		s->generation = h->generation;
		s->level = h->level;
	}
	s->store.end_read();
	s->store.release();
	if (!taken)
		return false;
	if (!quant::is_plain(s->space))
		quant::load_vector(s->space, s->stored, s->row_meta.scale, s->own);
	quant::prepare_row_query(s->space, s->own, s->query_memory, &s->query);
	s->store.set_row(s->stored, s->row_meta);
	s->address = address;
	s->parent = kNoAddress;
	s->reserved = s->join_allowed = false;
	return true;
}

} // namespace

Buffer
lock_record(OmendbInsert *s, Address a, int mode, uint8_t **record)
{
	*record = nullptr;
	if (!s->store.exists(address_block(a)))
		return InvalidBuffer;
	Buffer buffer = s->store.pin_page(address_block(a));
	LockBuffer(buffer, mode);
	*record = s->store.record_on(BufferGetPage(buffer), a);
	if (*record != nullptr)
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

} // namespace omendb::store

using namespace omendb;
using namespace omendb::store;

OmendbInsert *
omendb_insert_create(Relation index)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw insert", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	OmendbInsert *s = (OmendbInsert *) palloc0(sizeof(OmendbInsert));

	s->context = context;
	s->index = index;
	omendb_read_meta(index, &s->meta);
	s->shape = shape_of(s->meta);

	/* An invalidation may free the relation's constants any time: a copy. */
	const Constants *constants = constants_of(index, s->meta);
	Constants *copy = (Constants *) palloc(Constants::size(s->meta));
	memcpy(copy, constants, Constants::size(s->meta));
	bool plain = s->shape.storage == quant::Storage::Value;
	s->space = plain ? space_of(s->meta, nullptr, nullptr)
					 : space_of(s->meta, copy->mean(), copy->signs());
	allocate(s);
	s->room.block = s->part_room.block = s->chunk_room.block = InvalidBlockNumber;
	s->room.full = s->part_room.full = s->chunk_room.full = InvalidBlockNumber;
	if (recent_buffers.context == nullptr)
		recent_buffers.context = TopMemoryContext;
	s->store.init(index, &s->space, &s->shape, &recent_buffers, copy->blocks);
	s->store.set_rest_memory(s->rest_memory);
	MemoryContextSwitchTo(caller);
	return s;
}

int
omendb_insert_dimensions(const OmendbInsert *insert)
{
	return (int) insert->meta.input_dim;
}

bool
omendb_insert_row(OmendbInsert *insert, Relation index, const void *row, uint32 hash,
				  ItemPointer tid)
{
	OmendbInsert *s = insert;

	s->index = index;
	if (!take_row(s, row, hash, tid))
		return false;
	for (uint32_t attempt = 0;; attempt++)
	{
		CHECK_FOR_INTERRUPTS();
		if (attempt == kAttempts)
			omendb_page_damaged(index, OMENDB_META_BLOCK,
								"no node is reached from the entry point");
		read_entry(s);
		raise_query_length(s);
		/* What has its slot already stays a node of its own. */
		s->join_allowed = attempt < kJoinAttempts && !s->reserved;
		search(s, s->level, 0);
		if (s->live == 0 && s->meta.entry != kNoAddress && !search_tree(s))
			continue;
		OMENDB_FAULT(insert_searched);
		if (s->joinable)
		{
			if (join_node(s))
				return true;
			continue;
		}
		/* Dead nodes alone are as good as none; nothing at all is a stale entry point. */
		if (s->meta.entry != kNoAddress && s->found[0].size == 0)
			continue;
		if (insert_base(s))
			break;
	}
	remember_live(s, s->address);
	if (s->level > 0)
		insert_above(s);
	return true;
}

void
omendb_insert_relink(OmendbInsert *insert, Relation index, uint32 address, bool above)
{
	OmendbInsert *s = insert;

	s->index = index;
	if (!take_node(s, address, above))
		return;
	read_entry(s);
	search(s, s->level, s->level);
	/* The protected links lead from the root to all of level 0. */
	if (s->level == 0 && s->live < s->meta.ef_construction)
		search_from(s, s->meta.root);
	OMENDB_FAULT(vacuum_relinking);
	bool ours = relink(s, s->level, false);
	OMENDB_FAULT(vacuum_relinked);
	if (ours)
		link_back(s, s->level);
}
