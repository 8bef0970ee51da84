/*
 * number.h - reading numbers out of the text form of the types.
 *
 * Inline, because an element of a literal takes 10 ns. Strings end with a NUL,
 * and `end` points at it.
 *
 * REQUIRES: postgres.h before it.
 */
#ifndef OMENDB_TYPES_NUMBER_H
#define OMENDB_TYPES_NUMBER_H

#include <errno.h>
#include <float.h>
#include <stdlib.h>

#include "port/pg_bitutils.h"

/* A run of digits: its value modulo 2^64, and how many they are. */
typedef struct OmendbDigits
{
	uint64 value;
	int count;
} OmendbDigits;

/* The same set under every server version and locale. */
static inline const char *
omendb_skip_space(const char *s)
{
	while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		s++;
	return s;
}

#ifndef WORDS_BIGENDIAN

#define OMENDB_EACH_BYTE(x) (UINT64CONST(0x0101010101010101) * (x))

/*
 * Appends up to eight digits at s, where eight bytes may be read; returns how
 * many. Without a loop, because the length of a run of digits is what a branch
 * predictor cannot know.
 */
static inline int
omendb_take_eight(const char *s, OmendbDigits *digits)
{
	static const uint64 powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
	uint64 bytes;
	uint64 others; /* the high bit of each byte that is no digit, up to the first of them */
	int count;

	memcpy(&bytes, s, sizeof(bytes));
	bytes ^= OMENDB_EACH_BYTE('0');
	others = ((bytes + OMENDB_EACH_BYTE(0x80 - 10)) | bytes) & OMENDB_EACH_BYTE(0x80);
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
omendb_take_digits(const char *s, const char *end, OmendbDigits *digits)
{
#ifndef WORDS_BIGENDIAN
	while (end - s >= 8)
	{
		int count = omendb_take_eight(s, digits);

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
omendb_parse_short_decimal(const char *s, const char *end, float *value)
{
#if FLT_EVAL_METHOD == 0
	static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
									1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
									1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	const int power_max = lengthof(powers) - 1;
	bool negative = (*s == '-');
	OmendbDigits digits = {0, 0};
	uint64 bits;
	int exponent = 0;
	double number;

	if (*s == '-' || *s == '+')
		s++;
	s = omendb_take_digits(s, end, &digits);
	if (*s == '.')
	{
		int whole = digits.count;

		s = omendb_take_digits(s + 1, end, &digits);
		exponent = whole - digits.count;
	}
	/* No digits: inf, nan, or an error. More than 18: their value may have wrapped around. */
	if (digits.count == 0 || digits.count > 18 || digits.value > (UINT64CONST(1) << 53) ||
		*s == 'x' || *s == 'X')
		return NULL;
	if (*s == 'e' || *s == 'E')
	{
		bool small = (s[1] == '-');
		OmendbDigits shift = {0, 0};

		s = omendb_take_digits(s + (s[1] == '-' || s[1] == '+' ? 2 : 1), end, &shift);
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

/*
 * strtof(), several times as fast for short decimals: the same value and end;
 * *stop == s when there is no number. errno is ERANGE when strtof() says so,
 * which is at least when a number became infinite or 0, else 0. Not strtod(),
 * which would round twice. LC_NUMERIC is C in the server.
 */
static inline float
omendb_strtof(const char *s, const char *end, const char **stop)
{
	float value;

	errno = 0;
	*stop = omendb_parse_short_decimal(s, end, &value);
	if (unlikely(*stop == NULL))
		value = strtof(s, (char **) stop);
	return value;
}

#endif
