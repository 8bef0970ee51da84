/*
 * vector_io.c - vector: text and binary form, type modifier.
 *
 * Binary is int16 dim, int16 0, then dim float4, in network order.
 */
#include "postgres.h"

#include "libpq/pqformat.h"
#include "port/pg_bswap.h"

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
	OmendbVector *result = palloc(size);

	Assert(dim >= 1 && dim <= OMENDB_VECTOR_MAX_DIM);
	SET_VARSIZE(result, size);
	result->dim = (int16) dim;
	result->unused = 0;
	return result;
}

void
omendb_vector_check_same_dim(const OmendbVector *a, const OmendbVector *b)
{
	if (a->dim != b->dim)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("different vector dimensions %d and %d", a->dim, b->dim));
}

Datum
omendb_vector_in(PG_FUNCTION_ARGS)
{
	int32 typmod = PG_GETARG_INT32(2);
	struct Node *escontext = (struct Node *) fcinfo->context;
	float x[OMENDB_VECTOR_MAX_DIM];
	int dim = omendb_parse_elements(&omendb_vector_elements, PG_GETARG_CSTRING(0), x, escontext);
	OmendbVector *result;

	if (dim == 0 || !omendb_check_typmod(typmod, dim, escontext))
		return (Datum) 0;
	result = omendb_vector_new(dim);
	memcpy(result->x, x, sizeof(float) * (Size) dim);
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_out(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	char *text = omendb_format_elements(vector->x, vector->dim);

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_CSTRING(text);
}

Datum
omendb_vector_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(omendb_element_typmod(&omendb_vector_elements, PG_GETARG_ARRAYTYPE_P(0)));
}

Datum
omendb_vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	int32 typmod = PG_GETARG_INT32(2);
	int dim = omendb_receive_header(&omendb_vector_elements, message, typmod);
	OmendbVector *result = omendb_vector_new(dim);
	int available;
	const char *elements = omendb_take_elements(message, dim, sizeof(float), &available);

	for (int i = 0; i < available; i++)
	{
		uint32 bits;

		memcpy(&bits, elements + sizeof(bits) * (Size) i, sizeof(bits));
		bits = pg_ntoh32(bits);
		memcpy(&result->x[i], &bits, sizeof(bits));
	}
	omendb_check_elements(&omendb_vector_elements, result->x, available);
	omendb_end_receive(message, dim, available, sizeof(float));
	PG_RETURN_POINTER(result);
}

Datum
omendb_vector_send(PG_FUNCTION_ARGS)
{
	OmendbVector *vector = PG_GETARG_OMENDB_VECTOR(0);
	StringInfoData message;
	char *elements = omendb_begin_elements(&message, vector->dim, sizeof(float));

	for (int i = 0, dim = vector->dim; i < dim; i++)
	{
		uint32 bits;

		memcpy(&bits, &vector->x[i], sizeof(bits));
		bits = pg_hton32(bits);
		memcpy(elements + sizeof(bits) * (Size) i, &bits, sizeof(bits));
	}

	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
