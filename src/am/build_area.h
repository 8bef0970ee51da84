/*
 * build_area.h - the memory of a build: chunks of 64 pages, shared or private.
 */
#ifndef OMENDB_AM_BUILD_AREA_H
#define OMENDB_AM_BUILD_AREA_H

#include "postgres.h"

#include "storage/lwlock.h"
#include "utils/dsa.h"

#include "store/build.h"

/* More segments than any build makes: beyond 512 MB each is an eighth of what there was. */
#define OMENDB_MAX_SEGMENTS 256

/* A piece of the area: in the build's DSA, or private to the leader. */
typedef struct OmendbSegment
{
	dsa_pointer pointer;
	uint32 first_chunk;
	uint32 chunks;
} OmendbSegment;

/* In the parallel context's shared memory; local memory in a serial build. */
typedef struct OmendbAreaShared
{
	LWLock grow_lock;        /* protects segments, count and growth of chunks */
	LWLock entry_lock;       /* held while a row may become the entry point */
	bool shared_memory_full; /* growth stopped for want of /dev/shm */
	uint32 first_chunks;     /* expected in all */
	uint32 max_chunks;       /* maintenance_work_mem */
	uint32 count;
	OmendbSegment segments[OMENDB_MAX_SEGMENTS];
} OmendbAreaShared;

/* One participant's view. */
typedef struct OmendbArea
{
	OmendbAreaShared *shared;
	OmendbBuildControl *control;
	dsa_area *dsa;         /* NULL: private memory */
	MemoryContext context; /* of the chunk table and private chunks */
	uint8 **chunks;
	uint32 mapped;
	uint32 capacity;
	uint32 segments_mapped;
	OmendbBuildArea calls; /* what the builder is given */
} OmendbArea;

extern void omendb_area_init_shared(OmendbAreaShared *shared, Size bytes_wanted, Size bytes_limit);
/* dsa: NULL for a private area. Lives in the current memory context. */
extern void omendb_area_init(OmendbArea *area, OmendbAreaShared *shared,
							 OmendbBuildControl *control, dsa_area *dsa);
/*
 * Whether /dev/shm (or whatever dynamic_shared_memory_type stands for) holds
 * `bytes` more, with a tenth to spare for others.
 */
extern bool omendb_shared_memory_has(Size bytes);
/* Tranche of the build's locks; registered in this process on first use. */
extern int omendb_build_tranche(void);

#endif
