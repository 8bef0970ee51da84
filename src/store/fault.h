/*
 * fault.h - points where a test can stop the server, or a session. C.
 *
 * Only with OMENDB_FAULT_POINTS defined, which test/check.sh does for the build that it
 * tests; a release has neither the points nor the setting (test/lint/check_symbols.sh).
 *
 *   SET omen_hnsw.fault_point = 'insert_entered:kill9'       superusers
 *
 * is NAME:ACTION[:N[:KEY]], or up to four of these with commas between: at the N-th
 * passage (1) of this session through that point
 *   error   an ERROR
 *   kill9   its WAL is flushed, and the session ends itself by SIGKILL: the server
 *           recovers to this very record
 *   wait    it takes the advisory lock KEY (1), and gives it back: whoever has it lets
 *           the session go on. isolationtester sees that wait. ERROR where a content
 *           lock is held.
 *
 * A point's name says what has happened just before it. Those of a WAL record come
 * behind the record, when its locks are gone where that is possible.
 */
#ifndef OMENDB_STORE_FAULT_H
#define OMENDB_STORE_FAULT_H

#ifdef OMENDB_FAULT_POINTS

/* insert_*: store/insert*.cpp; vacuum_*: store/vacuum*.cpp, in the order of their steps. */
#define OMENDB_FAULT_POINTS_LIST(POINT)                                            \
	POINT(insert_searched)    /* candidates are known; nothing is locked */        \
	POINT(insert_joined)      /* the TID is in the record or a part */             \
	POINT(insert_no_part)     /* there is none, and one is looked for: no lock */  \
	POINT(insert_part_page)   /* a page of free parts */                           \
	POINT(insert_extended)    /* a page of zeros */                                \
	POINT(insert_reserved)    /* a linking record */                               \
	POINT(insert_chunk_page)  /* a page of free chunks */                          \
	POINT(insert_chunk)       /* one chunk */                                      \
	POINT(insert_placing)     /* the record is composed: no lock */                \
	POINT(insert_entered)     /* record and protected link */                      \
	POINT(insert_rooted)      /* the first record, and the meta page */            \
	POINT(insert_linked)      /* links back on up to four pages */                 \
	POINT(insert_dropped)     /* lanes to nodes that were gone are empty again */  \
	POINT(insert_above)       /* a record above level 0 */                         \
	POINT(insert_raising)     /* all records are there; the meta page is next */   \
	POINT(insert_raised)      /* the entry point */                                \
	POINT(insert_linked_late) /* a list above that was empty */                    \
	POINT(vacuum_swept_page)  /* TIDs of a graph page */                           \
	POINT(vacuum_swept_parts) /* TIDs of a page of parts */                        \
	POINT(vacuum_buried)      /* a node without TIDs is dead */                    \
	POINT(vacuum_swept)       /* step 1 is over */                                 \
	POINT(vacuum_marked)      /* dead records of a page above level 0 */           \
	POINT(vacuum_replacing)   /* the entry point is dead; the meta page is next */ \
	POINT(vacuum_replaced)    /* the entry point is another */                     \
	POINT(vacuum_moved)       /* a protected link */                               \
	POINT(vacuum_rooted)      /* the root is another, or none */                   \
	POINT(vacuum_secured)     /* the entry point is the root */                    \
	POINT(vacuum_copied)      /* lists are repaired in a copy: no lock */          \
	POINT(vacuum_repaired)    /* lists of a page */                                \
	POINT(vacuum_linked)      /* step 3 is over */                                 \
	POINT(vacuum_raised)      /* the entry point is on a higher level */           \
	POINT(vacuum_freed_parts) /* parts of a node on one page */                    \
	POINT(vacuum_freed_rest)  /* chunks of a record on one page */                 \
	POINT(vacuum_freed)       /* records of a page */                              \
	POINT(vacuum_freed_lost)  /* chunks on a page that no record owned */          \
	POINT(vacuum_relinking)   /* neighbours for a thin list are found: no lock */  \
	POINT(vacuum_relinked)    /* it has them, or is another's by now */

typedef enum OmendbFaultPoint
{

#define OMENDB_FAULT_POINT_NAME(name) OMENDB_FAULT_##name,
	OMENDB_FAULT_POINTS_LIST(OMENDB_FAULT_POINT_NAME)
#undef OMENDB_FAULT_POINT_NAME
		OMENDB_FAULT_COUNT
} OmendbFaultPoint;

#ifdef __cplusplus
extern "C"
{
#endif

	/* The setting. */
	extern void omendb_define_fault_point(void);
	extern void omendb_fault(OmendbFaultPoint point);

#ifdef __cplusplus
}
#endif

#define OMENDB_FAULT(name) omendb_fault(OMENDB_FAULT_##name)

#else

#define OMENDB_FAULT(name) ((void) 0)

#endif

#endif
