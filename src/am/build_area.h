/*
 * build_area.h - the memory of a build: regions of segments, in memory up to
 * maintenance_work_mem and in temporary files beyond.
 */
#ifndef OMENDB_AM_BUILD_AREA_H
#define OMENDB_AM_BUILD_AREA_H

#include "postgres.h"

#include "storage/dsm.h"
#include "storage/lwlock.h"
#include "storage/sharedfileset.h"

#include "nodes/pg_list.h"

#include "store/build.h"

/* Segments are made larger rather than so many: graph/bulk.cpp. */
#define OMENDB_MAX_SEGMENTS 4096

typedef struct OmendbRegion
{
	uint32 count;
	Size segment_bytes;
	dsm_handle segments[OMENDB_MAX_SEGMENTS]; /* DSM_HANDLE_INVALID: in a file, or private */
} OmendbRegion;

/* In the parallel context's shared memory; local memory in a serial build. */
typedef struct OmendbAreaShared
{
	LWLock lock; /* protects all of it */
	Size memory_limit;
	Size memory_used;
	Size file_used;
	Size bytes_expected; /* for the message */
	SharedFileSet files; /* parallel build only */
	OmendbRegion regions[OMENDB_BUILD_REGIONS];
} OmendbAreaShared;

/* One participant's view. */
typedef struct OmendbArea
{
	OmendbAreaShared *shared;
	bool alone;            /* private memory and files */
	MemoryContext context; /* of tables and private memory; unmaps files when it goes */
	uint8 **tables[OMENDB_BUILD_REGIONS];
	uint32 mapped[OMENDB_BUILD_REGIONS];
	struct OmendbMapping *mappings; /* of files */
	List *attached;                 /* dsm_segment */
	MemoryContextCallback unmap;
} OmendbArea;

extern void omendb_area_init_shared(OmendbAreaShared *shared, Size memory_limit,
									Size bytes_expected);
/* alone: a private area. In the current memory context, and gone with it. */
extern OmendbArea *omendb_area_create(OmendbAreaShared *shared, bool alone);
/* Give shared memory back before the transaction ends. */
extern void omendb_area_detach(OmendbArea *area);
extern void omendb_area_extend(OmendbArea *area, uint32 region, uint32 segments,
							   Size segment_bytes);
extern uint8 *const *omendb_area_map(OmendbArea *area, uint32 region, uint32 *count);
/* Tranche of the build's locks; registered in this process on first use. */
extern int omendb_build_tranche(void);

#endif
