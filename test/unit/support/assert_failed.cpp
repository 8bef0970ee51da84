/*
 * assert_failed.cpp - where a failed OMENDB_ASSERT ends in a test program.
 */
#include <cstdio>
#include <cstdlib>

#include "base/assert.h"

extern "C" void
omendb_assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
	fflush(stderr);
	abort();
}
