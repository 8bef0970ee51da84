/*
 * fault.c - points where a test can stop the server, or a session.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/guc.h"

#include "store/fault.h"

#ifdef OMENDB_FAULT_POINTS

typedef enum FaultAction
{
	FAULT_NONE,
	FAULT_ERROR,
	FAULT_KILL9,
	FAULT_WAIT
} FaultAction;

/* What the setting says of one point. */
typedef struct Fault
{
	FaultAction action;
	int point;
	int passage;  /* the action is at this one, and no other */
	int key;      /* of the advisory lock */
	int passages; /* so far */
} Fault;

#define MAX_FAULTS 4

typedef struct Faults
{
	int count;
	Fault fault[MAX_FAULTS];
} Faults;

static const char *const point_names[] = {
#define OMENDB_FAULT_POINT_NAME(name) #name,
	OMENDB_FAULT_POINTS_LIST(OMENDB_FAULT_POINT_NAME)
#undef OMENDB_FAULT_POINT_NAME
};
static const char *const action_names[] = {"", "error", "kill9", "wait"};

static char *fault_setting;
static Faults faults;

static int
find_name(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -1;
}

static bool
parse_fault(const char *setting, Fault *out)
{
	char name[64], action[16];

	memset(out, 0, sizeof(*out));
	out->passage = out->key = 1;
	if (sscanf(setting, "%63[^:]:%15[^:]:%d:%d", name, action, &out->passage, &out->key) < 2)
		return false;
	out->point = find_name(point_names, lengthof(point_names), name);
	out->action = (FaultAction) find_name(action_names, lengthof(action_names), action);
	return out->point >= 0 && (int) out->action > 0;
}

static bool
parse_faults(const char *setting, Faults *out)
{
	memset(out, 0, sizeof(*out));
	while (setting != NULL && setting[0] != '\0')
	{
		char one[128];
		size_t length = strcspn(setting, ",");

		if (out->count == MAX_FAULTS || length >= sizeof(one))
			return false;
		memcpy(one, setting, length);
		one[length] = '\0';
		if (!parse_fault(one, &out->fault[out->count++]))
			return false;
		setting += length + (setting[length] == ',');
	}
	return true;
}

static bool
check_fault(char **setting, void **extra, GucSource source)
{
	Faults parsed;
	StringInfoData names;

	if (parse_faults(*setting, &parsed))
		return true;
	/* A test reads them from here. */
	initStringInfo(&names);
	for (int i = 0; i < (int) lengthof(point_names); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? " " : "", point_names[i]);
	GUC_check_errdetail("Points: %s.", names.data);
	return false;
}

static void
assign_fault(const char *setting, void *extra)
{
	(void) parse_faults(setting, &faults);
}

void
omendb_define_fault_point(void)
{
	DefineCustomStringVariable("omen_hnsw.fault_point", "Sets where a test stops this session.",
							   "name:error|kill9|wait[:passage[:key]], ..., see store/fault.h",
							   &fault_setting, "", PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							   check_fault, assign_fault, NULL);
}

/* Until whoever has the lock gives it back. */
static void
wait_for_lock(int key)
{
	LOCKTAG tag;

	/* pg_advisory_lock(bigint) */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, (uint32) key, 1);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	(void) LockRelease(&tag, ExclusiveLock, false);
}

static void
act(const Fault *fault)
{
	switch (fault->action)
	{
		case FAULT_WAIT:
			/* Whoever waits for a content lock is not seen, nor cancelled. */
			if (InterruptHoldoffCount > 0)
				elog(ERROR, "fault point \"%s\" is under a content lock",
					 point_names[fault->point]);
			wait_for_lock(fault->key);
			break;
		case FAULT_KILL9:
			if (!RecoveryInProgress() && XactLastRecEnd != InvalidXLogRecPtr)
				XLogFlush(XactLastRecEnd);
			kill(MyProcPid, SIGKILL);
			break;
		default:
			ereport(ERROR, errcode(ERRCODE_QUERY_CANCELED),
					errmsg("fault point \"%s\"", point_names[fault->point]));
	}
}

void
omendb_fault(OmendbFaultPoint point)
{
	for (int i = 0; i < faults.count; i++)
	{
		Fault *fault = &faults.fault[i];

		if ((int) point == fault->point && ++fault->passages == fault->passage)
			act(fault);
	}
}

#else

/* ISO C wants a declaration in every file. */
typedef int OmendbNoFaultPoints;

#endif
