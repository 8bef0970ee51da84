/*
 * vector.h - the SQL type vector: a row of float4.
 *
 * The bytes of a datum, the text and the binary form are those of pgvector's
 * type. A valid value has 1 to OMENDB_VECTOR_MAX_DIM elements, all finite, and
 * unused == 0; every function that makes one upholds that, so that the others
 * need not check it again.
 */
#ifndef OMENDB_TYPES_VECTOR_H
#define OMENDB_TYPES_VECTOR_H

#include <math.h>

#include "fmgr.h"

#include "base/limits.h"
#include "types/elements.h"

typedef struct OmendbVector
{
	int32 vl_len_; /* varlena header, do not touch directly */
	int16 dim;     /* number of elements */
	int16 unused;  /* reserved, always 0 */
	float x[FLEXIBLE_ARRAY_MEMBER];
} OmendbVector;

#define OMENDB_VECTOR_SIZE(dim) (offsetof(OmendbVector, x) + sizeof(float) * (Size) (dim))

/* Detoasted, with a 4-byte header, aligned; the datum itself when it is that already. */
#define DatumGetOmendbVector(datum) ((OmendbVector *) PG_DETOAST_DATUM(datum))
#define PG_GETARG_OMENDB_VECTOR(n)  DatumGetOmendbVector(PG_GETARG_DATUM(n))

/* A vector of dim elements, not set yet, in the current memory context. */
extern OmendbVector *omendb_vector_new(int dim);

/* The check of elements.h for this type. */
static inline bool
omendb_vector_check_dim(int dim, struct Node *escontext)
{
	return omendb_check_dim(&omendb_vector_elements, dim, escontext);
}

/* Two vectors that are to be combined element by element. */
extern void omendb_vector_check_same_dim(const OmendbVector *a, const OmendbVector *b);

#endif
