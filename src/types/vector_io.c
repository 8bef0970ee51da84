/*
 * vector_io.c - vector: text and binary form, type modifier.
 *
 * Text is "[1,2.5,-3]" with white space between the tokens; numbers are read as
 * strtof reads them and written with the fewest digits that read back equal.
 * Binary is int16 dim, int16 0, then dim float4, in network order.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "utils/array.h"

#include "pg/compat.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(omendb_vector_in);
PG_FUNCTION_INFO_V1(omendb_vector_out);
PG_FUNCTION_INFO_V1(omendb_vector_typmod_in);
PG_FUNCTION_INFO_V1(omendb_vector_recv);
PG_FUNCTION_INFO_V1(omendb_vector_send);

OmendbVector *
omendb_vector_new(int dim)
{
	Size size = OMENDB_VECTOR_SIZE(dim);
	OmendbVector *result = palloc0(size);

	Assert(dim >= 1 && dim <= OMENDB_VECTOR_MAX_DIM);
	SET_VARSIZE(result, size);
	result->dim = (int16) dim;
	return result;
}

bool
omendb_vector_check_dim(int dim, struct Node *escontext)
{
	if (dim < 1)
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("vector must have at least 1 dimension"));
	if (dim > OMENDB_VECTOR_MAX_DIM)
		ereturn(escontext, false, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("vector cannot have more than %d dimensions", OMENDB_VECTOR_MAX_DIM));
	return true;
}

bool
omendb_vector_check_typmod(int32 typmod, int dim, struct Node *escontext)
{
	if (typmod != -1 && typmod != dim)
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("expected %d dimensions, not %d", typmod, dim));
	return true;
}

bool
omendb_vector_refuse_element(float value, struct Node *escontext)
{
	if (isnan(value))
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("NaN not allowed in vector"));
	ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("infinite value not allowed in vector"));
}

void
omendb_vector_check_same_dim(const OmendbVector *a, const OmendbVector *b)
{
	if (a->dim != b->dim)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("different vector dimensions %d and %d", a->dim, b->dim));
}

/* The same set under every server version and locale. */
static const char *
skip_space(const char *s)
{
	while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		s++;
	return s;
}

/*
 * Reads a plain decimal number with at most 15 or so digits and a small
 * exponent, exactly as strtof would. Returns its end, or NULL when strtof has
 * to decide.
 *
 * The digits make an integer below 2^53 and the power of ten is exact, so one
 * double operation gives the correctly rounded double. Rounding that again to
 * float is right unless the double lies exactly midway between two floats: any
 * other double is on the same side of the middle as the number itself. All
 * results are 0 or within [1e-22, 1e38], far from float's limits.
 */
static const char *
parse_short_decimal(const char *s, float *value)
{
#if FLT_EVAL_METHOD == 0
	static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
									1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
									1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	const int power_max = lengthof(powers) - 1;
	const char *start;
	bool negative = (*s == '-');
	uint64 digits = 0;
	uint64 bits;
	int count = 0;
	int exponent = 0;
	double number;

	if (*s == '-' || *s == '+')
		s++;
	for (start = s; *s >= '0' && *s <= '9'; s++)
		digits = digits * 10 + (uint64) (*s - '0');
	count = (int) Min(s - start, 20);
	if (*s == '.')
	{
		for (start = ++s; *s >= '0' && *s <= '9'; s++)
			digits = digits * 10 + (uint64) (*s - '0');
		exponent = -(int) Min(s - start, 20);
		count -= exponent;
	}
	/* No digits: inf, nan, or an error. More than 18: digits may have wrapped around. */
	if (count == 0 || count > 18 || digits > (UINT64CONST(1) << 53) || *s == 'x' || *s == 'X')
		return NULL;
	if (*s == 'e' || *s == 'E')
	{
		bool small = (s[1] == '-');
		int shift = 0;

		s += (s[1] == '-' || s[1] == '+') ? 2 : 1;
		for (start = s; *s >= '0' && *s <= '9'; s++)
			shift = Min(shift * 10 + (*s - '0'), 1000);
		if (s == start)
			return NULL;
		exponent += small ? -shift : shift;
	}
	if (exponent < -power_max || exponent > power_max)
		return NULL;

	number =
		exponent < 0 ? (double) digits / powers[-exponent] : (double) digits * powers[exponent];
	memcpy(&bits, &number, sizeof(bits));
	if ((bits & UINT64CONST(0x1FFFFFFF)) == UINT64CONST(0x10000000))
		return NULL;
	*value = (float) (negative ? -number : number);
	return s;
#else
	return NULL;
#endif
}

/*
 * Reads the element at s into *value. Returns the first character after it and
 * after white space, or NULL when the error is in escontext.
 */
