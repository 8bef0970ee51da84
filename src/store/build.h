/*
 * build.h - inserting rows into the pages of an index that is being built. C.
 *
 * The pages live in an area of chunks that all participants of a build share;
 * am/build_area.c provides it. Each participant has a builder of its own.
 */
#ifndef OMENDB_STORE_BUILD_H
#define OMENDB_STORE_BUILD_H

#include "storage/itemptr.h"

#include "store/layout.h"

#ifdef __cplusplus
extern "C"
{
#endif

/* Bytes of a chunk: 64 pages. */
#define OMENDB_CHUNK_SIZE ((Size) 64 * OMENDB_PAGE_SIZE)

	/* Counters and entry point in shared memory, behind an opaque pointer. */
	typedef struct OmendbBuildControl OmendbBuildControl;

	extern Size omendb_build_control_size(void);
	extern void omendb_build_control_init(OmendbBuildControl *control);
	extern uint32 omendb_build_chunks(OmendbBuildControl *control);
	extern void omendb_build_set_chunks(OmendbBuildControl *control, uint32 chunks);
	/* Pages taken so far; they become the blocks from first_block on. */
	extern uint32 omendb_build_pages(OmendbBuildControl *control);
	/* Rows in the graph so far. */
	extern uint64 omendb_build_tids(OmendbBuildControl *control);
	/* entry, root, built_nodes and built_tids of the finished graph. */
	extern void omendb_build_result(OmendbBuildControl *control, OmendbMetaPage *meta);

	/* How a builder gets at the area. None of the calls is made under a spinlock. */
	typedef struct OmendbBuildArea
	{
		void *context;
		/* Make chunks[0 .. wanted) valid here; returns the table, *count its length. */
		uint8 *const *(*map)(void *context, uint32 wanted, uint32 *count);
		/* Add chunks if all pages are taken; false when there is no more memory. */
		bool (*grow)(void *context);
		void (*lock_entry)(void *context);
		void (*unlock_entry)(void *context);
	} OmendbBuildArea;

	typedef struct OmendbBuilder OmendbBuilder;

	typedef enum OmendbInsertResult
	{
		OMENDB_INSERTED,
		OMENDB_NOT_INDEXED, /* a zero vector under cosine */
		OMENDB_AREA_FULL
	} OmendbInsertResult;

	/*
	 * A builder in the current memory context. meta: shape, seed, first_block as
	 * parameters_block + parameter_blocks. mean, control and area outlive it.
	 */
	extern OmendbBuilder *omendb_builder_create(const OmendbMetaPage *meta, const float *mean,
												OmendbBuildControl *control,
												const OmendbBuildArea *area);
	/* elements: input_dim finite floats; hash: of the value's own bytes. */
	extern OmendbInsertResult omendb_builder_insert(OmendbBuilder *builder, const float *elements,
													uint32 hash, ItemPointer tid);
	/* The image of page `index`, page header left out (zero). Valid after the build. */
	extern const char *omendb_builder_page(OmendbBuilder *builder, uint32 index);

#ifdef __cplusplus
}
#endif

#endif
