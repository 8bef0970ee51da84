/*
 * bit_distance.c - distances between values of the core type bit.
 *
 * The bits behind the last one of a value are zero, so that whole bytes can be
 * compared.
 */
#include "postgres.h"

#include "utils/varbit.h"

#include "pg/compat.h"
#include "simd/kernels.h"

PG_FUNCTION_INFO_V1(omendb_hamming_distance);
PG_FUNCTION_INFO_V1(omendb_jaccard_distance);

static void
check_same_length(const VarBit *a, const VarBit *b)
{
	if (VARBITLEN(a) != VARBITLEN(b))
		ereport(ERROR, errcode(ERRCODE_DATA_EXCEPTION),
				errmsg("different bit lengths %u and %u", (uint32) VARBITLEN(a),
					   (uint32) VARBITLEN(b)));
}

/* How many bits differ. */
Datum
omendb_hamming_distance(PG_FUNCTION_ARGS)
{
	VarBit *a = PG_GETARG_VARBIT_P(0);
	VarBit *b = PG_GETARG_VARBIT_P(1);
	uint32 different;

	check_same_length(a, b);
	different = omendb_kernels->hamming(VARBITS(a), VARBITS(b), (size_t) VARBITBYTES(a));

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	PG_RETURN_FLOAT8((double) different);
}

/* 1 less the share of common bits in all bits set; 1 when there are no common ones. */
Datum
omendb_jaccard_distance(PG_FUNCTION_ARGS)
{
	VarBit *a = PG_GETARG_VARBIT_P(0);
	VarBit *b = PG_GETARG_VARBIT_P(1);
	uint32 counts[2]; /* in both, in either */

	check_same_length(a, b);
	omendb_kernels->jaccard(VARBITS(a), VARBITS(b), (size_t) VARBITBYTES(a), counts);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	if (counts[0] == 0)
		PG_RETURN_FLOAT8(1);
	PG_RETURN_FLOAT8(1 - (double) counts[0] / (double) counts[1]);
}
