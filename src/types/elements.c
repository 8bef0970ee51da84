/*
 * elements.c - what vector and halfvec share, and sparsevec in part, but for the
 * text form.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "pg/compat.h"
#include "types/elements.h"

const OmendbElementType omendb_vector_elements = {"vector", OMENDB_VECTOR_MAX_DIM, INFINITY};
/* Halfway between 65504, the largest half, and the next power of two, which would be the next. */
const OmendbElementType omendb_halfvec_elements = {"halfvec", OMENDB_VECTOR_MAX_DIM, 65520.0f};
const OmendbElementType omendb_sparsevec_elements = {"sparsevec", OMENDB_SPARSEVEC_MAX_DIM,
													 INFINITY};

bool
omendb_check_dim(const OmendbElementType *type, int dim, struct Node *escontext)
{
	if (dim < 1)
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("%s must have at least 1 dimension", type->name));
	if (dim > type->max_dim)
		ereturn(escontext, false, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("%s cannot have more than %d dimensions", type->name, type->max_dim));
	return true;
}

bool
omendb_check_typmod(int32 typmod, int dim, struct Node *escontext)
{
	if (typmod != -1 && typmod != dim)
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("expected %d dimensions, not %d", typmod, dim));
	return true;
}

bool
omendb_refuse_element(const OmendbElementType *type, float value, struct Node *escontext)
{
	if (isnan(value))
		ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("NaN not allowed in %s", type->name));
	ereturn(escontext, false, errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("infinite value not allowed in %s", type->name));
}

void
omendb_check_elements(const OmendbElementType *type, const float *x, int n)
{
	if (likely(omendb_all_finite(x, n)))
		return;
	for (int i = 0; i < n; i++)
	{
		if (!isfinite(x[i]))
			omendb_refuse_element(type, x[i], NULL);
	}
}

/* ---- binary form ---- */

int
omendb_receive_header(const OmendbElementType *type, StringInfo message, int32 typmod)
{
	/* Both unsigned: a negative number of dimensions is one that is too large. */
	int dim = (int) pq_getmsgint(message, sizeof(int16));
	int unused = (int) pq_getmsgint(message, sizeof(int16));

	omendb_check_dim(type, dim, NULL);
	omendb_check_typmod(typmod, dim, NULL);
	if (unused != 0)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("expected unused to be 0, not %d", unused));
	return dim;
}

const char *
omendb_take_elements(StringInfo message, int n, Size size, int *available)
{
	int left = (message->len - message->cursor) / (int) size;
	const char *elements = message->data + message->cursor;

	*available = Min(n, left);
	message->cursor += *available * (int) size;
	return elements;
}

void
omendb_end_receive(StringInfo message, int n, int available, Size size)
{
	/* Raises the protocol's own error. */
	if (available < n)
		(void) pq_getmsgbytes(message, (n - available) * (int) size);
}

char *
omendb_begin_elements(StringInfo message, int n, Size size)
{
	int bytes = n * (int) size;
	char *elements;

	pq_begintypsend(message);
	enlargeStringInfo(message, 2 * (int) sizeof(int16) + bytes);
	pq_sendint16(message, (uint16) n);
	pq_sendint16(message, 0);
	elements = message->data + message->len;
	message->len += bytes;
	message->data[message->len] = '\0';
	return elements;
}

/* ---- type modifier, casts ---- */

int32
omendb_element_typmod(const OmendbElementType *type, ArrayType *modifiers)
{
	int count;
	int32 *dim = ArrayGetIntegerTypmods(modifiers, &count);

	if (count != 1)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid type modifier"));
	if (*dim < 1)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("dimensions for type %s must be at least 1", type->name));
	if (*dim > type->max_dim)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("dimensions for type %s cannot exceed %d", type->name, type->max_dim));
	return *dim;
}

int
omendb_array_dim(const OmendbElementType *type, ArrayType *array, int32 typmod)
{
	int dim;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION), errmsg("array must be 1-D"));
	if (array_contains_nulls(array))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("array must not contain nulls"));
	dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	omendb_check_dim(type, dim, NULL);
	omendb_check_typmod(typmod, dim, NULL);
	return dim;
}

static void
elements_of_numeric(ArrayType *array, float *x)
{
	Datum *elements;
	int count;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		/* There may be a hundred million, by way of their text. */
		CHECK_FOR_INTERRUPTS();
		x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));
	}
	pfree(elements);
}

/* ARR_DATA_PTR, which warns of mixed signs under -Wextra. */
static const char *
array_data(ArrayType *array)
{
	Size offset = ARR_HASNULL(array) ? (Size) array->dataoffset
									 : (Size) ARR_OVERHEAD_NONULLS(ARR_NDIM(array));

	return (const char *) array + offset;
}

void
omendb_array_elements(ArrayType *array, float *x)
{
	/* One dimension, no nulls: fixed-size elements lie side by side. */
	const char *data = array_data(array);
	int dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	switch (ARR_ELEMTYPE(array))
	{
		case INT4OID:
			for (int i = 0; i < dim; i++)
				x[i] = (float) ((const int32 *) data)[i];
			break;
		case FLOAT4OID:
			memcpy(x, data, sizeof(float) * (Size) dim);
			break;
		case FLOAT8OID:
			/* Too large becomes infinite, which the caller refuses. */
			for (int i = 0; i < dim; i++)
				x[i] = (float) ((const float8 *) data)[i];
			break;
		case NUMERICOID:
			elements_of_numeric(array, x);
			break;
		default:
			ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION), errmsg("unsupported array type"));
	}
}

/* Built in place: construct_array would want a Datum for each element. */
ArrayType *
omendb_new_float4_array(int n, float **x)
{
	Size size = ARR_OVERHEAD_NONULLS(1) + sizeof(float4) * (Size) n;
	ArrayType *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0; /* no null bitmap */
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	*x = (float *) ((char *) array + ARR_OVERHEAD_NONULLS(1));
	return array;
}

int
omendb_raw_dim(const OmendbElementType *type, const bytea *bytes, Size size, int32 typmod)
{
	Size length = VARSIZE_ANY_EXHDR(bytes);
	/* At most 1 GB, so that a number of elements is an int. */
	int dim = (int) (length / size);

	if (length % size != 0)
		ereport(ERROR, errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("invalid length of bytea for type %s: %zu", type->name, length),
				errdetail("Each element takes %zu bytes, little-endian.", size));
	omendb_check_dim(type, dim, NULL);
	omendb_check_typmod(typmod, dim, NULL);
	return dim;
}

/* ---- numbers ---- */

double
omendb_clamp_cosine(double cosine)
{
	if (cosine > 1)
		return 1;
	if (cosine < -1)
		return -1;
	return cosine;
}
