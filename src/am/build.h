/*
 * build.h - the parts of a build: sample, participants, pages.
 */
#ifndef OMENDB_AM_BUILD_H
#define OMENDB_AM_BUILD_H

#include "postgres.h"

#include "access/tableam.h"
#include "nodes/execnodes.h"

#include "am/build_area.h"
#include "am/opclass.h"
#include "store/build.h"

/* pg_stat_progress_create_index.phase; 1 is PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE. */
#define OMENDB_PHASE_SAMPLE 2
#define OMENDB_PHASE_LOAD   3
#define OMENDB_PHASE_WRITE  4
#define OMENDB_PHASE_LOG    5

/* What rows of the table look like, from some of them. */
typedef struct OmendbSample
{
	uint32 rows;   /* 0: too few, the mean is zero */
	float *mean;   /* input_dim floats */
	float radius;  /* inner product: the longest row of the sample, less the mean */
	double tuples; /* rows the index will have, by the sampled blocks */
} OmendbSample;

/* One build, in the process that runs it: the leader or a worker. */
typedef struct OmendbBuild
{
	Relation heap;
	Relation index;
	IndexInfo *info;
	const OmendbOpclass *opclass;
	OmendbMetaPage meta;
	const float *mean;
	double tuples_expected;
	bool is_leader;

	OmendbArea area;
	OmendbBuildControl *control;
	OmendbBuilder *builder;
	MemoryContext row_context;
	float *buffer; /* input_dim floats */

	double heap_tuples;
	uint64 skipped; /* NULL, or without direction under cosine */
	uint64 seen;    /* rows this process handled */
} OmendbBuild;

/* ---- build_sample.c ---- */

extern void omendb_sample_table(OmendbBuild *build, OmendbSample *sample);

/* ---- build.c ---- */

/* The participant's share: insert every row the scan gives it. scan NULL: all. */
extern void omendb_build_insert_all(OmendbBuild *build, TableScanDesc scan);

/* ---- build_parallel.c ---- */

/* Workers to ask for, by the size of heap and TOAST together. */
extern int omendb_plan_build_workers(OmendbBuild *build);

typedef struct OmendbParallelBuild OmendbParallelBuild;

/*
 * Build with workers. NULL: none could be had, nothing has happened.
 * Otherwise the graph is complete in build->area unless *memory_full; end it
 * with omendb_parallel_build_end() when the pages have been written.
 */
extern OmendbParallelBuild *omendb_parallel_build(OmendbBuild *build, int workers,
												  Size bytes_wanted, Size bytes_limit,
												  bool *memory_full);
extern void omendb_parallel_build_end(OmendbParallelBuild *parallel);

#endif
