/*
 * assert.h - assertions of the core.
 *
 * OMENDB_ASSERT is for programmer errors only: what comes from disk or from a
 * user is checked in release builds too. The failure function is left to the
 * program: store/report.cpp hands it to the server, test/unit/support prints
 * and aborts.
 */
#ifndef OMENDB_BASE_ASSERT_H
#define OMENDB_BASE_ASSERT_H

#if defined(USE_ASSERT_CHECKING) || defined(OMENDB_ASSERTS)
#define OMENDB_ASSERTS_ENABLED 1
#else
#define OMENDB_ASSERTS_ENABLED 0
#endif

#ifdef __cplusplus
extern "C"
{
#endif

#if defined(__GNUC__)
	__attribute__((noreturn, cold))
#endif
	extern void
	omendb_assert_failed(const char *expr, const char *file, int line);

#ifdef __cplusplus
}
#endif

#if OMENDB_ASSERTS_ENABLED
#define OMENDB_ASSERT(expr) ((expr) ? (void) 0 : omendb_assert_failed(#expr, __FILE__, __LINE__))
#else
/* sizeof: the expression stays checked and its variables used, but never runs. */
#define OMENDB_ASSERT(expr) ((void) sizeof((expr) ? 1 : 0))
#endif

#endif
