/*
 * insert.h - rows that arrive after the build. C.
 */
#ifndef OMENDB_STORE_INSERT_H
#define OMENDB_STORE_INSERT_H

#include "storage/itemptr.h"
#include "utils/rel.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/* What the rows of a statement have in common: memory only, no pins, no locks. */
	typedef struct OmendbInsert OmendbInsert;

	/* In its own memory context below the current one. */
	extern OmendbInsert *omendb_insert_create(Relation index);
	extern int omendb_insert_dimensions(const OmendbInsert *insert);
	/*
	 * Insert a row: src/README, "INSERT". row: input_dim finite floats, or a plain
	 * value's payload; hash: of the value's own bytes. False when the row is not
	 * indexed (a zero vector under cosine). No lock is held on entry or return.
	 */
	extern bool omendb_insert_row(OmendbInsert *insert, Relation index, const void *row,
								  uint32 hash, ItemPointer tid);
	/*
	 * Neighbours for a record whose list VACUUM has left thin, from a search like an
	 * insertion's, and links back: src/README, "VACUUM". Nothing happens where no live
	 * record is at the address, or one of level 0 when above, or the reverse.
	 */
	extern void omendb_insert_relink(OmendbInsert *insert, Relation index, uint32 address,
									 bool above);

#ifdef __cplusplus
}
#endif

#endif
