/*
 * change.h - changes of pages, described first, then made and logged. C.
 *
 * A change is a list of fragments (offset, length, bytes) of a page: exactly what
 * a generic WAL record carries for it. GenericXLogStart() and its companions make
 * that list by copying whole pages and comparing them byte by byte, 8 us a page;
 * who knows what it changes need not pay that. Redo is PostgreSQL's own, the
 * record is one of RM_GENERIC_ID, and the page here is changed by the loop that
 * redo has: what a standby makes of it is what we made.
 */
#ifndef OMENDB_STORE_CHANGE_H
#define OMENDB_STORE_CHANGE_H

#include "storage/bufmgr.h"
#include "utils/rel.h"

#ifdef __cplusplus
extern "C"
{
#endif

/* Pages of one record at most: what redo takes. */
#define OMENDB_MAX_CHANGES 4

/* A page's bytes, and headers of the fragments, which are 4 equal bytes apart at least. */
#define OMENDB_CHANGE_BYTES (2 * BLCKSZ)

	typedef struct OmendbChange
	{
		Buffer buffer;
		bool whole;  /* the page is new: bytes are its image */
		uint32 size; /* of the fragments in bytes */
		char bytes[OMENDB_CHANGE_BYTES] pg_attribute_aligned(8);
	} OmendbChange;

	/* A change of a pinned and exclusively locked page: nothing yet. */
	extern void omendb_change_begin(OmendbChange *change, Buffer buffer);
	/* length bytes at an offset of the page become those. */
	extern void omendb_change_put(OmendbChange *change, Size offset, const void *bytes,
								  Size length);
	/* The same, but only those that differ from the page's. */
	extern void omendb_change_compare(OmendbChange *change, Size offset, const void *bytes,
									  Size length);
	/*
	 * The page becomes an initialised one (pages.h, omendb_init_page()) with
	 * length bytes of content.
	 */
	extern void omendb_change_init(OmendbChange *change, uint16 kind, uint16 slots,
								   const void *content, Size length);
	/*
	 * Make the changes in one WAL record; buffers in the order of locks (src/README),
	 * none twice. A change without fragments is left out. The locks stay.
	 */
	extern void omendb_change_apply(Relation index, OmendbChange *const *changes, int count);

#ifdef __cplusplus
}
#endif

#endif
