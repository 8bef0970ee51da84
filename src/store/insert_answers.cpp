/*
 * insert_answers.cpp - under inner product, the links of a new row to what it would be
 * answered with as a query: graph/record.hpp, most_answers().
 */
#include "store/insert_state.hpp"

namespace omendb::store
{

void
allocate_asker(OmendbInsert *s)
{
	s->asker = nullptr;
	if (graph::most_answers(s->space, s->shape.max_links) == 0)
		return;
	s->asker = (float *) palloc(s->shape.dim * sizeof(float));
	s->asker_stored = (uint8_t *) palloc(quant::stored_bytes(s->shape.storage, s->shape.dim));
	s->asker_memory = palloc(quant::query_bytes(s->space));
}

void
prepare_asker(OmendbInsert *s, const float *row)
{
	quant::transform_query(s->space, row, s->asker);
	quant::store_vector(s->space, s->asker, 0, s->asker_stored, &s->asker_meta);
	quant::prepare_row_query(s->space, s->asker, s->asker_memory, &s->asker_query);
}

/* Of a row's answers, those that hear of it. */
static constexpr size_t kTold = 4;

/* Whether the search of the row itself came across it. */
static bool
is_near(const OmendbInsert *s, Address address)
{
	const Array<Copy> &found = s->found[0];

	return std::any_of(found.data, found.data + found.size,
					   [address](const Copy &copy) { return copy.address == address; });
}

void
find_answers(OmendbInsert *s)
{
	uint32_t most = graph::most_answers(s->space, s->shape.max_links);
	size_t kept = 0, asked = 0;

	s->answers.size = 0;
	/* A list that is not full has room for all. */
	if (s->asker == nullptr || !(s->asker_query.self_dot > 0) || s->live <= s->shape.max_links)
		return;
	search_answers(s);
	for (size_t i = 0; i < s->answers.size && asked < most; i++)
	{
		if (s->answers[i].state != (uint8_t) State::Live)
			continue;
		asked++;
		if (!is_near(s, s->answers[i].address))
			s->answers[kept++] = s->answers[i];
	}
	s->answers.size = kept;
}

/*
 * The row is told of as a companion of its best answer, if it would be among its own
 * answers, as long rows are.
 */
void
add_answers(OmendbInsert *s)
{
	size_t most = graph::most_answers(s->space, s->shape.max_links);

	if (s->answers.size == 0)
		return;
	float own =
		quant::stored_distance(s->space, s->asker_stored, s->asker_meta, s->stored, s->row_meta);
	bool among = s->answers.size < most || own < s->answers[s->answers.size - 1].distance;
	for (size_t i = 0; i < s->answers.size; i++)
	{
		const Copy &copy = s->answers[i];
		quant::StoredMeta meta = {copy.scale, copy.self_dot, 0};
		float distance = quant::stored_distance(s->space, s->stored, s->row_meta,
												vector_of_copy(s, copy.vector), meta);
		(void) s->neighbours.push(Neighbour{copy.address, distance, copy.vector, copy.generation,
											i < kTold && among, false, true});
	}
}

void
put_answers(OmendbInsert *s)
{
	uint32_t first = s->shape.max_links - (uint32_t) s->answers.size;

	graph::header(s->record)->answers = (uint8_t) s->answers.size;
	for (uint32_t i = 0; i < s->answers.size; i++)
	{
		const Copy &copy = s->answers[i];
		quant::load_vector(s->space, vector_of_copy(s, copy.vector), copy.scale, s->link.owner);
		quant::encode_lane(s->space, s->link.owner, s->own, &s->link.code);
		graph::put_link(s->space, s->shape, s->record, first + i,
						graph::Link{copy.address, 0, nullptr, false, true}, s->link.code);
	}
}

} // namespace omendb::store