static const char *
parse_element(const char *s, const char *literal, float *value, struct Node *escontext)
{
	const char *start = skip_space(s);
	const char *end = parse_short_decimal(start, value);

	if (end == NULL)
	{
		char *stop;

		/* As in float4in: not strtod, which would round twice. LC_NUMERIC is C in the server. */
		errno = 0;
		*value = strtof(start, &stop);
		if (stop == start)
			ereturn(escontext, NULL, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					errmsg("invalid input syntax for type vector: \"%s\"", literal));
		/* Underflow also sets ERANGE, but 0 or a denormal is a good enough answer. */
		if (errno == ERANGE && isinf(*value))
			ereturn(escontext, NULL, errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("\"%s\" is out of range for type vector",
						   pnstrdup(start, (Size) (stop - start))));
		end = stop;
	}
	if (!omendb_vector_check_element(*value, escontext))
		return NULL;
	return skip_space(end);
}

/*
 * A vector with room for all the elements of the text: every one but the first
 * follows a comma.
 */
static OmendbVector *
vector_for_text(const char *s)
{
	int dim = 1;

	while (dim < OMENDB_VECTOR_MAX_DIM && (s = strchr(s, ',')) != NULL)
	{
		dim++;
		s++;
	}
	return omendb_vector_new(dim);
}

Datum
omendb_vector_in(PG_FUNCTION_ARGS)
{
	const char *literal = PG_GETARG_CSTRING(0);
	int32 typmod = PG_GETARG_INT32(2);
	struct Node *escontext = (struct Node *) fcinfo->context;
	const char *s = skip_space(literal);
	OmendbVector *result;
	int dim = 0;

	if (*s != '[')
		ereturn(escontext, (Datum) 0, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type vector: \"%s\"", literal),
				errdetail("Vector contents must start with \"[\"."));
	s = skip_space(s + 1);
	if (*s == ']' && !omendb_vector_check_dim(0, escontext))
		return (Datum) 0;

	result = vector_for_text(s);
	for (;; s++)
	{
		if (dim == OMENDB_VECTOR_MAX_DIM && !omendb_vector_check_dim(dim + 1, escontext))
			return (Datum) 0;
		s = parse_element(s, literal, &result->x[dim], escontext);
		if (s == NULL)
			return (Datum) 0;
		dim++;
		if (*s != ',')
			break;
	}
	if (*s != ']')
		ereturn(escontext, (Datum) 0, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type vector: \"%s\"", literal));
	s = skip_space(s + 1);
	if (*s != '\0')
		ereturn(escontext, (Datum) 0, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("invalid input syntax for type vector: \"%s\"", literal),
				errdetail("Junk after closing right brace."));

	Assert(dim == result->dim);
	if (!omendb_vector_check_typmod(typmod, dim, escontext))
		return (Datum) 0;
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_out(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	/* Per element the longest number and, in place of its terminator, a comma or "]". */
	char *text = palloc(1 + FLOAT_SHORTEST_DECIMAL_LEN * (Size) vector->dim + 1);
	char *s = text;

	for (int i = 0; i < vector->dim; i++)
	{
		*s++ = i == 0 ? '[' : ',';
		s += float_to_shortest_decimal_bufn(vector->x[i], s);
	}
	*s++ = ']';
	*s = '\0';

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_CSTRING(text);
}

Datum
omendb_vector_typmod_in(PG_FUNCTION_ARGS)
{
	ArrayType *modifiers = PG_GETARG_ARRAYTYPE_P(0);
	int count;
	int32 *dim = ArrayGetIntegerTypmods(modifiers, &count);

	if (count != 1)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid type modifier"));
	if (*dim < 1)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("dimensions for type vector must be at least 1"));
	if (*dim > OMENDB_VECTOR_MAX_DIM)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("dimensions for type vector cannot exceed %d", OMENDB_VECTOR_MAX_DIM));
	PG_RETURN_INT32(*dim);
}

Datum
omendb_vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	int32 typmod = PG_GETARG_INT32(2);
	/* Both unsigned: a negative number of dimensions is one that is too large. */
	int dim = (int) pq_getmsgint(message, sizeof(int16));
	int unused = (int) pq_getmsgint(message, sizeof(int16));
	OmendbVector *result;

	omendb_vector_check_dim(dim, NULL);
	omendb_vector_check_typmod(typmod, dim, NULL);
	if (unused != 0)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("expected unused to be 0, not %d", unused));

	result = omendb_vector_new(dim);
	for (int i = 0; i < dim; i++)
	{
		result->x[i] = pq_getmsgfloat4(message);
		omendb_vector_check_element(result->x[i], NULL);
	}
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_send(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	StringInfoData message;

	pq_begintypsend(&message);
	enlargeStringInfo(&message, (int) (OMENDB_VECTOR_SIZE(vector->dim)));
	pq_sendint16(&message, (uint16) vector->dim);
	pq_sendint16(&message, (uint16) vector->unused);
	for (int i = 0; i < vector->dim; i++)
		pq_sendfloat4(&message, vector->x[i]);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
