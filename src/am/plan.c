/*
 * plan.c - a plan does not compute what nobody reads.
 *
 * SELECT id ... ORDER BY v <-> q LIMIT 10 makes the planner add the distance to
 * what the scan projects, as a junk column: a Sort would need it. An index scan
 * in that order needs no Sort, and takes its distances from its own list
 * (indexorderby). The executor nevertheless fetches the vector of each row, from
 * TOAST where it lies there, computes the distance once more, and drops the
 * column at the top of the plan. Here it becomes a NULL.
 *
 * Only where that is certain: the scan is the whole plan of a SELECT, or all
 * but a Limit, so that nothing but the executor's junk filter ever sees the
 * column; the column is junk and equal to what the index orders by; no row is
 * locked, so that nothing is evaluated again for a newer version of a row.
 * Subqueries, appends, cursors under Material and the like stay as they are.
 *
 * The library is loaded when a session first meets one of its functions, often
 * in the midst of planning. Such a plan is missed, which costs time only.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "am/am.h"
#include "pg/compat.h"

static planner_hook_type previous_planner;

static bool
is_our_index(Oid index)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	Oid method;

	if (!HeapTupleIsValid(tuple))
		return false;
	method = ((Form_pg_class) GETSTRUCT(tuple))->relam;
	ReleaseSysCache(tuple);
	return OidIsValid(method) && method == get_index_am_oid("omen_hnsw", true);
}

/* The scan that is all of the plan but a Limit, or NULL. */
static IndexScan *
only_scan(const PlannedStmt *statement)
{
	Plan *plan = statement->planTree;

	if (statement->commandType != CMD_SELECT || statement->rowMarks != NIL)
		return NULL;
	/* WITH TIES compares the sort columns of rows. */
	if (IsA(plan, Limit) && ((Limit *) plan)->limitOption == LIMIT_OPTION_COUNT)
		plan = outerPlan(plan);
	if (plan == NULL || !IsA(plan, IndexScan) || ((IndexScan *) plan)->indexorderby == NIL)
		return NULL;
	return is_our_index(((IndexScan *) plan)->indexid) ? (IndexScan *) plan : NULL;
}

static void
blank_sort_columns(IndexScan *scan)
{
	ListCell *cell;

	foreach (cell, scan->scan.plan.targetlist)
	{
		TargetEntry *entry = (TargetEntry *) lfirst(cell);
		Node *expr = (Node *) entry->expr;

		if (!entry->resjunk || !list_member(scan->indexorderbyorig, expr))
			continue;
		entry = flatCopyTargetEntry(entry);
		entry->expr = (Expr *) makeNullConst(exprType(expr), exprTypmod(expr), exprCollation(expr));
		lfirst(cell) = entry;
	}
}

static PlannedStmt *
plan_without_sort_columns(Query *parse, const char *query_string, int cursor_options,
						  ParamListInfo bound_params)
{
	PlannedStmt *statement;
	IndexScan *scan;

	if (previous_planner != NULL)
		statement = previous_planner(parse, query_string, cursor_options, bound_params);
	else
		statement = standard_planner(parse, query_string, cursor_options, bound_params);
	if (!omendb_skip_sort_column)
		return statement;
	scan = only_scan(statement);
	if (scan != NULL)
		blank_sort_columns(scan);
	return statement;
}

void
omendb_plan_init(void)
{
	previous_planner = planner_hook;
	planner_hook = plan_without_sort_columns;
}
