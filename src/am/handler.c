/*
 * handler.c - what omen_hnsw is able to do, field by field.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_opclass.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "am/am.h"
#include "am/opclass.h"
#include "pg/compat.h"

PG_FUNCTION_INFO_V1(omendb_hnsw_handler);

/*
 * Whether a column can be read in the order of a distance: yes, when its
 * operator class says so. Core knows the answers to all other questions.
 */
static bool
omendb_amproperty(Oid index, int attno, IndexAMProperty property, const char *name, bool *result,
				  bool *isnull)
{
	Oid opclass;
	Oid family;
	Oid type;

	if (attno == 0 || property != AMPROP_DISTANCE_ORDERABLE)
		return false;
	opclass = get_index_column_opclass(index, attno);
	if (!OidIsValid(opclass) || !get_opclass_opfamily_and_input_type(opclass, &family, &type))
	{
		*isnull = true;
		return true;
	}
	*result = SearchSysCacheExists4(AMOPSTRATEGY, ObjectIdGetDatum(family), ObjectIdGetDatum(type),
									ObjectIdGetDatum(type), Int16GetDatum(1));
	return true;
}

/* The slot's signature; uniqueness and whether the key changed mean nothing here. */
#if PG_VERSION_NUM >= 140000
static bool
aminsert_slot(Relation index, Datum *values, bool *isnull, ItemPointer heap_tid, Relation heap,
			  IndexUniqueCheck check_unique, bool index_unchanged, IndexInfo *info)
#else
static bool
aminsert_slot(Relation index, Datum *values, bool *isnull, ItemPointer heap_tid, Relation heap,
			  IndexUniqueCheck check_unique, IndexInfo *info)
#endif
{
	return omendb_aminsert(index, values, isnull, heap_tid, info);
}

/* What the planner and the DDL commands may ask of an index. */
static void
set_abilities(IndexAmRoutine *am)
{
	/* Ordering operators only: no fixed set of strategies. */
	am->amstrategies = 0;
	am->amsupport = OMENDB_SUPPORT_COUNT;
	am->amoptsprocnum = 0;
	am->amcanorder = false;
	am->amcanorderbyop = true;
	/* The executor's reordering of rechecked distances only goes forward. */
	am->amcanbackward = false;
	am->amcanunique = false;
	am->amcanmulticol = false;
	/* ORDER BY alone is enough to use the index. */
	am->amoptionalkey = true;
	am->amsearcharray = false;
	am->amsearchnulls = false;
	am->amstorage = false;
	am->amclusterable = false;
	/* Core then locks the whole index for SERIALIZABLE: any insert changes any answer. */
	am->ampredlocks = false;
	am->amcanparallel = false;
	am->amcaninclude = false;
	/* VACUUM keeps copies of records in a quarter of it. */
	am->amusemaintenanceworkmem = true;
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	am->amkeytype = InvalidOid;
#if PG_VERSION_NUM >= 160000
	am->amsummarizing = false;
#endif
#if PG_VERSION_NUM >= 170000
	am->amcanbuildparallel = true;
#endif
#if PG_VERSION_NUM >= 180000
	am->amcanhash = false;
	am->amconsistentequality = false;
	am->amconsistentordering = false;
#endif
}

static void
set_callbacks(IndexAmRoutine *am)
{
	am->ambuild = omendb_ambuild;
	am->ambuildempty = omendb_ambuildempty;
	am->aminsert = aminsert_slot;
	am->ambulkdelete = omendb_ambulkdelete;
	am->amvacuumcleanup = omendb_amvacuumcleanup;
	/* Distances are recomputed from the row: nothing to return from the index. */
	am->amcanreturn = NULL;
	am->amcostestimate = omendb_amcostestimate;
	am->amoptions = omendb_amoptions;
	am->amproperty = omendb_amproperty;
	am->ambuildphasename = omendb_ambuildphasename;
	am->amvalidate = omendb_amvalidate;
	am->ambeginscan = omendb_ambeginscan;
	am->amrescan = omendb_amrescan;
	am->amgettuple = omendb_amgettuple;
	/* A bitmap has no order. */
	am->amgetbitmap = NULL;
	am->amendscan = omendb_amendscan;
	am->ammarkpos = NULL;
	am->amrestrpos = NULL;
	am->amestimateparallelscan = NULL;
	am->aminitparallelscan = NULL;
	am->amparallelrescan = NULL;
#if PG_VERSION_NUM >= 140000
	/* An opclass cannot do without its one operator and one function: core's default. */
	am->amadjustmembers = NULL;
#endif
#if PG_VERSION_NUM >= 170000
	am->aminsertcleanup = NULL;
#endif
#if PG_VERSION_NUM >= 180000
	am->amgettreeheight = NULL;
	am->amtranslatestrategy = NULL;
	am->amtranslatecmptype = NULL;
#endif
}

Datum
omendb_hnsw_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	set_abilities(am);
	set_callbacks(am);
	PG_RETURN_POINTER(am);
}
