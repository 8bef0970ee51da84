/*
 * halfvec.h - the SQL type halfvec: a row of IEEE 754 half-precision numbers.
 *
 * The bytes of a datum, the text and the binary form are those of pgvector's
 * type. A valid value has 1 to OMENDB_VECTOR_MAX_DIM elements, all finite, and
 * unused == 0. Elements are kept as their 16 bits; C has no such type
 * everywhere, so arithmetic goes through float4, which is exact on the way in.
 */
#ifndef OMENDB_TYPES_HALFVEC_H
#define OMENDB_TYPES_HALFVEC_H

#include "fmgr.h"

#include "base/limits.h"
#include "types/elements.h"

typedef struct OmendbHalfvec
{
	int32 vl_len_; /* varlena header, do not touch directly */
	int16 dim;     /* number of elements */
	int16 unused;  /* reserved, always 0 */
	uint16 x[FLEXIBLE_ARRAY_MEMBER];
} OmendbHalfvec;

#define OMENDB_HALFVEC_SIZE(dim) (offsetof(OmendbHalfvec, x) + sizeof(uint16) * (Size) (dim))

/* Detoasted, with a 4-byte header, aligned; the datum itself when it is that already. */
#define DatumGetOmendbHalfvec(datum) ((OmendbHalfvec *) PG_DETOAST_DATUM(datum))
#define PG_GETARG_OMENDB_HALFVEC(n)  DatumGetOmendbHalfvec(PG_GETARG_DATUM(n))

/* Elements that are widened to float4 at a time, on the stack. */
#define OMENDB_HALF_CHUNK 512

/* A halfvec of dim elements, not set yet, in the current memory context. */
extern OmendbHalfvec *omendb_halfvec_new(int dim);

/*
 * A halfvec of n float4, each rounded to the nearest half, ties to even. Raises
 * an error for a number that becomes infinite that way, then for one that is
 * not finite to begin with.
 */
extern OmendbHalfvec *omendb_halfvec_from_floats(const float *x, int n);

/* n halves as float4, exactly; n floats as halves, to nearest even, overflow to infinity. */
extern void omendb_halves_to_floats(const uint16 *h, float *x, int n);
extern void omendb_floats_to_halves(const float *x, uint16 *h, int n);

/* Whether all n halves are finite. */
extern bool omendb_halves_finite(const uint16 *h, int n);

/* Raises the error for the first of n halves that is not finite, if there is such. */
extern void omendb_halfvec_check_elements(const uint16 *h, int n);

/* Two halfvecs that are to be combined element by element. */
extern void omendb_halfvec_check_same_dim(const OmendbHalfvec *a, const OmendbHalfvec *b);

/* One half as a float4, exactly. */
static inline float
omendb_half_to_float(uint16 h)
{
	uint32 bits = (uint32) (h & 0x7FFF) << 13;
	uint32 sign = (uint32) (h & 0x8000) << 16;
	float magnitude;

	/* 2^112 is the difference of the exponents' biases; a float has room for all half denormals. */
	memcpy(&magnitude, &bits, sizeof(magnitude));
	magnitude *= 0x1p112f;
	memcpy(&bits, &magnitude, sizeof(bits));
	if ((h & 0x7C00) == 0x7C00)
		bits |= 0x7F800000;
	bits |= sign;
	memcpy(&magnitude, &bits, sizeof(magnitude));
	return magnitude;
}

#endif
