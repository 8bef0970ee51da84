/*
 * insert_place.cpp - writing a new record, and its place in the protected tree.
 */
#include "store/insert_state.hpp"

namespace omendb::store
{

namespace
{

constexpr int kNoSlot = -1;

OmendbPageSpecial *
special_of(Page page)
{
	return (OmendbPageSpecial *) PageGetSpecialPointer(page);
}

/* A slot of a locked page for a record, or kNoSlot; then *left is what the page has. */
int
free_slot(const OmendbInsert *s, BlockNumber block, Page page, Size *left)
{
	*left = 0;
	if (PageIsNew(page))
		return 0;
	const char *problem = omendb_page_problem(page, 0);
	if (problem != nullptr)
		omendb_page_damaged(s->index, block, problem);
	if (special_of(page)->kind == OMENDB_PAGE_OVERFLOW)
		*left = sizeof(OmendbTidPart);
	if (special_of(page)->kind == OMENDB_PAGE_VALUES)
		*left = s->shape.chunk_bytes;
	if (special_of(page)->kind != OMENDB_PAGE_GRAPH)
		return kNoSlot;
	uint32_t slots = special_of(page)->slots;
	if (slots > s->shape.slots)
		omendb_page_damaged(s->index, block, "too many slots");
	for (uint32_t slot = 0; slot < slots; slot++)
	{
		const uint8_t *record =
			(const uint8_t *) PageGetContents(page) + slot * s->shape.slot_bytes;
		if (graph::header(record)->state == (uint8_t) State::Free)
			return (int) slot;
	}
	return slots < s->shape.slots ? (int) slots : kNoSlot;
}

/* Where the page and the slot of a new record are. */
struct Place
{
	Buffer buffer;
	BlockNumber block;
	int slot;
};

/* The new record into its slot, as a change of the page: its generation is the slot's. */
void
write_slot(OmendbInsert *s, const Place &place, OmendbChange *change)
{
	Page page = BufferGetPage(place.buffer);
	RecordHeader *h = graph::header(s->record);

	s->address = make_address(place.block, (uint32_t) place.slot);
	Size offset = record_offset(s, s->address);
	h->generation = 0;
	if (PageIsNew(page))
		omendb_change_init(change, OMENDB_PAGE_GRAPH, 1, s->record, s->shape.slot_bytes);
	else if ((uint32_t) place.slot < special_of(page)->slots)
	{
		h->generation = graph::header((const uint8_t *) page + offset)->generation;
		omendb_change_compare(change, offset, s->record, s->shape.slot_bytes);
	}
	else
	{
		LocationIndex lower = (LocationIndex) (offset + s->shape.slot_bytes);
		uint16 slots = (uint16) (place.slot + 1);
		OmendbPageSpecial *special = special_of(page);

		omendb_change_put(change, offset, s->record, s->shape.slot_bytes);
		omendb_change_put(change, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
		omendb_change_put(change, (Size) ((char *) &special->slots - page), &slots, sizeof(slots));
	}
	s->generation = h->generation;
}

/* The page of s->room, which this pins, with a free slot or without; the caller locks it. */
Place
pin_room(OmendbInsert *s)
{
	if (s->reserved)
		return Place{s->store.pin_page(address_block(s->address)), address_block(s->address),
					 kNoSlot};
	if (s->room.block == InvalidBlockNumber)
		next_room(s, &s->room, s->shape.slot_bytes);
	return Place{s->store.pin_page(s->room.block), s->room.block, kNoSlot};
}

/* Whether the locked page has room, which what was reserved has. */
bool
find_slot(OmendbInsert *s, Place *place)
{
	if (s->reserved)
	{
		const uint8_t *record = s->store.record_on(BufferGetPage(place->buffer), s->address);

		if (record == nullptr || graph::header(record)->state != (uint8_t) State::Linking ||
			graph::header(record)->generation != s->generation)
			omendb_page_damaged(s->index, place->block, "record is no longer the one being linked");
		place->slot = (int) address_slot(s->address);
		return true;
	}
	place->slot = free_slot(s, place->block, BufferGetPage(place->buffer), &s->room.left);
	return place->slot != kNoSlot;
}

/* After the record has been written; the page is still locked. */
void
room_used(OmendbInsert *s, const Place &place)
{
	Size left;

	if (s->reserved)
	{
		s->reserved = false;
		return;
	}
	keep_room(s, &s->room,
			  free_slot(s, place.block, BufferGetPage(place.buffer), &left) != kNoSlot);
}

/*
 * The page of a new record and its parent's, which may be the same, locked in block
 * order. False: that page has no room, and nothing is locked. It may be one of parts or
 * values then, and whoever waits for such a page holds a record's: it must not be held
 * while the parent's is waited for.
 */
bool
lock_both(OmendbInsert *s, Place *place, Buffer parent, BlockNumber parent_block)
{
	bool first = place->block <= parent_block;

	if (!first)
		LockBuffer(parent, BUFFER_LOCK_EXCLUSIVE);
	LockBuffer(place->buffer, BUFFER_LOCK_EXCLUSIVE);
	if (!find_slot(s, place))
	{
		LockBuffer(place->buffer, BUFFER_LOCK_UNLOCK);
		if (!first)
			LockBuffer(parent, BUFFER_LOCK_UNLOCK);
		return false;
	}
	if (first && place->block != parent_block)
		LockBuffer(parent, BUFFER_LOCK_EXCLUSIVE);
	return true;
}

/* A node that may become the parent. */
struct Parent
{
	Address address;
	const Copy *copy; /* what the search saw, or NULL: whatever is there */
	uint32_t limit;   /* of protected lanes */
};

/* The parent's record with the new link, in s->other. Pages are locked, s->address is known. */
bool
enter_parent(OmendbInsert *s, const uint8_t *record, const Parent &parent)
{
	const RecordHeader *h = graph::header(record);

	if (record == nullptr || h->state != (uint8_t) State::Live || h->level != 0 ||
		(parent.copy != nullptr && h->generation != parent.copy->generation) ||
		graph::list_state(s->shape, record).protected_count >= parent.limit)
		return false;
	float distance = 0;
	if (s->shape.chunks > 0 && h->generation != s->owner_generation)
		return false;
	if (parent.copy != nullptr)
		distance = parent.copy->distance;
	else if (s->shape.chunks == 0)
		distance = s->store.search_distance(s->query, record);
	graph::Newcomer newcomer = {s->address, s->own, &s->query, s->stored};
	memcpy(s->other, record, s->shape.slot_bytes);
	return graph::enter_by_codes(s->space, s->shape, s->other, newcomer, distance, true, &s->link);
}

/* Record and protected link in one WAL record. */
Attempt
try_parent(OmendbInsert *s, const Parent &parent)
{
	Place place = pin_room(s);
	BlockNumber block = address_block(parent.address);
	Buffer buffer = s->store.pin_page(block);
	Attempt attempt = Attempt::NoRoom;

	if (lock_both(s, &place, buffer, block))
	{
		OmendbChange *own = &s->changes[0];
		OmendbChange *its = place.block == block ? own : &s->changes[1];

		omendb_change_begin(own, place.buffer);
		if (its != own)
			omendb_change_begin(its, buffer);
		write_slot(s, place, own);
		attempt = Attempt::NoParent;
		const uint8_t *record = s->store.record_on(BufferGetPage(buffer), parent.address);
		if (enter_parent(s, record, parent))
		{
			OmendbChange *ordered[2] = {place.block < block ? own : its,
										place.block < block ? its : own};

			omendb_change_compare(its, record_offset(s, parent.address), s->other,
								  s->shape.slot_bytes);
			omendb_change_apply(s->index, ordered, its == own ? 1 : 2);
			room_used(s, place);
			s->parent = parent.address;
			attempt = Attempt::Done;
		}
		if (place.block != block)
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(place.buffer, BUFFER_LOCK_UNLOCK);
	}
	ReleaseBuffer(buffer);
	ReleaseBuffer(place.buffer);
	return attempt;
}

/* The parent's value, where the record alone has not all of it. False: it is gone. */
bool
read_owner(OmendbInsert *s, const Parent &parent)
{
	s->link.owner_stored = nullptr;
	if (s->shape.chunks == 0)
		return true;
	if (parent.copy != nullptr)
	{
		s->link.owner_stored = vector_of_copy(s, parent.copy->vector);
		s->owner_generation = parent.copy->generation;
		return true;
	}
	const uint8_t *record = s->store.begin_read(parent.address, kNoAddress);
	if (record == nullptr)
		return false;
	memcpy(s->owner, s->store.value(), quant::stored_size(s->space, s->store.value()));
	s->owner_generation = graph::header(record)->generation;
	s->store.end_read();
	s->store.release();
	s->link.owner_stored = s->owner;
	return true;
}

/* The same, with as many pages as it takes. */
bool
adopt(OmendbInsert *s, const Parent &parent)
{
	if (!s->store.exists(address_block(parent.address)) || !read_owner(s, parent))
		return false;
	while (true)
	{
		switch (try_parent(s, parent))
		{
			case Attempt::Done:
				return true;
			case Attempt::NoParent:
				return false;
			case Attempt::NoRoom:
				CHECK_FOR_INTERRUPTS();
				next_room(s, &s->room, s->shape.slot_bytes);
		}
	}
}

/* A child, spread by the row's hash, of a node whose protected lanes are taken; or none. */
Address
some_child(OmendbInsert *s, Address parent)
{
	const uint8_t *record = s->store.begin_read(parent, kNoAddress);
	Address child = kNoAddress;

	if (record == nullptr)
		return kNoAddress;
	uint32_t count = graph::list_state(s->shape, record).protected_count;
	uint32_t wanted = count > 0 ? s->row.hash % count : 0;
	for (uint32_t lane = 0; lane < s->shape.max_links; lane++)
	{
		if (graph::get_bit(graph::protected_mask(s->shape, record), lane) && wanted-- == 0)
		{
			child = graph::neighbours(s->shape, record)[lane];
			break;
		}
	}
	s->store.end_read();
	s->store.release();
	return child;
}

/* Down the tree from a node: leaves have room. */
bool
adopt_below(OmendbInsert *s, Address from)
{
	constexpr uint32_t kMaxSteps = 1000;

	for (uint32_t step = 0; from != kNoAddress && step < kMaxSteps; step++)
	{
		CHECK_FOR_INTERRUPTS();
		if (adopt(s, Parent{from, nullptr, graph::max_protected(s->shape.max_links)}))
			return true;
		from = some_child(s, from);
	}
	return false;
}

/* The tree from its root, node by node, until `wanted` says so of an address: that one. */
template <typename F>
Address
walk_tree(OmendbInsert *s, F wanted)
{
	Array<graph::Candidate> *stack = &s->scratch;
	uint64_t seen = 0;

	stack->size = 0;
	(void) stack->push(graph::Candidate{0, s->meta.root, kNoAddress});
	while (stack->size > 0)
	{
		Address at = (*stack)[--stack->size].address;

		CHECK_FOR_INTERRUPTS();
		if (++seen > (uint64_t) (s->store.blocks() + 1) * s->shape.slots)
			omendb_page_damaged(s->index, address_block(at), "protected links form a cycle");
		if (wanted(at))
			return at;
		const uint8_t *record = s->store.begin_read(at, kNoAddress);
		if (record == nullptr)
			continue;
		for (uint32_t lane = 0; lane < s->shape.max_links; lane++)
		{
			if (graph::get_bit(graph::protected_mask(s->shape, record), lane))
				(void) stack->push(
					graph::Candidate{0, graph::neighbours(s->shape, record)[lane], kNoAddress});
		}
		s->store.end_read();
		s->store.release();
	}
	return kNoAddress;
}

/* While VACUUM works, all that is near may be dead. */
bool
adopt_anywhere(OmendbInsert *s, uint32_t limit)
{
	return walk_tree(s,
					 [s, limit](Address at) {
						 return adopt(s, Parent{at, nullptr, limit});
					 }) != kNoAddress;
}

} // namespace

Address
find_live(OmendbInsert *s)
{
	return walk_tree(s,
					 [s](Address at)
					 {
						 const uint8_t *record = s->store.begin_read(at, kNoAddress);
						 bool live = record != nullptr &&
									 graph::header(record)->state == (uint8_t) State::Live &&
									 graph::header(record)->level == 0;
						 if (record != nullptr)
							 s->store.end_read();
						 s->store.release();
						 return live;
					 });
}

bool
place_in_tree(OmendbInsert *s)
{
	const Array<Copy> &found = s->found[0];
	uint32_t limit = graph::max_protected(s->shape.max_links);
	Address nearest = kNoAddress;

	for (size_t i = 0; i < found.size; i++)
	{
		if (found[i].state != (uint8_t) State::Live)
			continue;
		if (nearest == kNoAddress)
			nearest = found[i].address;
		if (found[i].protected_count < limit &&
			adopt(s, Parent{found[i].address, &found[i], limit}))
			return true;
	}
	/* A list has room for all but one of its lanes when all else is taken. */
	return adopt_below(s, nearest) || adopt_anywhere(s, limit) ||
		   adopt_anywhere(s, s->shape.max_links - 1);
}

void
place_above(OmendbInsert *s)
{
	while (true)
	{
		Place place = pin_room(s);

		LockBuffer(place.buffer, BUFFER_LOCK_EXCLUSIVE);
		if (find_slot(s, &place))
		{
			OmendbChange *change = &s->changes[0];

			omendb_change_begin(change, place.buffer);
			write_slot(s, place, change);
			omendb_change_apply(s->index, &change, 1);
			room_used(s, place);
			UnlockReleaseBuffer(place.buffer);
			return;
		}
		UnlockReleaseBuffer(place.buffer);
		CHECK_FOR_INTERRUPTS();
		next_room(s, &s->room, s->shape.slot_bytes);
	}
}

namespace
{

/* Under both locks. False: others came first. */
bool
write_root(OmendbInsert *s, Buffer meta_buffer, const Place &place)
{
	Page page = BufferGetPage(meta_buffer);
	OmendbMetaPage meta;
	OmendbChange *changes[2] = {&s->changes[0], &s->changes[1]};

	memcpy(&meta, PageGetContents(page), sizeof(meta));
	if (meta.entry != s->meta.entry || meta.root != s->meta.root)
		return false;
	omendb_change_begin(changes[0], meta_buffer);
	omendb_change_begin(changes[1], place.buffer);
	write_slot(s, place, changes[1]);
	meta.entry = meta.root = s->address;
	meta.entry_level = 0;
	omendb_change_compare(changes[0], OMENDB_PAGE_HEADER, &meta, sizeof(meta));
	omendb_change_apply(s->index, changes, 2);
	room_used(s, place);
	return true;
}

} // namespace

bool
place_root(OmendbInsert *s)
{
	while (true)
	{
		/* The relation grows while nothing is locked. */
		Place place = pin_room(s);
		Buffer meta =
			omendb_read_page(s->index, OMENDB_META_BLOCK, OMENDB_PAGE_META, BUFFER_LOCK_EXCLUSIVE);

		LockBuffer(place.buffer, BUFFER_LOCK_EXCLUSIVE);
		bool room = find_slot(s, &place);
		bool first = room && write_root(s, meta, place);
		UnlockReleaseBuffer(place.buffer);
		UnlockReleaseBuffer(meta);
		if (room)
		{
			s->parent = kNoAddress;
			return first;
		}
		CHECK_FOR_INTERRUPTS();
		next_room(s, &s->room, s->shape.slot_bytes);
	}
}

} // namespace omendb::store
