/*
 * sparsevec_io.c - sparsevec: text and binary form, type modifier.
 *
 * Text is "{1:1.5,3:3.5}/5", index (from 1, in any order) and value of each
 * element that is not 0, then the dimensions, with white space between the
 * tokens. Binary is int32 dim, int32 nnz, int32 0, then nnz int32 indices (from
 * 0, ascending) and nnz float4 values, in network order.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

#include "pg/compat.h"
#include "types/elements.h"
#include "types/number.h"
#include "types/sparsevec.h"

PG_FUNCTION_INFO_V1(omendb_sparsevec_in);
PG_FUNCTION_INFO_V1(omendb_sparsevec_out);
PG_FUNCTION_INFO_V1(omendb_sparsevec_typmod_in);
PG_FUNCTION_INFO_V1(omendb_sparsevec_recv);
PG_FUNCTION_INFO_V1(omendb_sparsevec_send);

OmendbSparsevec *
omendb_sparsevec_new(int dim, int nnz)
{
	Size size = OMENDB_SPARSEVEC_SIZE(nnz);
	OmendbSparsevec *result = palloc(size);

	Assert(dim >= 1 && dim <= OMENDB_SPARSEVEC_MAX_DIM);
	Assert(nnz >= 0 && nnz <= OMENDB_SPARSEVEC_MAX_NNZ);
	SET_VARSIZE(result, size);
	result->dim = dim;
	result->nnz = nnz;
	result->unused = 0;
	return result;
}

bool
omendb_sparsevec_refuse_nnz(struct Node *escontext)
{
	ereturn(
		escontext, false, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		errmsg("sparsevec cannot have more than %d non-zero elements", OMENDB_SPARSEVEC_MAX_NNZ));
}

void
omendb_sparsevec_check_same_dim(const OmendbSparsevec *a, const OmendbSparsevec *b)
{
	if (a->dim != b->dim)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("different sparsevec dimensions %d and %d", a->dim, b->dim));
}

/* Whether an index may follow its predecessor, -1 for the first. */
static bool
check_index(int32 index, int32 previous, int dim, struct Node *escontext)
{
	if (index < 0 || index >= dim)
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("sparsevec index out of bounds"));
	if (index < previous)
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("sparsevec indices must be in ascending order"));
	if (index == previous)
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("sparsevec indices must not contain duplicates"));
	return true;
}

/* What is being read. */
typedef struct Literal
{
	const char *text;
	const char *end; /* its terminator */
	struct Node *escontext;
} Literal;

/* An element of the text. */
typedef struct Entry
{
	int32 index; /* from 0; outside the dimensions, perhaps */
	float value;
} Entry;

static const char *
refuse_syntax(const Literal *literal, const char *detail)
{
	ereturn(literal->escontext, NULL, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("invalid input syntax for type sparsevec: \"%s\"", literal->text),
			detail != NULL ? errdetail("%s", detail) : 0);
}

/*
 * Reads a decimal integer, as strtol does, into *value; one that does not fit
 * becomes PG_INT32_MAX or its negative, so that 1 can be taken from either.
 * Returns its end, or NULL when there is none.
 */
static inline const char *
parse_integer(const char *s, const char *end, int32 *value)
{
	const bool negative = (*s == '-');
	const char *start = (*s == '-' || *s == '+') ? s + 1 : s;
	OmendbDigits digits = {0, 0};
	int32 magnitude = PG_INT32_MAX;

	for (s = start; *s == '0';)
		s++;
	s = omendb_take_digits(s, end, &digits);
	/* The value of more digits may have wrapped around. */
	if (digits.count <= 18 && digits.value < PG_INT32_MAX)
		magnitude = (int32) digits.value;
	*value = negative ? -magnitude : magnitude;
	return s > start ? s : NULL;
}

/*
 * Reads the value at s, where white space was skipped. Returns its end, or NULL
 * when the error is in escontext.
 */
static inline const char *
parse_value(const Literal *literal, const char *s, float *value)
{
	struct Node *escontext = literal->escontext;
	const char *end;

	*value = omendb_strtof(s, literal->end, &end);
	if (end == s)
		return refuse_syntax(literal, NULL);
	/* A number that underflows to 0 would vanish. */
	if (errno == ERANGE && (*value == 0 || isinf(*value)))
		ereturn(escontext, NULL, errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("\"%s\" is out of range for type sparsevec", pnstrdup(s, (Size) (end - s))));
	return omendb_check_element(&omendb_sparsevec_elements, *value, escontext) ? end : NULL;
}

