/*
 * build_area.c - memory for a build.
 *
 * How many rows there are is not known beforehand (reltuples may be -1, TOAST
 * misleads), so each region is a table of segments. A segment is in memory while
 * maintenance_work_mem has room: shared memory of a parallel build, which goes
 * away with its last participant whatever ends it, or private memory. Else it is
 * a temporary file that is mapped: the kernel's page cache then decides what stays
 * in memory, as it does for the table and the index. The builder works on one
 * leaf of near rows after the other, so that not much is needed at a time.
 *
 * Space is taken from the file system before it is used, since a store to a
 * mapped page that has none ends the process; PostgreSQL answers a full /dev/shm
 * with an ERROR, so what is free there is looked up, too. Builds at the same time
 * would both see the same free bytes: AddinShmemInitLock makes look-up and
 * allocation one step.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

#include "miscadmin.h"
#include "storage/dsm_impl.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "am/build_area.h"
#include "pg/compat.h"

/* A file segment that this process has mapped. */
typedef struct OmendbMapping
{
	struct OmendbMapping *next;
	void *address;
	Size bytes;
} OmendbMapping;

int
omendb_build_tranche(void)
{
	static int tranche = 0;
	int *shared;
	bool found;

	if (tranche != 0)
		return tranche;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = (int *) ShmemInitStruct("omendb build tranche", sizeof(int), &found);
	if (!found)
		*shared = LWLockNewTrancheId();
	tranche = *shared;
	LWLockRelease(AddinShmemInitLock);
	LWLockRegisterTranche(tranche, "OmendbBuild");
	return tranche;
}

void
omendb_area_init_shared(OmendbAreaShared *shared, Size memory_limit, Size bytes_expected)
{
	memset(shared, 0, sizeof(*shared));
	LWLockInitialize(&shared->lock, omendb_build_tranche());
	shared->memory_limit = memory_limit;
	shared->bytes_expected = bytes_expected;
}

static void
unmap_files(void *arg)
{
	OmendbArea *area = (OmendbArea *) arg;

	for (OmendbMapping *mapping = area->mappings; mapping != NULL; mapping = mapping->next)
		(void) munmap(mapping->address, mapping->bytes);
	area->mappings = NULL;
}

OmendbArea *
omendb_area_create(OmendbAreaShared *shared, bool alone)
{
	OmendbArea *area = (OmendbArea *) palloc0(sizeof(OmendbArea));

	area->shared = shared;
	area->alone = alone;
	area->context = CurrentMemoryContext;
	area->unmap.func = unmap_files;
	area->unmap.arg = area;
	MemoryContextRegisterResetCallback(area->context, &area->unmap);
	return area;
}

/* Whether /dev/shm (or what stands for it) holds `bytes` more, with a tenth to spare. */
static bool
shared_memory_has(Size bytes)
{
	struct statvfs fs;
	const char *path;

	if (dynamic_shared_memory_type == DSM_IMPL_POSIX)
		path = "/dev/shm";
	else if (dynamic_shared_memory_type == DSM_IMPL_MMAP)
		path = PG_DYNSHMEM_DIR;
	else
		return true; /* no way to know */
	if (statvfs(path, &fs) != 0)
		return true;
	return (double) fs.f_bavail * (double) fs.f_frsize * 0.9 > (double) bytes;
}

/* ---- files ---- */

static void
file_name(char *name, uint32 region, uint32 segment)
{
	snprintf(name, MAXPGPATH, "omendb.%u.%u", region, segment);
}

/* The bytes exist on disk: stores to the mapping cannot fail for want of space. */
static void
take_file_space(File file, Size bytes)
{
	int error;

	do
		error = posix_fallocate(FileGetRawDesc(file), 0, (off_t) bytes);
	while (error == EINTR);
	if (error != 0)
	{
		errno = error;
		ereport(ERROR, errcode_for_file_access(),
				errmsg("could not extend temporary file \"%s\": %m", FilePathName(file)),
				errhint("Check free disk space, or increase maintenance_work_mem."));
	}
}

static uint8 *
map_file(OmendbArea *area, File file, Size bytes)
{
	OmendbMapping *mapping =
		(OmendbMapping *) MemoryContextAlloc(area->context, sizeof(OmendbMapping));

	mapping->bytes = bytes;
	mapping->address =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, FileGetRawDesc(file), 0);
	if (mapping->address == MAP_FAILED)
		ereport(ERROR, errcode_for_file_access(),
				errmsg("could not map temporary file \"%s\": %m", FilePathName(file)));
	mapping->next = area->mappings;
	area->mappings = mapping;
	return (uint8 *) mapping->address;
}

/* Under the area's lock. */
static void
account_file(OmendbAreaShared *shared, Size bytes)
{
	if (temp_file_limit >= 0 && shared->file_used + bytes > (Size) temp_file_limit * (Size) 1024)
		ereport(ERROR, errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				errmsg("temporary file size exceeds temp_file_limit (%dkB)", temp_file_limit),
				errhint("Set maintenance_work_mem to %zu MB to build the index in memory.",
						shared->bytes_expected / 1024 / 1024 + 1));
	if (shared->file_used == 0)
		ereport(
			NOTICE,
			errmsg("omen_hnsw build does not fit into maintenance_work_mem, using temporary files"),
			errhint("Set maintenance_work_mem to %zu MB to build the index in memory.",
					shared->bytes_expected / 1024 / 1024 + 1));
	shared->file_used += bytes;
}

