/*
 * status.h - errors as values.
 *
 * The core never throws and never reports: it returns a Status. Only
 * store/report.cpp turns one into an SQLSTATE and a message.
 */
#ifndef OMENDB_BASE_STATUS_H
#define OMENDB_BASE_STATUS_H

#include <stdint.h>

typedef enum OmendbStatus
{
	OMENDB_OK = 0,
	OMENDB_NO_MEMORY, /* the injected allocator, or the build area, is exhausted */
	OMENDB_TOO_LARGE  /* a value exceeds what the layout can hold */
} OmendbStatus;

#endif