/*
 * Reads "index:value" at s. Returns the first character after it and after white
 * space, or NULL when the error is in escontext.
 */
static inline const char *
parse_entry(const Literal *literal, const char *s, Entry *entry)
{
	s = parse_integer(omendb_skip_space(s), literal->end, &entry->index);
	if (s == NULL)
		return refuse_syntax(literal, NULL);
	s = omendb_skip_space(s);
	if (*s != ':')
		return refuse_syntax(literal, NULL);
	entry->index--;
	s = parse_value(literal, omendb_skip_space(s + 1), &entry->value);
	return s == NULL ? NULL : omendb_skip_space(s);
}

/*
 * Reads "{...}" at the start of the literal into entries, those that are 0 left
 * out. Returns what follows, or NULL when the error is in escontext.
 */
static const char *
parse_entries(const Literal *literal, Entry *entries, int *nnz)
{
	const char *s = omendb_skip_space(literal->text);
	int count = 0;

	*nnz = 0;
	if (*s != '{')
		return refuse_syntax(literal, "Vector contents must start with \"{\".");
	s = omendb_skip_space(s + 1);
	if (*s == '}')
		return s + 1;
	for (;; s++)
	{
		s = parse_entry(literal, s, &entries[count]);
		if (s == NULL)
			return NULL;
		count += entries[count].value != 0;
		if (*s != ',')
			break;
	}
	*nnz = count;
	return *s == '}' ? s + 1 : refuse_syntax(literal, NULL);
}

/* Reads "/dim" at s. Returns the literal's end, or NULL when the error is in escontext. */
static const char *
parse_dim(const Literal *literal, const char *s, int32 *dim)
{
	s = omendb_skip_space(s);
	if (*s != '/')
		return refuse_syntax(literal, "Unexpected end of input.");
	s = parse_integer(omendb_skip_space(s + 1), literal->end, dim);
	if (s == NULL)
		return refuse_syntax(literal, NULL);
	s = omendb_skip_space(s);
	return *s == '\0' ? s : refuse_syntax(literal, "Junk after closing.");
}

static int
compare_entries(const void *a, const void *b)
{
	int32 index_a = ((const Entry *) a)->index;
	int32 index_b = ((const Entry *) b)->index;

	return (index_a > index_b) - (index_a < index_b);
}

/* Entries in any order; NULL when the error is in escontext. */
static OmendbSparsevec *
from_entries(int dim, Entry *entries, int nnz, struct Node *escontext)
{
	OmendbSparsevec *result;
	float *values;
	int32 previous = -1;

	for (int i = 1; i < nnz; i++)
	{
		if (entries[i - 1].index > entries[i].index)
		{
			qsort(entries, (size_t) nnz, sizeof(Entry), compare_entries);
			break;
		}
	}
	result = omendb_sparsevec_new(dim, nnz);
	values = omendb_sparsevec_values(result);
	for (int i = 0; i < nnz; i++)
	{
		if (!check_index(entries[i].index, previous, dim, escontext))
			return NULL;
		result->indices[i] = previous = entries[i].index;
		values[i] = entries[i].value;
	}
	return result;
}

/* Room for the entries of the text: every one but the first follows a comma. NULL: too many. */
static Entry *
entries_for_text(const Literal *literal)
{
	const char *s = literal->text;
	int count = 1;

	while ((s = memchr(s, ',', (size_t) (literal->end - s))) != NULL)
	{
		if (++count > OMENDB_SPARSEVEC_MAX_NNZ)
		{
			omendb_sparsevec_refuse_nnz(literal->escontext);
			return NULL;
		}
		s++;
	}
	return palloc(sizeof(Entry) * (Size) count);
}