static uint8 *
create_file(OmendbArea *area, uint32 region, uint32 segment, Size bytes)
{
	char name[MAXPGPATH];
	uint8 *address;
	File file;

	account_file(area->shared, bytes);
	file_name(name, region, segment);
	if (area->alone)
		file = OpenTemporaryFile(false);
	else
		file = omendb_create_shared_file(&area->shared->files, name);
	take_file_space(file, bytes);
	address = map_file(area, file, bytes);
	/* The mapping stays; a private file is unlinked, and gone with it. */
	FileClose(file);
	return address;
}

static uint8 *
open_file(OmendbArea *area, uint32 region, uint32 segment, Size bytes)
{
	char name[MAXPGPATH];
	uint8 *address;
	File file;

	file_name(name, region, segment);
	file = omendb_open_shared_file(&area->shared->files, name);
	address = map_file(area, file, bytes);
	FileClose(file);
	return address;
}

/* ---- segments ---- */

static void
enter_segment(OmendbArea *area, uint32 region, uint8 *address)
{
	if (area->tables[region] == NULL)
		area->tables[region] =
			(uint8 **) MemoryContextAlloc(area->context, OMENDB_MAX_SEGMENTS * sizeof(uint8 *));
	area->tables[region][area->mapped[region]++] = address;
}

/* Shared memory of exactly this size (a DSA would take more than was looked up), or NULL. */
static uint8 *
take_shared_memory(OmendbArea *area, Size bytes, dsm_handle *handle)
{
	dsm_segment *segment = NULL;
	MemoryContext old;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	if (shared_memory_has(bytes))
		segment = dsm_create(bytes, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	LWLockRelease(AddinShmemInitLock);
	if (segment == NULL)
		return NULL;
	*handle = dsm_segment_handle(segment);
	old = MemoryContextSwitchTo(area->context);
	area->attached = lappend(area->attached, segment);
	MemoryContextSwitchTo(old);
	return (uint8 *) dsm_segment_address(segment);
}

static uint8 *
attach_shared_memory(OmendbArea *area, dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	MemoryContext old;

	if (segment == NULL)
		elog(ERROR, "could not attach a segment of an omen_hnsw build");
	old = MemoryContextSwitchTo(area->context);
	area->attached = lappend(area->attached, segment);
	MemoryContextSwitchTo(old);
	return (uint8 *) dsm_segment_address(segment);
}

void
omendb_area_detach(OmendbArea *area)
{
	ListCell *cell;

	foreach (cell, area->attached)
		dsm_detach((dsm_segment *) lfirst(cell));
	area->attached = NIL;
}

/* A segment in memory, or NULL. Under the area's lock. */
static uint8 *
take_memory(OmendbArea *area, Size bytes, dsm_handle *handle)
{
	OmendbAreaShared *shared = area->shared;
	uint8 *address = NULL;

	*handle = DSM_HANDLE_INVALID;
	if (shared->memory_used + bytes > shared->memory_limit)
		return NULL;
	if (area->alone)
		address = (uint8 *) MemoryContextAllocExtended(area->context, bytes,
													   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	else
		address = take_shared_memory(area, bytes, handle);
	if (address != NULL)
		shared->memory_used += bytes;
	return address;
}

/* Segments of others, made since this process looked. */
static void
map_new(OmendbArea *area, uint32 region)
{
	const OmendbRegion *r = &area->shared->regions[region];

	while (area->mapped[region] < r->count)
	{
		uint32 segment = area->mapped[region];
		dsm_handle handle = r->segments[segment];

		enter_segment(area, region,
					  handle != DSM_HANDLE_INVALID
						  ? attach_shared_memory(area, handle)
						  : open_file(area, region, segment, r->segment_bytes));
	}
}

/* One segment more, unless somebody else was quicker. */
static void
add_segment(OmendbArea *area, uint32 region, uint32 segments, Size bytes)
{
	OmendbRegion *r = &area->shared->regions[region];

	LWLockAcquire(&area->shared->lock, LW_EXCLUSIVE);
	map_new(area, region);
	if (r->count < segments)
	{
		uint8 *address;
		dsm_handle handle;

		if (r->count == OMENDB_MAX_SEGMENTS)
			ereport(ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("omen_hnsw build has too many segments"),
					errhint("Run ANALYZE on the table: it has far more rows than expected."));
		r->segment_bytes = bytes;
		address = take_memory(area, bytes, &handle);
		if (address == NULL)
			address = create_file(area, region, r->count, bytes);
		r->segments[r->count++] = handle;
		enter_segment(area, region, address);
	}
	LWLockRelease(&area->shared->lock);
}

void
omendb_area_extend(OmendbArea *area, uint32 region, uint32 segments, Size segment_bytes)
{
	/* The kernel takes some 30 ms to hand out a segment, and under the lock nobody can cancel. */
	while (area->mapped[region] < segments)
	{
		CHECK_FOR_INTERRUPTS();
		add_segment(area, region, segments, segment_bytes);
	}
}

uint8 *const *
omendb_area_map(OmendbArea *area, uint32 region, uint32 *count)
{
	if (!area->alone)
	{
		LWLockAcquire(&area->shared->lock, LW_SHARED);
		map_new(area, region);
		LWLockRelease(&area->shared->lock);
	}
	*count = area->mapped[region];
	return area->tables[region];
}
