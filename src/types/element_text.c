/*
 * element_text.c - the text form of vector and halfvec: "[1,2.5,-3]".
 *
 * White space is allowed between the tokens. Numbers are read as strtof reads
 * them, correctly rounded, and written with the fewest digits that read back
 * equal.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"

#include "pg/compat.h"
#include "types/elements.h"
#include "types/number.h"

/* What is being read. */
typedef struct Literal
{
	const OmendbElementType *type;
	const char *text;
	const char *end; /* its terminator */
	struct Node *escontext;
} Literal;

/* The number at s, [s, end) as written, does not fit the type. */
static const char *
refuse_range(const Literal *literal, const char *s, const char *end)
{
	ereturn(literal->escontext, NULL, errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			errmsg("\"%s\" is out of range for type %s", pnstrdup(s, (Size) (end - s)),
				   literal->type->name));
}

/* The number at s, in any form strtof knows. */
static const char *
parse_any_number(const Literal *literal, const char *s, float *value)
{
	char *end;

	/* As in float4in: not strtod, which would round twice. LC_NUMERIC is C in the server. */
	errno = 0;
	*value = strtof(s, &end);
	if (end == s)
		ereturn(
			literal->escontext, NULL, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("invalid input syntax for type %s: \"%s\"", literal->type->name, literal->text));
	/* Underflow also sets ERANGE, but 0 or a denormal is a good enough answer. */
	if (errno == ERANGE && isinf(*value))
		return refuse_range(literal, s, end);
	if (!isfinite(*value) && !omendb_refuse_element(literal->type, *value, literal->escontext))
		return NULL;
	return end;
}

/*
 * Reads the element at s into *value. Returns the first character after it and
 * after white space, or NULL when the error is in escontext.
 */
static inline const char *
parse_element(const Literal *literal, const char *s, float *value)
{
	const char *start = omendb_skip_space(s);
	const char *end = omendb_parse_short_decimal(start, literal->end, value);

	if (unlikely(end == NULL))
	{
		end = parse_any_number(literal, start, value);
		if (end == NULL)
			return NULL;
	}
	if (unlikely(fabsf(*value) >= literal->type->overflow))
		return refuse_range(literal, start, end);
	return omendb_skip_space(end);
}

static int
refuse_syntax(const Literal *literal, const char *detail)
{
	ereturn(literal->escontext, 0, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			errmsg("invalid input syntax for type %s: \"%s\"", literal->type->name, literal->text),
			detail != NULL ? errdetail("%s", detail) : 0);
}

int
omendb_parse_elements(const OmendbElementType *type, const char *text, float *x,
					  struct Node *escontext)
{
	const Literal literal = {type, text, text + strlen(text), escontext};
	const char *s = omendb_skip_space(text);
	int dim = 0;

	if (*s != '[')
		return refuse_syntax(&literal, "Vector contents must start with \"[\".");
	s = omendb_skip_space(s + 1);
	if (*s == ']' && !omendb_check_dim(type, 0, escontext))
		return 0;
	for (;; s++)
	{
		if (dim == OMENDB_VECTOR_MAX_DIM && !omendb_check_dim(type, dim + 1, escontext))
			return 0;
		s = parse_element(&literal, s, &x[dim]);
		if (s == NULL)
			return 0;
		dim++;
		if (*s != ',')
			break;
	}
	if (*s != ']')
		return refuse_syntax(&literal, NULL);
	if (*omendb_skip_space(s + 1) != '\0')
		return refuse_syntax(&literal, "Junk after closing right brace.");
	return dim;
}

char *
omendb_format_elements(const float *x, int n)
{
	/* Per element the longest number and, in place of its terminator, a comma or "]". */
	char *text = palloc(1 + FLOAT_SHORTEST_DECIMAL_LEN * (Size) n + 1);
	char *s = text;

	for (int i = 0; i < n; i++)
	{
		*s++ = i == 0 ? '[' : ',';
		s += float_to_shortest_decimal_bufn(x[i], s);
	}
	*s++ = ']';
	*s = '\0';
	return text;
}
