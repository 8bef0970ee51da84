/*
 * opclass.c - the operator classes: which metric, and how to read the type.
 */
#include "postgres.h"

#include "access/genam.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/varbit.h"

#include "am/am.h"
#include "am/opclass.h"
#include "pg/compat.h"
#include "store/index.h"
#include "types/halfvec.h"
#include "types/sparsevec.h"
#include "types/vector.h"

/*
 * What support function 1 of the index's only column returns. A user may name
 * any function in CREATE OPERATOR CLASS; amvalidate tells, nobody enforces it.
 */
const OmendbOpclass *
omendb_opclass(Relation index)
{
	FmgrInfo *support = index_getprocinfo(index, 1, OMENDB_SUPPORT_PROC);

	return (const OmendbOpclass *) DatumGetPointer(
		FunctionCall1Coll(support, InvalidOid, PointerGetDatum(NULL)));
}

const void *
omendb_read_value(const OmendbOpclass *opclass, Datum value, int dimensions, float *buffer,
				  uint32 *hash)
{
	const OmendbIndexedType *type = opclass->type;
	const void *row;
	Size bytes;
	int dim;

	value = PointerGetDatum(PG_DETOAST_DATUM(value));
	dim = type->dim(value);
	if (dim != dimensions)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("expected %d dimensions, not %d", dimensions, dim));
	if (type->check != NULL)
		type->check(value);
	if (omendb_opclass_is_plain(opclass))
		row = type->payload(value, &bytes);
	else
	{
		row = type->elements(value, buffer);
		bytes = sizeof(float) * (Size) dim;
	}
	*hash = hash_bytes((const unsigned char *) row, (int) bytes);
	return row;
}

bool
omendb_opclass_is_plain(const OmendbOpclass *opclass)
{
	return omendb_keeps_values(opclass->type->kind, opclass->metric);
}

/* ---- types ---- */

static int
typmod_is_dim(int32 typmod)
{
	return typmod;
}

static int
vector_dim(Datum value)
{
	return ((const OmendbVector *) DatumGetPointer(value))->dim;
}

static const float *
vector_elements(Datum value, float *buffer)
{
	return ((const OmendbVector *) DatumGetPointer(value))->x;
}

static const void *
vector_payload(Datum value, Size *bytes)
{
	const OmendbVector *vector = (const OmendbVector *) DatumGetPointer(value);

	*bytes = sizeof(float) * (Size) vector->dim;
	return vector->x;
}

static void
vector_refuse_dim(int expected, int given)
{
	ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("different vector dimensions %d and %d", expected, given));
}

static const OmendbIndexedType vector_type = {
	OMENDB_TYPE_VECTOR, OMENDB_VECTOR_MAX_DIM, typmod_is_dim, vector_dim,
	vector_elements,    vector_payload,        NULL,          NULL,
	vector_refuse_dim};

static int
halfvec_dim(Datum value)
{
	return ((const OmendbHalfvec *) DatumGetPointer(value))->dim;
}

static const float *
halfvec_elements(Datum value, float *buffer)
{
	const OmendbHalfvec *halfvec = (const OmendbHalfvec *) DatumGetPointer(value);

	omendb_halves_to_floats(halfvec->x, buffer, halfvec->dim);
	return buffer;
}

static const void *
halfvec_payload(Datum value, Size *bytes)
{
	const OmendbHalfvec *halfvec = (const OmendbHalfvec *) DatumGetPointer(value);

	*bytes = sizeof(uint16) * (Size) halfvec->dim;
	return halfvec->x;
}

static void
halfvec_refuse_dim(int expected, int given)
{
	ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("different halfvec dimensions %d and %d", expected, given));
}

static const OmendbIndexedType halfvec_type = {
	OMENDB_TYPE_HALF,  OMENDB_VECTOR_MAX_DIM, typmod_is_dim, halfvec_dim,
	halfvec_elements,  halfvec_payload,       NULL,          NULL,
	halfvec_refuse_dim};

static int
bit_dim(Datum value)
{
	return VARBITLEN((VarBit *) DatumGetPointer(value));
}

static const void *
bit_payload(Datum value, Size *bytes)
{
	VarBit *bits = (VarBit *) DatumGetPointer(value);

	*bytes = (Size) VARBITBYTES(bits);
	return VARBITS(bits);
}

