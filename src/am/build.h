/*
 * build.h - the parts of a build: sample, participants, pages.
 */
#ifndef OMENDB_AM_BUILD_H
#define OMENDB_AM_BUILD_H

#include "postgres.h"

#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "storage/barrier.h"

#include "am/build_area.h"
#include "am/opclass.h"
#include "store/build.h"

/* pg_stat_progress_create_index.phase; 1 is PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE. */
#define OMENDB_PHASE_SAMPLE  2
#define OMENDB_PHASE_LOAD    3
#define OMENDB_PHASE_COMPARE 4
#define OMENDB_PHASE_LINK    5
#define OMENDB_PHASE_WRITE   6

/* What rows of the table look like, from some of them. */
typedef struct OmendbSample
{
	uint32 rows;      /* 0: too few, the mean is zero */
	float *mean;      /* input_dim floats; NULL: plain values have none */
	float radius;     /* inner product: the longest row of the sample, less the mean */
	double tuples;    /* rows the index will have, by the sampled blocks */
	/* plain values that differ in length: bytes of some of them */
	uint32 *sizes;
	uint32 size_count;
} OmendbSample;

/* One build, in the process that runs it: the leader or a worker. */
typedef struct OmendbBuild
{
	Relation heap;
	Relation index;
	IndexInfo *info;
	const OmendbOpclass *opclass;
	OmendbMetaPage meta;
	const float *mean; /* NULL: plain values have none */
	double tuples_expected;
	bool is_leader;

	OmendbArea *area;
	OmendbBuildControl *control;
	OmendbBuilder *builder;
	Barrier *barrier; /* of all participants; NULL: there is one */
	int phase;        /* last reported */
	MemoryContext row_context;
	float *buffer; /* input_dim floats; NULL for plain values */

	double heap_tuples;
	uint64 skipped; /* NULL, or without direction under cosine */
} OmendbBuild;

/* ---- build_sample.c ---- */

extern void omendb_sample_table(OmendbBuild *build, OmendbSample *sample);

/* ---- build.c ---- */

/* A participant's part until it meets the others: load the rows the scan gives it. NULL: all. */
extern void omendb_build_load(OmendbBuild *build, TableScanDesc scan);
/* The rest, with the others: the graph and its pages. */
extern void omendb_build_finish(OmendbBuild *build);

/* ---- build_parallel.c ---- */

/* Workers to ask for, by the size of heap and TOAST together. */
extern int omendb_plan_build_workers(OmendbBuild *build);

typedef struct OmendbParallelBuild OmendbParallelBuild;

/*
 * Build with workers. NULL: none could be had, nothing has happened. Otherwise
 * all pages but the first are written; omendb_parallel_build_end() when the
 * result has been read from build->control.
 */
extern OmendbParallelBuild *omendb_parallel_build(OmendbBuild *build, int workers);
extern void omendb_parallel_build_end(OmendbParallelBuild *parallel);

/* maintenance_work_mem, and what all rows take. */
extern Size omendb_build_memory_limit(void);
extern Size omendb_build_bytes_expected(const OmendbBuild *build);

#endif
