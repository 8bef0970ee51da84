/*
 * build.h - from rows to the pages of a new index. C.
 *
 * Every participant of a build has a builder: it adds rows, then finishes
 * together with the others. Memory, meetings and pages come from am/ through
 * OmendbBuildCalls.
 */
#ifndef OMENDB_STORE_BUILD_H
#define OMENDB_STORE_BUILD_H

#include "storage/itemptr.h"

#include "store/layout.h"

#ifdef __cplusplus
extern "C"
{
#endif

/* Kinds of memory: graph/bulk.hpp, BulkRegion. */
#define OMENDB_BUILD_REGIONS 8

	/* What the participants share, behind an opaque pointer; zeroed, then init. */
	typedef struct OmendbBuildControl OmendbBuildControl;

	extern Size omendb_build_control_size(void);
	extern void omendb_build_control_init(OmendbBuildControl *control, const OmendbMetaPage *meta,
										  double expected_rows);
	/* Memory a row takes until its record is written, about. */
	extern Size omendb_build_row_bytes(const OmendbMetaPage *meta);
	/* What a step does: compare vectors, write pages, or neither. */
	extern bool omendb_build_step_compares(uint32 step);
	extern bool omendb_build_step_writes(uint32 step);
	/* Rows added so far. */
	extern uint64 omendb_build_rows(OmendbBuildControl *control);
	/* entry, root, built_nodes and built_tids of the finished graph. */
	extern void omendb_build_result(OmendbBuildControl *control, OmendbMetaPage *meta);

	/* Any of the calls may raise an error. */
	typedef struct OmendbBuildCalls
	{
		void *context;
		/* Wait for all participants; true in one of them. */
		bool (*meet)(void *context);
		/* Between pieces of work. */
		void (*poll)(void *context);
		/* `first` of `limit` pieces of a step have been given out: graph/bulk.hpp, BulkStep. */
		void (*progress)(void *context, uint32 step, uint32 first, uint32 limit);
		/* Have at least so many segments of a region. */
		void (*extend)(void *context, uint32 region, uint32 segments, Size segment_bytes);
		/* Addresses of a region's segments here; *count of them. */
		uint8 *const *(*map)(void *context, uint32 region, uint32 *count);
		/* Pages to be written: blocks below `blocks`. One participant. */
		void (*begin_pages)(void *context, BlockNumber blocks);
		/* Content behind the page header. */
		void (*write_page)(void *context, BlockNumber block, uint16 kind, uint16 slots,
						   const char *content, Size bytes);
		/* A range of pages is complete. */
		void (*written)(void *context, BlockNumber first, uint32 count);
	} OmendbBuildCalls;

	typedef struct OmendbBuilder OmendbBuilder;

	/*
	 * A builder in the current memory context. meta: shape, seed, parameters_block
	 * and parameter_blocks. mean, control and calls outlive it.
	 */
	extern OmendbBuilder *omendb_builder_create(const OmendbMetaPage *meta, const float *mean,
												OmendbBuildControl *control,
												const OmendbBuildCalls *calls);
	/*
	 * row: input_dim finite floats, or the payload of a plain value (quant/value.hpp),
	 * aligned as its numbers; hash: of the value's own bytes. False when the row is not
	 * indexed (a zero vector under cosine).
	 */
	extern bool omendb_builder_add(OmendbBuilder *builder, const void *row, uint32 hash,
								   ItemPointer tid);
	/* All that follows, with the other participants. */
	extern void omendb_builder_finish(OmendbBuilder *builder);

#ifdef __cplusplus
}
#endif

#endif
