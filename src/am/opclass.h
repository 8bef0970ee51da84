/*
 * opclass.h - what an operator class tells the access method.
 *
 * Support function 1 of every opclass returns a pointer to one of these.
 */
#ifndef OMENDB_AM_OPCLASS_H
#define OMENDB_AM_OPCLASS_H

#include "postgres.h"

#include "utils/rel.h"

#define OMENDB_SUPPORT_PROC  1
#define OMENDB_SUPPORT_COUNT 1

/* Values of OmendbMetaPage.type_kind. */
#define OMENDB_TYPE_VECTOR 1

typedef struct OmendbOpclass
{
	uint8 metric;    /* quant::Metric */
	uint8 type_kind; /* OMENDB_TYPE_... */
	/* Dimensions a column's typmod gives, or -1 when it gives none. */
	int (*typmod_dim)(int32 typmod);
	/* Dimensions of a detoasted value. */
	int (*dim)(Datum value);
	/*
	 * The value's float32 elements; may point into it, or be written to buffer
	 * (dim floats) where the type stores them otherwise.
	 */
	const float *(*elements)(Datum value, float *buffer);
} OmendbOpclass;

extern const OmendbOpclass *omendb_opclass(Relation index);

/*
 * A value of the indexed column, not NULL: detoasted in the current memory context;
 * its elements, which must be `dimensions`, and a hash of them. buffer: as elements().
 */
extern const float *omendb_read_value(const OmendbOpclass *opclass, Datum value, int dimensions,
									  float *buffer, uint32 *hash);

#endif
