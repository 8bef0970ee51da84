/*
 * options.c - options of an index (WITH) and settings of a session (SET).
 */
#include "postgres.h"

#include <limits.h>

#include "access/reloptions.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "am/am.h"
#include "pg/compat.h"
#include "store/fault.h"

int omendb_ef_search = OMENDB_DEFAULT_EF_SEARCH;
int omendb_max_scan_tuples = OMENDB_DEFAULT_MAX_SCAN_TUPLES;
double omendb_scan_mem_multiplier = OMENDB_DEFAULT_SCAN_MEM_MULTIPLIER;
int omendb_scan_order = OMENDB_SCAN_ORDER_STRICT;
bool omendb_skip_sort_column = true;

static relopt_kind options_kind;

static relopt_enum_elt_def storage_values[] = {{"auto", OMENDB_STORAGE_AUTO},
											   {"int8", OMENDB_STORAGE_INT8},
											   {"half", OMENDB_STORAGE_HALF},
											   {"full", OMENDB_STORAGE_FULL},
											   {(const char *) NULL, 0}};

static const struct config_enum_entry scan_order_values[] = {
	{"strict", OMENDB_SCAN_ORDER_STRICT, false},
	{"relaxed", OMENDB_SCAN_ORDER_RELAXED, false},
	{NULL, 0, false}};

static void
define_reloptions(void)
{
	options_kind = add_reloption_kind();
	add_int_reloption(options_kind, "ef_construction",
					  "Size of the dynamic candidate list for construction",
					  OMENDB_DEFAULT_EF_CONSTRUCTION, OMENDB_MIN_EF_CONSTRUCTION,
					  OMENDB_MAX_EF_CONSTRUCTION, AccessExclusiveLock);
	add_int_reloption(options_kind, "m", "Max number of connections", OMENDB_DEFAULT_M,
					  OMENDB_MIN_M, OMENDB_MAX_M, AccessExclusiveLock);
	add_enum_reloption(options_kind, "storage", "Precision of the vectors kept in the index",
					   storage_values, OMENDB_STORAGE_AUTO,
					   "Valid values are \"auto\", \"int8\", \"half\", and \"full\".",
					   AccessExclusiveLock);
}

static void
define_settings(void)
{
	DefineCustomIntVariable("omen_hnsw.ef_search",
							"Sets the size of the dynamic candidate list for search.",
							"A larger list finds more of the true neighbors and takes longer.",
							&omendb_ef_search, OMENDB_DEFAULT_EF_SEARCH, OMENDB_MIN_EF_SEARCH,
							OMENDB_MAX_EF_SEARCH, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"omen_hnsw.max_scan_tuples", "Sets the number of index entries a scan may visit.",
		"A scan that reaches it returns what it has found so far.", &omendb_max_scan_tuples,
		OMENDB_DEFAULT_MAX_SCAN_TUPLES, 1, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("omen_hnsw.scan_mem_multiplier",
							 "Sets the multiple of work_mem a scan may use.", NULL,
							 &omendb_scan_mem_multiplier, OMENDB_DEFAULT_SCAN_MEM_MULTIPLIER, 1,
							 1000, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("omen_hnsw.scan_order",
							 "Sets what a scan does with a row it finds too late.",
							 "strict leaves it out, so that rows come in the exact order; "
							 "relaxed returns it out of order.",
							 &omendb_scan_order, OMENDB_SCAN_ORDER_STRICT, scan_order_values,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("omen_hnsw.skip_sort_column",
							 "Leaves out the distance where a plan computes it for nobody.",
							 "Off, plans stay as PostgreSQL makes them.", &omendb_skip_sort_column,
							 true, PGC_USERSET, 0, NULL, NULL, NULL);
#ifdef OMENDB_FAULT_POINTS
	omendb_define_fault_point();
#endif
	MarkGUCPrefixReserved("omen_hnsw");
}

void
omendb_am_init(void)
{
	define_reloptions();
	define_settings();
	omendb_plan_init();
}

bytea *
omendb_amoptions(Datum reloptions, bool validate)
{
	/* By name: 18 has one more field. */
	static const relopt_parse_elt fields[] = {
		{.optname = "ef_construction",
		 .opttype = RELOPT_TYPE_INT,
		 .offset = offsetof(OmendbOptions, ef_construction)},
		{.optname = "m", .opttype = RELOPT_TYPE_INT, .offset = offsetof(OmendbOptions, m)},
		{.optname = "storage",
		 .opttype = RELOPT_TYPE_ENUM,
		 .offset = offsetof(OmendbOptions, storage)}};

	return (bytea *) build_reloptions(reloptions, validate, options_kind, sizeof(OmendbOptions),
									  fields, lengthof(fields));
}

void
omendb_get_options(Relation index, OmendbOptions *options)
{
	if (index->rd_options != NULL)
	{
		memcpy(options, index->rd_options, sizeof(*options));
		return;
	}
	memset(options, 0, sizeof(*options));
	options->m = OMENDB_DEFAULT_M;
	options->ef_construction = OMENDB_DEFAULT_EF_CONSTRUCTION;
	options->storage = OMENDB_STORAGE_AUTO;
}

void
omendb_check_options(const OmendbOptions *options)
{
	if (options->ef_construction < 2 * options->m)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("ef_construction must be greater than or equal to 2 * m"));
}
