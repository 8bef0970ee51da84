/*
 * change.c - changes of pages in place, logged as generic WAL.
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/bufpage.h"
#include "utils/rel.h"

#include "pg/compat.h"
#include "store/change.h"
#include "store/pages.h"

/* What redo reads before each fragment. */
typedef struct FragmentHeader
{
	OffsetNumber offset;
	OffsetNumber length;
} FragmentHeader;

StaticAssertDecl(sizeof(FragmentHeader) == 4, "as generic_xlog.c has it");

void
omendb_change_begin(OmendbChange *change, Buffer buffer)
{
	change->buffer = buffer;
	change->whole = false;
	change->size = 0;
}

void
omendb_change_put(OmendbChange *change, Size offset, const void *bytes, Size length)
{
	FragmentHeader header = {(OffsetNumber) offset, (OffsetNumber) length};

	if (length == 0)
		return;
	if (offset + length > BLCKSZ || change->size + sizeof(header) + length > OMENDB_CHANGE_BYTES)
		elog(ERROR, "change of an index page is too large");
	memcpy(change->bytes + change->size, &header, sizeof(header));
	memcpy(change->bytes + change->size + sizeof(header), bytes, length);
	change->size += sizeof(header) + length;
}

static uint64
word_at(const char *p)
{
	uint64 word;

	memcpy(&word, p, sizeof(word));
	return word;
}

void
omendb_change_compare(OmendbChange *change, Size offset, const void *bytes, Size length)
{
	const char *now = BufferGetPage(change->buffer) + offset;
	const char *then = (const char *) bytes;
	Size at = 0;

	while (true)
	{
		Size start, end;

		while (at + sizeof(uint64) <= length && word_at(now + at) == word_at(then + at))
			at += sizeof(uint64);
		while (at < length && now[at] == then[at])
			at++;
		if (at == length)
			break;
		/* Up to a header's length of equal bytes in between is no reason for another. */
		start = at;
		for (end = ++at; at < length && at - end <= sizeof(FragmentHeader); at++)
		{
			if (now[at] != then[at])
				end = at + 1;
		}
		omendb_change_put(change, offset + start, then + start, end - start);
	}
}

void
omendb_change_init(OmendbChange *change, uint16 kind, uint16 slots, const void *content,
				   Size length)
{
	/* change->bytes is aligned as the struct is. */
	Page image = (Page) change->bytes;

	omendb_init_page(image, kind, slots, length);
	memcpy(PageGetContents(image), content, length);
	change->whole = true;
	change->size = BLCKSZ;
}

/* As generic_xlog.c, applyPageRedo(). */
static void
apply_fragments(Page page, const OmendbChange *change)
{
	const char *p = change->bytes;
	const char *end = p + change->size;

	while (p < end)
	{
		FragmentHeader header;

		memcpy(&header, p, sizeof(header));
		p += sizeof(header);
		memcpy(page + header.offset, p, header.length);
		p += header.length;
	}
}

static void
register_change(uint8 id, OmendbChange *change)
{
	int flags = REGBUF_STANDARD;

	if (change->whole)
		flags |= REGBUF_FORCE_IMAGE;
	XLogRegisterBuffer(id, change->buffer, flags);
	if (!change->whole)
		XLogRegisterBufData(id, change->bytes, change->size);
}

void
omendb_change_apply(Relation index, OmendbChange *const *changes, int count)
{
	OmendbChange *used[OMENDB_MAX_CHANGES];
	bool logged = RelationNeedsWAL(index);
	int n = 0;

	for (int i = 0; i < count; i++)
	{
		if (changes[i]->size > 0)
			used[n++] = changes[i];
	}
	if (n == 0)
		return;
	if (logged)
		XLogBeginInsert();
	START_CRIT_SECTION();
	for (int i = 0; i < n; i++)
	{
		Page page = BufferGetPage(used[i]->buffer);

		if (used[i]->whole)
			memcpy(page, used[i]->bytes, BLCKSZ);
		else
			apply_fragments(page, used[i]);
		MarkBufferDirty(used[i]->buffer);
	}
	if (logged)
	{
		XLogRecPtr lsn;

		for (int i = 0; i < n; i++)
			register_change((uint8) i, used[i]);
		lsn = XLogInsert(RM_GENERIC_ID, 0);
		for (int i = 0; i < n; i++)
			PageSetLSN(BufferGetPage(used[i]->buffer), lsn);
	}
	END_CRIT_SECTION();
}
