/*
 * sparsevec.h - the SQL type sparsevec: the elements of a vector that are not 0.
 *
 * The bytes of a datum, the text and the binary form are those of pgvector's
 * type. A valid value has 1 to OMENDB_SPARSEVEC_MAX_DIM dimensions, at most
 * OMENDB_SPARSEVEC_MAX_NNZ elements and no more than dimensions; indices ascend
 * strictly within [0, dim); values are finite and not 0; unused == 0. Every
 * function that makes one upholds that, so that the others need not check it
 * again.
 */
#ifndef OMENDB_TYPES_SPARSEVEC_H
#define OMENDB_TYPES_SPARSEVEC_H

#include "fmgr.h"

#include "base/limits.h"

typedef struct OmendbSparsevec
{
	int32 vl_len_; /* varlena header, do not touch directly */
	int32 dim;     /* number of dimensions */
	int32 nnz;     /* number of elements that are stored */
	int32 unused;  /* reserved, always 0 */
	int32 indices[FLEXIBLE_ARRAY_MEMBER];
	/* float values[nnz] follow */
} OmendbSparsevec;

#define OMENDB_SPARSEVEC_SIZE(nnz) \
	(offsetof(OmendbSparsevec, indices) + (sizeof(int32) + sizeof(float)) * (Size) (nnz))

/* Detoasted, with a 4-byte header, aligned; the datum itself when it is that already. */
#define DatumGetOmendbSparsevec(datum) ((OmendbSparsevec *) PG_DETOAST_DATUM(datum))
#define PG_GETARG_OMENDB_SPARSEVEC(n)  DatumGetOmendbSparsevec(PG_GETARG_DATUM(n))

/* The nnz values, in the order of indices. */
static inline float *
omendb_sparsevec_values(const OmendbSparsevec *vector)
{
	return (float *) (vector->indices + vector->nnz);
}

/* In the current memory context, with indices and values yet to be set. */
extern OmendbSparsevec *omendb_sparsevec_new(int dim, int nnz);

/*
 * Says that there are too many elements: raises the error or, given an
 * ErrorSaveContext (16+), leaves it there and returns false; escontext may be NULL.
 */
extern bool omendb_sparsevec_refuse_nnz(struct Node *escontext);

/* Two values that are to be combined element by element. */
extern void omendb_sparsevec_check_same_dim(const OmendbSparsevec *a, const OmendbSparsevec *b);

/*
 * What the operators compute, for any two values, their dimensions not looked
 * at. Sums are float4; a distance may thus be infinite. Indices that do not
 * ascend give some number, in as many steps. The cosine distance with a vector
 * without direction, or with one too long to tell, is NaN. The norm is summed in
 * float8.
 */
extern float omendb_sparsevec_l2_squared(const OmendbSparsevec *a, const OmendbSparsevec *b);
extern float omendb_sparsevec_dot(const OmendbSparsevec *a, const OmendbSparsevec *b);
extern float omendb_sparsevec_l1(const OmendbSparsevec *a, const OmendbSparsevec *b);
extern double omendb_sparsevec_cosine(const OmendbSparsevec *a, const OmendbSparsevec *b);
extern double omendb_sparsevec_norm(const OmendbSparsevec *vector);

#endif
