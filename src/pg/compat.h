/*
 * compat.h - differences between PostgreSQL 13 and 18.
 *
 * Beside am/handler.c the only place that tests PG_VERSION_NUM. Everything
 * here has the name and meaning of the newest server's API, so that the rest
 * of the source reads as if written for that one.
 *
 * REQUIRES: postgres.h before it. Every C file includes it, because it also
 * makes SQL functions visible where the server's headers do not.
 */
#ifndef OMENDB_PG_COMPAT_H
#define OMENDB_PG_COMPAT_H

#include "fmgr.h"

/* 16 moved the varlena macros out of postgres.h; a later release stops including them there. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * Before 16 the headers make nothing visible outside Windows; with
 * -fvisibility=hidden the server would then find no function. PG_MODULE_MAGIC
 * expands PGDLLEXPORT late, so for it a new definition is enough;
 * PG_FUNCTION_INFO_V1 must say it for the function, too; _PG_init is declared
 * before we get here, so omendb.c declares it again.
 */
#if PG_VERSION_NUM < 160000 && !defined(WIN32)
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname)                                    \
	extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS);                 \
	extern PGDLLEXPORT const Pg_finfo_record *pg_finfo_##funcname(void); \
	const Pg_finfo_record *pg_finfo_##funcname(void)                     \
	{                                                                    \
		static const Pg_finfo_record finfo = {1};                        \
		return &finfo;                                                   \
	}                                                                    \
	extern int no_such_variable
#endif

/* 16: errors that an input function leaves with its caller. Before: plain errors. */
#if PG_VERSION_NUM < 160000
#define errsave(context, ...)        \
	do                               \
	{                                \
		(void) (context);            \
		ereport(ERROR, __VA_ARGS__); \
	} while (0)
#define ereturn(context, dummy_value, ...) \
	do                                     \
	{                                      \
		errsave(context, __VA_ARGS__);     \
		return dummy_value;                \
	} while (0)
#endif

/* 18: a module says its name and version. */
#if PG_VERSION_NUM < 180000
#define PG_MODULE_MAGIC_EXT(...) PG_MODULE_MAGIC
#endif

/* 18: a prefix of the declaration instead of pg_attribute_noreturn() behind it. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* 14: roles that may read every table. An invalid role has no members. */
#if PG_VERSION_NUM < 140000
#define ROLE_PG_READ_ALL_DATA InvalidOid
#endif

/* 15: unknown settings with our prefix are errors; before, a warning for those set already. */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* 16: one function for the owners of all kinds of objects. */
#if PG_VERSION_NUM < 160000
#define object_ownercheck(class_id, object_id, role_id) \
	(AssertMacro((class_id) == RelationRelationId), pg_class_ownercheck(object_id, role_id))
#endif

/* 17: functions run on behalf of a table's owner use a safe search path. */
#if PG_VERSION_NUM < 170000
#define RestrictSearchPath() ((void) 0)
#endif

/* 18: the delay tells whether it belongs to ANALYZE. */
#if PG_VERSION_NUM < 180000
#define omendb_vacuum_delay_point() vacuum_delay_point()
#else
#define omendb_vacuum_delay_point() vacuum_delay_point(false)
#endif

/* 17: named like the tests for other kinds of processes. */
#if PG_VERSION_NUM < 170000
#define AmAutoVacuumWorkerProcess() IsAutoVacuumWorkerProcess()
#endif

/* 18: EXPLAIN shows how often an index was searched. */
#if PG_VERSION_NUM < 180000
#define omendb_count_index_search(scan) ((void) 0)
#else
#define omendb_count_index_search(scan)      \
	do                                       \
	{                                        \
		if ((scan)->instrument)              \
			(scan)->instrument->nsearches++; \
	} while (0)
#endif

/* 18: paths to be avoided are counted apart from their cost. */
#if PG_VERSION_NUM < 180000
#define omendb_disable_path(path) ((void) (path))
#else
#define omendb_disable_path(path) ((path)->disabled_nodes = 2)
#endif

/* 16: the identity of a relation's file has another name. */
#if PG_VERSION_NUM < 160000
#define RelFileLocator                 RelFileNode
#define omendb_relation_file(relation) ((relation)->rd_node)
#define omendb_tag_is_of(tag, relation, block)                                             \
	((tag)->blockNum == (block) && RelFileNodeEquals((tag)->rnode, (relation)->rd_node) && \
	 (tag)->forkNum == MAIN_FORKNUM)
#else
#define omendb_relation_file(relation) ((relation)->rd_locator)
#define omendb_tag_is_of(tag, relation, at)                              \
	((tag)->blockNum == (at) && BufTagGetForkNum(tag) == MAIN_FORKNUM && \
	 BufTagMatchesRelFileLocator(tag, &(relation)->rd_locator))
#endif

/* 14: pin a buffer if it still holds that block of the relation's main fork. */
#if PG_VERSION_NUM < 140000
#define omendb_read_recent_buffer(relation, block, buffer) false
#else
#define omendb_read_recent_buffer(relation, block, buffer) \
	ReadRecentBuffer(omendb_relation_file(relation), MAIN_FORKNUM, block, buffer)
#endif

/* 15: sets of files that participants share live in their own module. */
#if PG_VERSION_NUM >= 150000
#define omendb_create_shared_file(set, name) FileSetCreate(&(set)->fs, name)
#define omendb_open_shared_file(set, name)   FileSetOpen(&(set)->fs, name, O_RDWR)
#elif PG_VERSION_NUM >= 140000
#define omendb_create_shared_file(set, name) SharedFileSetCreate(set, name)
#define omendb_open_shared_file(set, name)   SharedFileSetOpen(set, name, O_RDWR)
#else
/* 13 opens them read-only: a parallel build that does not fit into memory ends with an error. */
#define omendb_create_shared_file(set, name) SharedFileSetCreate(set, name)
#define omendb_open_shared_file(set, name)   SharedFileSetOpen(set, name)
#endif

/* 16: growing a relation has its own function, which takes the lock. */
#if PG_VERSION_NUM < 160000
#define omendb_extend_locks(relation)  (!RELATION_IS_LOCAL(relation))
#define omendb_extend_buffer(relation) ReadBuffer(relation, P_NEW)
#else
#define omendb_extend_locks(relation)  false
#define omendb_extend_buffer(relation) ExtendBufferedRel(BMR_REL(relation), MAIN_FORKNUM, NULL, 0)
#endif

#endif
