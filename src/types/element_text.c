/*
 * element_text.c - the text form of vector and halfvec: "[1,2.5,-3]".
 *
 * White space is allowed between the tokens. Numbers are read as strtof reads
 * them, correctly rounded, and written with the fewest digits that read back
 * equal.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "common/shortest_dec.h"
#include "port/pg_bitutils.h"

#include "pg/compat.h"
#include "types/elements.h"

/* What is being read. */
typedef struct Literal
{
	const OmendbElementType *type;
	const char *text;
	const char *end; /* its terminator */
	struct Node *escontext;
} Literal;

/* A run of digits: its value modulo 2^64, and how many they are. */
typedef struct Digits
{
	uint64 value;
	int count;
} Digits;

/* The same set under every server version and locale. */
static inline const char *
skip_space(const char *s)
{
	while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		s++;
	return s;
}

#ifndef WORDS_BIGENDIAN

#define EACH_BYTE(x) (UINT64CONST(0x0101010101010101) * (x))

/*
 * Appends up to eight digits at s, where eight bytes may be read; returns how
 * many. Without a loop, because the length of a run of digits is what a branch
 * predictor cannot know.
 */
static inline int
take_eight(const char *s, Digits *digits)
{
	static const uint64 powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
	uint64 bytes;
	uint64 others; /* the high bit of each byte that is no digit, up to the first of them */
	int count;

	memcpy(&bytes, s, sizeof(bytes));
	bytes ^= EACH_BYTE('0');
	others = ((bytes + EACH_BYTE(0x80 - 10)) | bytes) & EACH_BYTE(0x80);
	count = others == 0 ? 8 : pg_rightmost_one_pos64(others) / 8;
	if (count == 0)
		return 0;

	/* Zeros before them in place of what follows; then pairs, fours, all eight. */
	bytes <<= 64 - 8 * count;
	bytes = bytes * 10 + (bytes >> 8);
	bytes &= UINT64CONST(0x00FF00FF00FF00FF);
	bytes = bytes * 100 + (bytes >> 16);
	bytes = (bytes & 0xFFFF) * 10000 + ((bytes >> 32) & 0xFFFF);
	digits->value = digits->value * powers[count] + bytes;
	digits->count += count;
	return count;
}

#endif

/* Appends all digits at s; returns what follows them. */
static inline const char *
take_digits(const char *s, const char *end, Digits *digits)
{
#ifndef WORDS_BIGENDIAN
	while (end - s >= 8)
	{
		int count = take_eight(s, digits);

		s += count;
		if (count < 8)
			return s;
	}
#endif
	for (; *s >= '0' && *s <= '9'; s++)
	{
		digits->value = digits->value * 10 + (uint64) (*s - '0');
		digits->count++;
	}
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
static inline const char *
parse_short_decimal(const char *s, const char *end, float *value)
{
#if FLT_EVAL_METHOD == 0
	static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
									1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
									1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	const int power_max = lengthof(powers) - 1;
	bool negative = (*s == '-');
	Digits digits = {0, 0};
	uint64 bits;
	int exponent = 0;
	double number;

	if (*s == '-' || *s == '+')
		s++;
	s = take_digits(s, end, &digits);
	if (*s == '.')
	{
		int whole = digits.count;

		s = take_digits(s + 1, end, &digits);
		exponent = whole - digits.count;
	}
	/* No digits: inf, nan, or an error. More than 18: their value may have wrapped around. */
	if (digits.count == 0 || digits.count > 18 || digits.value > (UINT64CONST(1) << 53) ||
		*s == 'x' || *s == 'X')
		return NULL;
	if (*s == 'e' || *s == 'E')
	{
		bool small = (s[1] == '-');
		Digits shift = {0, 0};

		s = take_digits(s + (s[1] == '-' || s[1] == '+' ? 2 : 1), end, &shift);
		if (shift.count == 0 || shift.count > 3)
			return NULL;
		exponent += small ? -(int) shift.value : (int) shift.value;
	}
	if (exponent < -power_max || exponent > power_max)
		return NULL;

	number = exponent < 0 ? (double) digits.value / powers[-exponent]
						  : (double) digits.value * powers[exponent];
	memcpy(&bits, &number, sizeof(bits));
	if ((bits & UINT64CONST(0x1FFFFFFF)) == UINT64CONST(0x10000000))
		return NULL;
	*value = (float) (negative ? -number : number);
	return s;
#else
	return NULL;
#endif
}

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
	const char *start = skip_space(s);
	const char *end = parse_short_decimal(start, literal->end, value);

	if (unlikely(end == NULL))
	{
		end = parse_any_number(literal, start, value);
		if (end == NULL)
			return NULL;
	}
	if (unlikely(fabsf(*value) >= literal->type->overflow))
		return refuse_range(literal, start, end);
	return skip_space(end);
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
	const char *s = skip_space(text);
	int dim = 0;

	if (*s != '[')
		return refuse_syntax(&literal, "Vector contents must start with \"[\".");
	s = skip_space(s + 1);
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
	if (*skip_space(s + 1) != '\0')
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
