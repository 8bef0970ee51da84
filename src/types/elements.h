/*
 * elements.h - what vector and halfvec share, and sparsevec in part: checks,
 * text and binary form, casts from arrays, length coercion.
 *
 * All are numbers that are finite in the type's own precision. Text, arrays and
 * raw bytes are read as float4 first; a halfvec rounds that. sparsevec has a text
 * and a binary form of its own.
 */
#ifndef OMENDB_TYPES_ELEMENTS_H
#define OMENDB_TYPES_ELEMENTS_H

#include <math.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"

#include "base/limits.h"

typedef struct OmendbElementType
{
	const char *name; /* of the SQL type, for messages */
	int max_dim;
	float overflow; /* the smallest magnitude that rounds to infinity; float4: infinity */
} OmendbElementType;

extern const OmendbElementType omendb_vector_elements;
extern const OmendbElementType omendb_halfvec_elements;
extern const OmendbElementType omendb_sparsevec_elements;

/*
 * The checks every constructor makes. They return true when the value is good.
 * Otherwise they raise the error or, given an ErrorSaveContext (16+), leave it
 * there and return false; escontext may be NULL.
 */
extern bool omendb_check_dim(const OmendbElementType *type, int dim, struct Node *escontext);
extern bool omendb_check_typmod(int32 typmod, int dim, struct Node *escontext);

/* REQUIRES: value is infinite or no number. Raises the error that says which. */
extern bool omendb_refuse_element(const OmendbElementType *type, float value,
								  struct Node *escontext);

static inline bool
omendb_check_element(const OmendbElementType *type, float value, struct Node *escontext)
{
	return likely(isfinite(value)) || omendb_refuse_element(type, value, escontext);
}

/* Raises the error for the first of n elements that is not finite, if there is such. */
extern void omendb_check_elements(const OmendbElementType *type, const float *x, int n);

/*
 * Reads "[1,2.5,-3]", white space allowed between the tokens, into x, which has
 * room for OMENDB_VECTOR_MAX_DIM elements. Returns how many there are, or 0
 * when the error is in escontext. Numbers are what strtof makes of them.
 */
extern int omendb_parse_elements(const OmendbElementType *type, const char *literal, float *x,
								 struct Node *escontext);

/* The same as palloc'd text, with the fewest digits that read back equal. */
extern char *omendb_format_elements(const float *x, int n);

/*
 * Reads the header of the binary form, int16 dim and int16 0, and checks it
 * against the type modifier. Returns the dimensions.
 */
extern int omendb_receive_header(const OmendbElementType *type, StringInfo message, int32 typmod);

/* Starts a message of header and n elements of size bytes; returns where they go. */
extern char *omendb_begin_elements(StringInfo message, int n, Size size);

/*
 * Takes up to n elements of size bytes off the message; returns them and sets
 * *available to their number, which is less than n when the message is too
 * short. The caller looks at those first and then calls omendb_end_receive().
 */
extern const char *omendb_take_elements(StringInfo message, int n, Size size, int *available);
extern void omendb_end_receive(StringInfo message, int n, int available, Size size);

/* The one type modifier, checked. */
extern int32 omendb_element_typmod(const OmendbElementType *type, ArrayType *modifiers);

/*
 * The number of elements of an array of integer, real, double precision or
 * numeric, after all checks but those of the elements themselves.
 */
extern int omendb_array_dim(const OmendbElementType *type, ArrayType *array, int32 typmod);

/* Its elements as float4; x has room for omendb_array_dim() of them. */
extern void omendb_array_elements(ArrayType *array, float *x);

/* A new real[] of n elements; *x points at them, unset. */
extern ArrayType *omendb_new_float4_array(int n, float **x);

/*
 * The number of elements of size bytes that raw bytes hold, after the checks
 * of their length; the elements start at VARDATA_ANY(bytes).
 */
extern int omendb_raw_dim(const OmendbElementType *type, const bytea *bytes, Size size,
						  int32 typmod);

/*
 * Asks for what a sequential scan will read next but one, when value is one of
 * equally wide rows on a page: rows lie there from the end to the start, which no
 * hardware prefetcher follows. Elsewhere it does no harm: nothing is accessed. A
 * short value comes along with its header, a long one has its page to itself.
 */
static inline void
omendb_prefetch_row(const void *value)
{
	const Size line = 64;
	const Size header = 32; /* of the tuple */
	Size size = VARSIZE(value) + header;

	if (size < 4 * line || size > BLCKSZ / 4)
		return;
	for (Size i = 0; i < size; i += line)
		__builtin_prefetch((const void *) ((uintptr_t) value - 2 * size + i));
}

/* Whether all n floats are finite. */
static inline bool
omendb_all_finite(const float *x, int n)
{
	uint32 infinite = 0;

	for (int i = 0; i < n; i++)
	{
		uint32 bits;

		memcpy(&bits, &x[i], sizeof(bits));
		infinite |= (bits & 0x7F800000) == 0x7F800000;
	}
	return infinite == 0;
}

/* A rounded cosine back into [-1, 1]; NaN stays. */
extern double omendb_clamp_cosine(double cosine);

#endif
