/*
 * am.h - the access method omen_hnsw: its callbacks, options and settings.
 *
 * A callback lives in the file named after its slot (omendb_amgettuple in
 * scan.c); handler.c puts them together.
 */
#ifndef OMENDB_AM_AM_H
#define OMENDB_AM_AM_H

#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "base/limits.h"

/* Defaults of the options; the ranges are in base/limits.h. */
#define OMENDB_DEFAULT_M                   16
#define OMENDB_DEFAULT_EF_CONSTRUCTION     64
#define OMENDB_DEFAULT_EF_SEARCH           40
#define OMENDB_DEFAULT_MAX_SCAN_TUPLES     20000
#define OMENDB_DEFAULT_SCAN_MEM_MULTIPLIER 2.0

/* Values of OmendbMetaPage.metric, as quant::Metric (store/record_check.cpp). */
#define OMENDB_METRIC_L2            1
#define OMENDB_METRIC_INNER_PRODUCT 2
#define OMENDB_METRIC_COSINE        3
#define OMENDB_METRIC_L1            4
#define OMENDB_METRIC_HAMMING       5
#define OMENDB_METRIC_JACCARD       6

/* Values of OmendbMetaPage.storage, as quant::Storage; auto only as an option. */
#define OMENDB_STORAGE_AUTO  0
#define OMENDB_STORAGE_INT8  1
#define OMENDB_STORAGE_HALF  2
#define OMENDB_STORAGE_FULL  3
#define OMENDB_STORAGE_VALUE 4 /* never an option: what the metric asks for */

/* WITH (...) of an index; rd_options is NULL when none is given. */
typedef struct OmendbOptions
{
	int32 vl_len_; /* varlena header, do not touch directly */
	int m;
	int ef_construction;
	int storage; /* OMENDB_STORAGE_... */
} OmendbOptions;

/* Values of omen_hnsw.scan_order. */
typedef enum OmendbScanOrder
{
	OMENDB_SCAN_ORDER_STRICT,
	OMENDB_SCAN_ORDER_RELAXED
} OmendbScanOrder;

/* ---- options.c ---- */

/* Defines GUCs and reloptions; called once, from _PG_init. */
extern void omendb_am_init(void);

extern int omendb_ef_search;
extern int omendb_max_scan_tuples;
extern double omendb_scan_mem_multiplier;
extern int omendb_scan_order;
extern bool omendb_skip_sort_column;

extern bytea *omendb_amoptions(Datum reloptions, bool validate);
/* The options of an index, defaults filled in. */
extern void omendb_get_options(Relation index, OmendbOptions *options);
/* ERROR when options contradict each other; for the build. */
extern void omendb_check_options(const OmendbOptions *options);

/* ---- build.c ---- */

extern IndexBuildResult *omendb_ambuild(Relation heap, Relation index, IndexInfo *info);
extern void omendb_ambuildempty(Relation index);
extern char *omendb_ambuildphasename(int64 phase);

/* ---- insert.c ---- */

/* Without the arguments that say nothing here; handler.c adapts it to its slot. */
extern bool omendb_aminsert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
							IndexInfo *info);

/* ---- vacuum.c ---- */

extern IndexBulkDeleteResult *omendb_ambulkdelete(IndexVacuumInfo *info,
												  IndexBulkDeleteResult *stats,
												  IndexBulkDeleteCallback callback,
												  void *callback_state);
extern IndexBulkDeleteResult *omendb_amvacuumcleanup(IndexVacuumInfo *info,
													 IndexBulkDeleteResult *stats);

/* ---- cost.c ---- */

extern void omendb_amcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
								  Cost *startup_cost, Cost *total_cost, Selectivity *selectivity,
								  double *correlation, double *pages);

/* ---- plan.c ---- */

/* Puts itself into the planner; called once, from _PG_init. */
extern void omendb_plan_init(void);

/* ---- validate.c ---- */

extern bool omendb_amvalidate(Oid opclass);

/* ---- scan.c ---- */

extern IndexScanDesc omendb_ambeginscan(Relation index, int nkeys, int norderbys);
extern void omendb_amrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys,
							int norderbys);
extern bool omendb_amgettuple(IndexScanDesc scan, ScanDirection direction);
extern void omendb_amendscan(IndexScanDesc scan);

#endif
