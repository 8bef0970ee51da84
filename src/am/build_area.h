/*
 * build_area.h - the memory of a build: regions of segments, in memory up to
 * maintenance_work_mem and in temporary files beyond.
 */
#ifndef OMENDB_AM_BUILD_AREA_H
#define OMENDB_AM_BUILD_AREA_H

#include "postgres.h"

#include "storage/lwlock.h"
#include "storage/sharedfileset.h"
#include "utils/dsa.h"

#include "store/build.h"

/* Segments are made larger rather than so many: graph/bulk.cpp. */
#define OMENDB_MAX_SEGMENTS 4096

/* Where a segment is; in_file: the file is named by region and number. */
typedef struct OmendbSegment
{
	dsa_pointer pointer; /* shared memory; InvalidDsaPointer: in a file, or private */
} OmendbSegment;

typedef struct OmendbRegion
{
	uint32 count;
	Size segment_bytes;
	OmendbSegment segments[OMENDB_MAX_SEGMENTS];
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
	dsa_area *dsa;         /* NULL: private memory and files */
	MemoryContext context; /* of tables and private memory; unmaps files when it goes */
	uint8 **tables[OMENDB_BUILD_REGIONS];
	uint32 mapped[OMENDB_BUILD_REGIONS];
	struct OmendbMapping *mappings;
	MemoryContextCallback unmap;
} OmendbArea;

extern void omendb_area_init_shared(OmendbAreaShared *shared, Size memory_limit,
									Size bytes_expected);
/* dsa: NULL for a private area. In the current memory context, and gone with it. */
extern OmendbArea *omendb_area_create(OmendbAreaShared *shared, dsa_area *dsa);
extern void omendb_area_extend(OmendbArea *area, uint32 region, uint32 segments,
							   Size segment_bytes);
extern uint8 *const *omendb_area_map(OmendbArea *area, uint32 region, uint32 *count);
/* Tranche of the build's locks; registered in this process on first use. */
extern int omendb_build_tranche(void);

#endif
