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

/* Values of OmendbMetaPage.type_kind, as quant::Type. */
#define OMENDB_TYPE_VECTOR 1
#define OMENDB_TYPE_HALF   2
#define OMENDB_TYPE_BIT    3
#define OMENDB_TYPE_SPARSE 4

/* A type: how to read its values. All datums are detoasted ones. */
typedef struct OmendbIndexedType
{
	uint8 kind;  /* OMENDB_TYPE_... */
	int max_dim; /* an index on more is refused */
	/* Dimensions a column's typmod gives, or -1 when it gives none. */
	int (*typmod_dim)(int32 typmod);
	int (*dim)(Datum value);
	/*
	 * The value's float32 elements; may point into it, or be written to buffer (dim
	 * floats) where the type stores them otherwise. NULL: only plain values.
	 */
	const float *(*elements)(Datum value, float *buffer);
	/* The bytes that an index of plain values keeps (quant/value.hpp). */
	const void *(*payload)(Datum value, Size *bytes);
	/* Euclidean length of a plain value; NULL: never asked for. */
	double (*norm)(Datum value);
	/* ERROR for a row that no index takes; NULL: there is none. */
	void (*check)(Datum value);
	/* ERROR: a query of other dimensions than the column. */
	void (*refuse_dim)(int expected, int given);
} OmendbIndexedType;

typedef struct OmendbOpclass
{
	uint8 metric; /* quant::Metric */
	const OmendbIndexedType *type;
} OmendbOpclass;

/* Whether an index of this opclass keeps plain values: payload() instead of elements(). */
extern bool omendb_opclass_is_plain(const OmendbOpclass *opclass);

extern const OmendbOpclass *omendb_opclass(Relation index);

/*
 * A value of the indexed column, not NULL: detoasted in the current memory context;
 * its elements, or of an index of plain values its payload, and a hash of them. ERROR
 * when it has not `dimensions`, or no index takes it. buffer: as elements().
 */
extern const void *omendb_read_value(const OmendbOpclass *opclass, Datum value, int dimensions,
									 float *buffer, uint32 *hash);

#endif
