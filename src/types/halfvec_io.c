/*
 * halfvec_io.c - halfvec: text and binary form, type modifier, conversions.
 *
 * Text is read as float4, as vector does, and then rounded to half. It is
 * written as the float4 of each element, with the fewest digits for that type:
 * 0.1 comes back as 0.099975586. Binary is int16 dim, int16 0, then dim halves,
 * in network order.
 */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "port/pg_bswap.h"

#include "pg/compat.h"
#include "simd/kernels.h"
#include "types/halfvec.h"

PG_FUNCTION_INFO_V1(omendb_halfvec_in);
PG_FUNCTION_INFO_V1(omendb_halfvec_out);
PG_FUNCTION_INFO_V1(omendb_halfvec_typmod_in);
PG_FUNCTION_INFO_V1(omendb_halfvec_recv);
PG_FUNCTION_INFO_V1(omendb_halfvec_send);

#define HALF_INFINITY 0x7C00

OmendbHalfvec *
omendb_halfvec_new(int dim)
{
	Size size = OMENDB_HALFVEC_SIZE(dim);
	OmendbHalfvec *result = palloc(size);

	Assert(dim >= 1 && dim <= OMENDB_VECTOR_MAX_DIM);
	SET_VARSIZE(result, size);
	result->dim = (int16) dim;
	result->unused = 0;
	return result;
}

void
omendb_halfvec_check_same_dim(const OmendbHalfvec *a, const OmendbHalfvec *b)
{
	if (a->dim != b->dim)
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("different halfvec dimensions %d and %d", a->dim, b->dim));
}

void
omendb_halves_to_floats(const uint16 *h, float *x, int n)
{
	omendb_kernels->f16_to_f32(h, x, (size_t) n);
}

void
omendb_floats_to_halves(const float *x, uint16 *h, int n)
{
	omendb_kernels->f32_to_f16(x, h, (size_t) n);
}

bool
omendb_halves_finite(const uint16 *h, int n)
{
	bool finite = true;

	for (int i = 0; i < n; i++)
		finite &= (h[i] & HALF_INFINITY) != HALF_INFINITY;
	return finite;
}

void
omendb_halfvec_check_elements(const uint16 *h, int n)
{
	if (omendb_halves_finite(h, n))
		return;
	for (int i = 0; i < n; i++)
	{
		if ((h[i] & HALF_INFINITY) == HALF_INFINITY)
			omendb_refuse_element(&omendb_halfvec_elements, omendb_half_to_float(h[i]), NULL);
	}
}

static void
refuse_range(float value)
{
	char text[FLOAT_SHORTEST_DECIMAL_LEN];

	float_to_shortest_decimal_buf(value, text);
	ereport(ERROR, errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			errmsg("\"%s\" is out of range for type halfvec", text));
}

OmendbHalfvec *
omendb_halfvec_from_floats(const float *x, int n)
{
	OmendbHalfvec *result = omendb_halfvec_new(n);

	omendb_floats_to_halves(x, result->x, n);
	if (unlikely(!omendb_halves_finite(result->x, n)))
	{
		for (int i = 0; i < n; i++)
		{
			if (isfinite(x[i]) && (result->x[i] & HALF_INFINITY) == HALF_INFINITY)
				refuse_range(x[i]);
		}
		omendb_check_elements(&omendb_halfvec_elements, x, n);
	}
	return result;
}

Datum
omendb_halfvec_in(PG_FUNCTION_ARGS)
{
	int32 typmod = PG_GETARG_INT32(2);
	struct Node *escontext = (struct Node *) fcinfo->context;
	float x[OMENDB_VECTOR_MAX_DIM];
	int dim = omendb_parse_elements(&omendb_halfvec_elements, PG_GETARG_CSTRING(0), x, escontext);

	if (dim == 0 || !omendb_check_typmod(typmod, dim, escontext))
		return (Datum) 0;
	PG_RETURN_POINTER(omendb_halfvec_from_floats(x, dim));
}

Datum
omendb_halfvec_out(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	float x[OMENDB_VECTOR_MAX_DIM];
	char *text;

	omendb_halves_to_floats(halfvec->x, x, halfvec->dim);
	text = omendb_format_elements(x, halfvec->dim);

	PG_FREE_IF_COPY(halfvec, 0);
	PG_RETURN_CSTRING(text);
}

Datum
omendb_halfvec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(omendb_element_typmod(&omendb_halfvec_elements, PG_GETARG_ARRAYTYPE_P(0)));
}

Datum
omendb_halfvec_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	int32 typmod = PG_GETARG_INT32(2);
	int dim = omendb_receive_header(&omendb_halfvec_elements, message, typmod);
	OmendbHalfvec *result = omendb_halfvec_new(dim);
	int available;
	const char *elements = omendb_take_elements(message, dim, sizeof(uint16), &available);

	for (int i = 0; i < available; i++)
	{
		uint16 bits;

		memcpy(&bits, elements + sizeof(bits) * (Size) i, sizeof(bits));
		result->x[i] = pg_ntoh16(bits);
	}
	omendb_halfvec_check_elements(result->x, available);
	omendb_end_receive(message, dim, available, sizeof(uint16));
	PG_RETURN_POINTER(result);
}

Datum
omendb_halfvec_send(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	StringInfoData message;
	char *elements = omendb_begin_elements(&message, halfvec->dim, sizeof(uint16));

	for (int i = 0, dim = halfvec->dim; i < dim; i++)
	{
		uint16 bits = pg_hton16(halfvec->x[i]);

		memcpy(elements + sizeof(bits) * (Size) i, &bits, sizeof(bits));
	}

	PG_FREE_IF_COPY(halfvec, 0);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}
