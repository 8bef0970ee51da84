/*
 * build_area.c - memory for the page images of a build.
 *
 * How many rows there are is not known beforehand (reltuples may be -1, TOAST
 * misleads), so the area is a table of segments that grows up to
 * maintenance_work_mem. A parallel build takes segments from a DSA area, which
 * goes away with its last participant, whatever ends it; a serial build takes
 * private memory.
 *
 * PostgreSQL answers a full /dev/shm with an ERROR, so what is free there is
 * looked up before each segment. Builds at the same time would both see the
 * same free bytes: AddinShmemInitLock makes look-up and allocation one step.
 */
#include "postgres.h"

#include <sys/statvfs.h>

#include "storage/dsm_impl.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "am/build_area.h"
#include "pg/compat.h"

/*
 * A segment is 64 MB, or an eighth of what there is: the kernel takes some
 * 30 ms to hand out 64 MB, and no interrupt is served meanwhile.
 */
#define SEGMENT_CHUNKS 128

static uint8 *const *area_map(void *context, uint32 wanted, uint32 *count);
static bool area_grow(void *context);
static void area_lock_entry(void *context);
static void area_unlock_entry(void *context);

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

static uint32
chunks_for(Size bytes)
{
	Size chunks = bytes / OMENDB_CHUNK_SIZE;

	/* Addresses hold 26 bits of block number. */
	return (uint32) Min(chunks, ((Size) 1 << (32 - OMENDB_SLOT_BITS)) / 64 - 1);
}

void
omendb_area_init_shared(OmendbAreaShared *shared, Size bytes_wanted, Size bytes_limit)
{
	int tranche = omendb_build_tranche();

	memset(shared, 0, sizeof(*shared));
	LWLockInitialize(&shared->grow_lock, tranche);
	LWLockInitialize(&shared->entry_lock, tranche);
	shared->max_chunks = Max(chunks_for(bytes_limit), 1);
	shared->first_chunks = chunks_for(bytes_wanted) + 1;
	shared->first_chunks = Min(shared->first_chunks, shared->max_chunks);
}

void
omendb_area_init(OmendbArea *area, OmendbAreaShared *shared, OmendbBuildControl *control,
				 dsa_area *dsa)
{
	memset(area, 0, sizeof(*area));
	area->shared = shared;
	area->control = control;
	area->dsa = dsa;
	area->context = CurrentMemoryContext;
	area->calls.context = area;
	area->calls.map = area_map;
	area->calls.grow = area_grow;
	area->calls.lock_entry = area_lock_entry;
	area->calls.unlock_entry = area_unlock_entry;
}

bool
omendb_shared_memory_has(Size bytes)
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

/* Room for `n` chunks in this participant's table. */
static void
reserve_table(OmendbArea *area, uint32 n)
{
	uint32 capacity = Max(area->capacity * 2, n);

	if (n <= area->capacity)
		return;
	if (area->chunks == NULL)
		area->chunks =
			(uint8 **) MemoryContextAllocHuge(area->context, mul_size(capacity, sizeof(uint8 *)));
	else
		area->chunks = (uint8 **) repalloc_huge(area->chunks, mul_size(capacity, sizeof(uint8 *)));
	area->capacity = capacity;
}

/* Enter a segment that this process can address at `base`. */
static void
enter_segment(OmendbArea *area, const OmendbSegment *segment, uint8 *base)
{
	reserve_table(area, segment->first_chunk + segment->chunks);
	for (uint32 i = 0; i < segment->chunks; i++)
		area->chunks[segment->first_chunk + i] = base + i * OMENDB_CHUNK_SIZE;
	area->mapped = segment->first_chunk + segment->chunks;
	area->segments_mapped++;
}

static uint8 *const *
area_map(void *context, uint32 wanted, uint32 *count)
{
	OmendbArea *area = (OmendbArea *) context;

	while (area->mapped < wanted)
	{
		OmendbSegment segment;
		bool exists;

		LWLockAcquire(&area->shared->grow_lock, LW_SHARED);
		exists = area->segments_mapped < area->shared->count;
		if (exists)
			segment = area->shared->segments[area->segments_mapped];
		LWLockRelease(&area->shared->grow_lock);
		if (!exists)
			elog(ERROR, "omen_hnsw build area has no chunk %u", wanted - 1);
		enter_segment(area, &segment, (uint8 *) dsa_get_address(area->dsa, segment.pointer));
	}
	*count = area->mapped;
	return area->chunks;
}

/* Chunks of the next segment; 0 when maintenance_work_mem is used up. */
static uint32
next_segment_chunks(const OmendbAreaShared *shared, uint32 have)
{
	uint32 missing = have < shared->first_chunks ? shared->first_chunks - have : SEGMENT_CHUNKS;
	uint32 chunks = Max(Min(missing, SEGMENT_CHUNKS), have / 8);

	if (shared->count >= OMENDB_MAX_SEGMENTS)
		return 0;
	/* Beyond the expected size in smaller steps: there is little left to come. */
	if (have >= shared->first_chunks)
		chunks = Min(chunks, Max(have / 8, 16));
	return Min(chunks, shared->max_chunks - have);
}

/* A segment in the DSA: look up free space and take it in one step. */
static bool
allocate_shared(OmendbArea *area, OmendbSegment *segment)
{
	Size size = mul_size(segment->chunks, OMENDB_CHUNK_SIZE);

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	segment->pointer = InvalidDsaPointer;
	if (omendb_shared_memory_has(size))
		segment->pointer =
			dsa_allocate_extended(area->dsa, size, DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
	LWLockRelease(AddinShmemInitLock);
	if (!DsaPointerIsValid(segment->pointer))
		area->shared->shared_memory_full = true;
	return DsaPointerIsValid(segment->pointer);
}

/* A private segment is entered at once: nobody else will. */
static bool
allocate_private(OmendbArea *area, OmendbSegment *segment)
{
	Size size = mul_size(segment->chunks, OMENDB_CHUNK_SIZE);
	void *base =
		MemoryContextAllocExtended(area->context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

	if (base == NULL)
		return false;
	enter_segment(area, segment, (uint8 *) base);
	return true;
}

static bool
area_grow(void *context)
{
	OmendbArea *area = (OmendbArea *) context;
	OmendbAreaShared *shared = area->shared;
	uint32 have;
	bool done;

	LWLockAcquire(&shared->grow_lock, LW_EXCLUSIVE);
	have = omendb_build_chunks(area->control);
	done = omendb_build_pages(area->control) < have * 64; /* somebody else was first */
	if (!done && !shared->shared_memory_full)
	{
		OmendbSegment segment = {InvalidDsaPointer, have, next_segment_chunks(shared, have)};

		if (segment.chunks > 0)
			done = area->dsa != NULL ? allocate_shared(area, &segment)
									 : allocate_private(area, &segment);
		if (done)
		{
			shared->segments[shared->count++] = segment;
			omendb_build_set_chunks(area->control, have + segment.chunks);
		}
	}
	LWLockRelease(&shared->grow_lock);
	return done;
}

static void
area_lock_entry(void *context)
{
	LWLockAcquire(&((OmendbArea *) context)->shared->entry_lock, LW_EXCLUSIVE);
}

static void
area_unlock_entry(void *context)
{
	LWLockRelease(&((OmendbArea *) context)->shared->entry_lock);
}
