/*
 * validate.c - whether an operator class is one that omen_hnsw can use.
 */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "am/am.h"
#include "am/opclass.h"
#include "pg/compat.h"

#define OMENDB_ORDER_STRATEGY 1

/* What is being validated: names for the messages, and the type that counts. */
typedef struct Subject
{
	const char *opclass;
	const char *family;
	Oid family_id;
	Oid type;
} Subject;

/* INFO, as the access methods of core do it: amvalidate() shows all that is wrong. */
static void
report_operator(const Subject *subject, Oid operator, const char * what)
{
	ereport(INFO, errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			errmsg("operator family \"%s\" of access method %s contains operator %s %s",
				   subject->family, "omen_hnsw", format_operator(operator), what));
}

static void
report_function(const Subject *subject, Oid function, const char *what)
{
	ereport(INFO, errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			errmsg("operator family \"%s\" of access method %s contains function %s %s",
				   subject->family, "omen_hnsw", format_procedure(function), what));
}

static bool
function_valid(const Subject *subject, Form_pg_amproc entry)
{
	if (entry->amproclefttype != entry->amprocrighttype)
	{
		report_function(subject, entry->amproc, "with different left and right input types");
		return false;
	}
	if (entry->amprocnum != OMENDB_SUPPORT_PROC)
	{
		report_function(subject, entry->amproc, "with invalid support number");
		return false;
	}
	if (!check_amproc_signature(entry->amproc, INTERNALOID, true, 1, 1, INTERNALOID))
	{
		report_function(subject, entry->amproc, "with wrong signature");
		return false;
	}
	return true;
}

static bool
operator_valid(const Subject *subject, Form_pg_amop entry)
{
	if (entry->amopstrategy != OMENDB_ORDER_STRATEGY)
	{
		report_operator(subject, entry->amopopr, "with invalid strategy number");
		return false;
	}
	if (entry->amoppurpose != AMOP_ORDER)
	{
		report_operator(subject, entry->amopopr, "that is no ORDER BY operator");
		return false;
	}
	/* Distances are handed to the executor as float8. */
	if (!opfamily_can_sort_type(entry->amopsortfamily, FLOAT8OID))
	{
		report_operator(subject, entry->amopopr, "with incorrect ORDER BY operator family");
		return false;
	}
	if (!check_amop_signature(entry->amopopr, FLOAT8OID, entry->amoplefttype, entry->amoprighttype))
	{
		report_operator(subject, entry->amopopr, "with wrong signature");
		return false;
	}
	return true;
}

static bool
members_valid(const Subject *subject, CatCList *operators, CatCList *functions)
{
	bool valid = true;

	for (int i = 0; i < functions->n_members; i++)
	{
		HeapTuple tuple = &functions->members[i]->tuple;

		valid &= function_valid(subject, (Form_pg_amproc) GETSTRUCT(tuple));
	}
	for (int i = 0; i < operators->n_members; i++)
	{
		HeapTuple tuple = &operators->members[i]->tuple;

		valid &= operator_valid(subject, (Form_pg_amop) GETSTRUCT(tuple));
	}
	return valid;
}

/* Whether the type of the opclass has its operator and its function. */
static bool
type_complete(const Subject *subject, CatCList *operators, CatCList *functions)
{
	List *groups = identify_opfamily_groups(operators, functions);
	ListCell *cell;
	uint64 operator_set = 0;
	uint64 function_set = 0;

	foreach (cell, groups)
	{
		OpFamilyOpFuncGroup *group = (OpFamilyOpFuncGroup *) lfirst(cell);

		if (group->lefttype == subject->type && group->righttype == subject->type)
		{
			operator_set = group->operatorset;
			function_set = group->functionset;
		}
	}
	if ((operator_set & (UINT64CONST(1) << OMENDB_ORDER_STRATEGY)) == 0)
		ereport(INFO, errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("operator class \"%s\" of access method %s is missing operator %d",
					   subject->opclass, "omen_hnsw", OMENDB_ORDER_STRATEGY));
	if ((function_set & (UINT64CONST(1) << OMENDB_SUPPORT_PROC)) == 0)
		ereport(INFO, errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("operator class \"%s\" of access method %s is missing support function %d",
					   subject->opclass, "omen_hnsw", OMENDB_SUPPORT_PROC));
	return operator_set == (UINT64CONST(1) << OMENDB_ORDER_STRATEGY) &&
		   function_set == (UINT64CONST(1) << OMENDB_SUPPORT_PROC);
}

/* A copy, because the cache entry is given back at once. */
static char *
family_name(Oid family)
{
	HeapTuple tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(family));
	char *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator family %u", family);
	name = pstrdup(NameStr(((Form_pg_opfamily) GETSTRUCT(tuple))->opfname));
	ReleaseSysCache(tuple);
	return name;
}

bool
omendb_amvalidate(Oid opclass)
{
	HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass form;
	CatCList *operators;
	CatCList *functions;
	Subject subject;
	bool valid;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);
	subject.opclass = NameStr(form->opcname);
	subject.family = family_name(form->opcfamily);
	subject.family_id = form->opcfamily;
	subject.type = form->opcintype;

	operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(subject.family_id));
	functions = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(subject.family_id));
	valid = members_valid(&subject, operators, functions);
	valid &= type_complete(&subject, operators, functions);
	/* What the index stores is decided by the support function, not by a key type. */
	if (OidIsValid(form->opckeytype) && form->opckeytype != form->opcintype)
	{
		ereport(INFO, errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				errmsg("operator class \"%s\" of access method %s has a storage type",
					   subject.opclass, "omen_hnsw"));
		valid = false;
	}
	ReleaseCatCacheList(functions);
	ReleaseCatCacheList(operators);
	ReleaseSysCache(tuple);
	return valid;
}