Datum
omendb_sparsevec_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	int32 typmod = PG_GETARG_INT32(2);
	struct Node *escontext = (struct Node *) fcinfo->context;
	const Literal literal = {text, text + strlen(text), escontext};
	Entry *entries = entries_for_text(&literal);
	OmendbSparsevec *result;
	const char *s;
	int nnz;
	int dim;

	if (entries == NULL)
		return (Datum) 0;
	s = parse_entries(&literal, entries, &nnz);
	if (s == NULL || parse_dim(&literal, s, &dim) == NULL ||
		!omendb_check_dim(&omendb_sparsevec_elements, dim, escontext) ||
		!omendb_check_typmod(typmod, dim, escontext))
		return (Datum) 0;
	result = from_entries(dim, entries, nnz, escontext);
	pfree(entries);
	return PointerGetDatum(result);
}

Datum
omendb_sparsevec_out(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *vector = PG_GETARG_OMENDB_SPARSEVEC(0);
	const float *values = omendb_sparsevec_values(vector);
	/* Per element "," or "{", ten digits, ":" and a number; its terminator makes room for "{". */
	char *text =
		palloc((12 + FLOAT_SHORTEST_DECIMAL_LEN) * (Size) vector->nnz + sizeof("{}/1234567890"));
	char *s = text;

	*s++ = '{';
	for (int i = 0; i < vector->nnz; i++)
	{
		if (i > 0)
			*s++ = ',';
		s += pg_ultoa_n((uint32) vector->indices[i] + 1, s);
		*s++ = ':';
		s += float_to_shortest_decimal_bufn(values[i], s);
	}
	*s++ = '}';
	*s++ = '/';
	s += pg_ultoa_n((uint32) vector->dim, s);
	*s = '\0';

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_CSTRING(text);
}

Datum
omendb_sparsevec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(omendb_element_typmod(&omendb_sparsevec_elements, PG_GETARG_ARRAYTYPE_P(0)));
}

static void
check_received_nnz(int32 nnz, int32 dim)
{
	if (nnz < 0)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("sparsevec cannot have negative number of elements"));
	if (nnz > OMENDB_SPARSEVEC_MAX_NNZ)
		omendb_sparsevec_refuse_nnz(NULL);
	if (nnz > dim)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("sparsevec cannot have more elements than dimensions"));
}

/* pq_getmsgint(message, 4), inline. */
static inline uint32
next_word(StringInfo message)
{
	uint32 word;

	if (unlikely(message->len - message->cursor < (int) sizeof(word)))
		return pq_getmsgint(message, sizeof(word)); /* an error */
	memcpy(&word, message->data + message->cursor, sizeof(word));
	message->cursor += (int) sizeof(word);
	return pg_ntoh32(word);
}

Datum
omendb_sparsevec_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	int32 typmod = PG_GETARG_INT32(2);
	int32 dim = (int32) next_word(message);
	int32 nnz = (int32) next_word(message);
	int32 unused = (int32) next_word(message);
	OmendbSparsevec *result;
	float *values;
	int32 previous = -1;

	omendb_check_dim(&omendb_sparsevec_elements, dim, NULL);
	check_received_nnz(nnz, dim);
	omendb_check_typmod(typmod, dim, NULL);
	if (unused != 0)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("expected unused to be 0, not %d", unused));

	result = omendb_sparsevec_new(dim, nnz);
	values = omendb_sparsevec_values(result);
	for (int i = 0; i < nnz; i++)
	{
		int32 index = (int32) next_word(message);

		check_index(index, previous, dim, NULL);
		result->indices[i] = previous = index;
	}
	for (int i = 0; i < nnz; i++)
	{
		uint32 bits = next_word(message);

		memcpy(&values[i], &bits, sizeof(bits));
		omendb_check_element(&omendb_sparsevec_elements, values[i], NULL);
		if (values[i] == 0)
			ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
					errmsg("binary representation of sparsevec cannot contain zero values"));
	}
	PG_RETURN_POINTER(result);
}

Datum
omendb_sparsevec_send(PG_FUNCTION_ARGS)
{
	OmendbSparsevec *vector = PG_GETARG_OMENDB_SPARSEVEC(0);
	StringInfoData message;

	pq_begintypsend(&message);
	enlargeStringInfo(&message, (int) OMENDB_SPARSEVEC_SIZE(vector->nnz));
	pq_writeint32(&message, (uint32) vector->dim);
	pq_writeint32(&message, (uint32) vector->nnz);
	pq_writeint32(&message, (uint32) vector->unused);
	/* Values follow the indices, and are words, too. */
	for (int i = 0; i < 2 * vector->nnz; i++)
		pq_writeint32(&message, (uint32) vector->indices[i]);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
