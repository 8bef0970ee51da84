/*
 * halfvec_arithmetic.c - halfvec: + - * ||, parts of a halfvec, signs as bits.
 *
 * Elements stay finite: a result that is not is an overflow error, and so is a
 * product that became 0 of factors that are not.
 *
 * A sum, difference or product of two halves is computed in float4 and then
 * rounded: the float has more than twice the digits and two, so that rounding
 * twice is the same as once.
 */
#include "postgres.h"

#include "utils/float.h"
#include "utils/varbit.h"

#include "pg/compat.h"
#include "types/halfvec.h"

PG_FUNCTION_INFO_V1(omendb_halfvec_add);
PG_FUNCTION_INFO_V1(omendb_halfvec_sub);
PG_FUNCTION_INFO_V1(omendb_halfvec_mul);
PG_FUNCTION_INFO_V1(omendb_halfvec_concat);
PG_FUNCTION_INFO_V1(omendb_halfvec_subvector);
PG_FUNCTION_INFO_V1(omendb_halfvec_binary_quantize);

/* a[i] = a[i] op b[i] for all n */
typedef void (*FloatOperation)(float *a, const float *b, int n);

static void
add_floats(float *a, const float *b, int n)
{
	for (int i = 0; i < n; i++)
		a[i] += b[i];
}

static void
subtract_floats(float *a, const float *b, int n)
{
	for (int i = 0; i < n; i++)
		a[i] -= b[i];
}

static void
multiply_floats(float *a, const float *b, int n)
{
	for (int i = 0; i < n; i++)
		a[i] *= b[i];
}

/* result, which may be a, = a op b, not checked. */
static void
combine_halves(const OmendbHalfvec *a, const OmendbHalfvec *b, FloatOperation operation,
			   OmendbHalfvec *result)
{
	for (int i = 0; i < a->dim; i += OMENDB_HALF_CHUNK)
	{
		int n = Min(OMENDB_HALF_CHUNK, a->dim - i);
		float x[OMENDB_HALF_CHUNK];
		float y[OMENDB_HALF_CHUNK];

		omendb_halves_to_floats(a->x + i, x, n);
		omendb_halves_to_floats(b->x + i, y, n);
		operation(x, y, n);
		omendb_floats_to_halves(x, result->x + i, n);
	}
}

/* Also the transition of the aggregate sum, whose state is its own to change. */
Datum
omendb_halfvec_add(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *a = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbHalfvec *b = PG_GETARG_OMENDB_HALFVEC(1);
	OmendbHalfvec *result;

	omendb_halfvec_check_same_dim(a, b);
	omendb_prefetch_row(b);
	result = AggCheckCallContext(fcinfo, NULL) ? a : omendb_halfvec_new(a->dim);
	combine_halves(a, b, add_floats, result);
	if (!omendb_halves_finite(result->x, result->dim))
		float_overflow_error();
	PG_RETURN_POINTER(result);
}

Datum
omendb_halfvec_sub(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *a = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbHalfvec *b = PG_GETARG_OMENDB_HALFVEC(1);
	OmendbHalfvec *result;

	omendb_halfvec_check_same_dim(a, b);
	result = omendb_halfvec_new(a->dim);
	combine_halves(a, b, subtract_floats, result);
	if (!omendb_halves_finite(result->x, result->dim))
		float_overflow_error();
	PG_RETURN_POINTER(result);
}

Datum
omendb_halfvec_mul(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *a = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbHalfvec *b = PG_GETARG_OMENDB_HALFVEC(1);
	OmendbHalfvec *result;

	omendb_halfvec_check_same_dim(a, b);
	result = omendb_halfvec_new(a->dim);
	combine_halves(a, b, multiply_floats, result);
	for (int i = 0; i < a->dim; i++)
	{
		/* The first element out of range decides which of the two errors it is. */
		if ((result->x[i] & 0x7FFF) == 0x7C00)
			float_overflow_error();
		if ((result->x[i] & 0x7FFF) == 0 && (a->x[i] & 0x7FFF) != 0 && (b->x[i] & 0x7FFF) != 0)
			float_underflow_error();
	}
	PG_RETURN_POINTER(result);
}

Datum
omendb_halfvec_concat(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *a = PG_GETARG_OMENDB_HALFVEC(0);
	OmendbHalfvec *b = PG_GETARG_OMENDB_HALFVEC(1);
	int dim = a->dim + b->dim;
	OmendbHalfvec *result;

	omendb_check_dim(&omendb_halfvec_elements, dim, NULL);
	result = omendb_halfvec_new(dim);
	memcpy(result->x, a->x, sizeof(uint16) * (Size) a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(uint16) * (Size) b->dim);
	PG_RETURN_POINTER(result);
}

/*
 * subvector(halfvec, start, count): as substring, elements start to
 * start + count - 1 counted from 1, as far as they exist; but one must.
 */
Datum
omendb_halfvec_subvector(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	int64 start = PG_GETARG_INT32(1);
	int64 count = PG_GETARG_INT32(2);
	int64 first = Max(start, 1);
	int64 last = Min(start + count - 1, halfvec->dim);
	int dim = (int) Max(last - first + 1, 0);
	OmendbHalfvec *result;

	omendb_check_dim(&omendb_halfvec_elements, dim, NULL);
	result = omendb_halfvec_new(dim);
	memcpy(result->x, halfvec->x + (first - 1), sizeof(uint16) * (Size) dim);
	PG_RETURN_POINTER(result);
}

/* Bit i tells whether element i is positive. */
Datum
omendb_halfvec_binary_quantize(PG_FUNCTION_ARGS)
{
	OmendbHalfvec *halfvec = PG_GETARG_OMENDB_HALFVEC(0);
	int size = VARBITTOTALLEN(halfvec->dim);
	VarBit *result = palloc0((Size) size);
	bits8 *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = halfvec->dim;
	for (int i = 0; i < halfvec->dim; i++)
	{
		/* Not negative, not zero: of the bits as a signed number. */
		if ((int16) halfvec->x[i] > 0)
			bits[i / BITS_PER_BYTE] |= (bits8) (HIGHBIT >> (i % BITS_PER_BYTE));
	}
	PG_RETURN_VARBIT_P(result);
}