static void
bit_refuse_dim(int expected, int given)
{
	ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("different bit lengths %u and %u", (uint32) expected, (uint32) given));
}

static const OmendbIndexedType bit_type = {OMENDB_TYPE_BIT,
										   OMENDB_BIT_MAX_INDEXED_DIM,
										   typmod_is_dim,
										   bit_dim,
										   NULL,
										   bit_payload,
										   NULL,
										   NULL,
										   bit_refuse_dim};

static int
sparsevec_dim(Datum value)
{
	return ((const OmendbSparsevec *) DatumGetPointer(value))->dim;
}

/* From nnz on: the number of elements, a 0, indices, values. */
static const void *
sparsevec_payload(Datum value, Size *bytes)
{
	const OmendbSparsevec *vector = (const OmendbSparsevec *) DatumGetPointer(value);

	*bytes = OMENDB_SPARSEVEC_SIZE(vector->nnz) - offsetof(OmendbSparsevec, nnz);
	return &vector->nnz;
}

static double
sparsevec_norm(Datum value)
{
	return omendb_sparsevec_norm((const OmendbSparsevec *) DatumGetPointer(value));
}

static void
sparsevec_check(Datum value)
{
	if (((const OmendbSparsevec *) DatumGetPointer(value))->nnz > OMENDB_SPARSE_MAX_INDEXED)
		ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("sparsevec cannot have more than %d non-zero elements for omen_hnsw index",
					   OMENDB_SPARSE_MAX_INDEXED));
}

static void
sparsevec_refuse_dim(int expected, int given)
{
	ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("different sparsevec dimensions %d and %d", expected, given));
}

static const OmendbIndexedType sparsevec_type = {
	OMENDB_TYPE_SPARSE, OMENDB_SPARSEVEC_MAX_DIM, typmod_is_dim,   sparsevec_dim,       NULL,
	sparsevec_payload,  sparsevec_norm,           sparsevec_check, sparsevec_refuse_dim};

/* ---- operator classes ---- */

/* clang-format off */
#define OPCLASS(function, metric, type) \
	PG_FUNCTION_INFO_V1(function); \
	Datum function(PG_FUNCTION_ARGS) \
	{ \
		static const OmendbOpclass opclass = {metric, &(type)}; \
		PG_RETURN_POINTER(&opclass); \
	}
/* clang-format on */

OPCLASS(omendb_hnsw_vector_l2_support, OMENDB_METRIC_L2, vector_type)
OPCLASS(omendb_hnsw_vector_ip_support, OMENDB_METRIC_INNER_PRODUCT, vector_type)
OPCLASS(omendb_hnsw_vector_cosine_support, OMENDB_METRIC_COSINE, vector_type)
OPCLASS(omendb_hnsw_vector_l1_support, OMENDB_METRIC_L1, vector_type)
OPCLASS(omendb_hnsw_halfvec_l2_support, OMENDB_METRIC_L2, halfvec_type)
OPCLASS(omendb_hnsw_halfvec_ip_support, OMENDB_METRIC_INNER_PRODUCT, halfvec_type)
OPCLASS(omendb_hnsw_halfvec_cosine_support, OMENDB_METRIC_COSINE, halfvec_type)
OPCLASS(omendb_hnsw_halfvec_l1_support, OMENDB_METRIC_L1, halfvec_type)
OPCLASS(omendb_hnsw_bit_hamming_support, OMENDB_METRIC_HAMMING, bit_type)
OPCLASS(omendb_hnsw_bit_jaccard_support, OMENDB_METRIC_JACCARD, bit_type)
OPCLASS(omendb_hnsw_sparsevec_l2_support, OMENDB_METRIC_L2, sparsevec_type)
OPCLASS(omendb_hnsw_sparsevec_ip_support, OMENDB_METRIC_INNER_PRODUCT, sparsevec_type)
OPCLASS(omendb_hnsw_sparsevec_cosine_support, OMENDB_METRIC_COSINE, sparsevec_type)
OPCLASS(omendb_hnsw_sparsevec_l1_support, OMENDB_METRIC_L1, sparsevec_type)
