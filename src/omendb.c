/*
 * omendb.c - the module: magic, start-up, version.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "am/am.h"
#include "pg/compat.h"
#include "simd/kernels.h"

/* The same as default_version in omendb.control; sql/vector_type.sql compares them. */
#define OMENDB_VERSION "0.1.0"

PG_MODULE_MAGIC_EXT(.name = "omendb", .version = OMENDB_VERSION);

PG_FUNCTION_INFO_V1(omendb_version);
PG_FUNCTION_INFO_V1(omendb_isa);

/* Again, because fmgr.h comes before compat.h gives PGDLLEXPORT a meaning. */
extern PGDLLEXPORT void _PG_init(void);

/* The names OMENDB_ISA_VARIABLE may have on this machine, best first. */
static char *
supported_kernels(void)
{
	StringInfoData names;
	const OmendbKernels *kernels;

	initStringInfo(&names);
	for (int i = 0; (kernels = omendb_kernels_at(i)) != NULL; i++)
	{
		if (omendb_kernels_supported(kernels))
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", kernels->name);
	}
	return names.data;
}

void
_PG_init(void)
{
	const char *forced = getenv(OMENDB_ISA_VARIABLE);
	const char *problem = NULL;

	/* Never fall back to another table: a test would then test something else. */
	if (omendb_kernels_select(forced, &problem) != 0)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("could not select kernels \"%s\": %s", forced ? forced : "", problem),
				errhint("Unset the environment variable %s or set it to one of: %s.",
						OMENDB_ISA_VARIABLE, supported_kernels()));
	omendb_am_init();
}

Datum
omendb_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(OMENDB_VERSION));
}

/* Which kernels this session computes with. */
Datum
omendb_isa(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(omendb_kernels->name));
}
