/*
 * pages.c - pages of an index: reading, checking, initialising.
 *
 * The one place that decides whether bytes from disk can be believed. What
 * passes here can be followed without further doubt about the page as a whole;
 * addresses and counts inside records are checked by whoever follows them.
 */
#include "postgres.h"

#include <math.h>

#include "port.h"
#include "port/pg_crc32c.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "base/limits.h"
#include "pg/compat.h"
#include "store/check.h"
#include "store/index.h"
#include "store/pages.h"

void
omendb_page_damaged(Relation index, BlockNumber block, const char *what)
{
	ereport(ERROR, errcode(ERRCODE_INDEX_CORRUPTED),
			errmsg("index \"%s\" contains a damaged page at block %u",
				   RelationGetRelationName(index), block),
			errdetail("%c%s.", pg_toupper((unsigned char) what[0]), what + 1),
			errhint("Please REINDEX it."));
}

/* The special space; only to be trusted once its size is known to be right. */
static OmendbPageSpecial *
page_special(Page page)
{
	return (OmendbPageSpecial *) PageGetSpecialPointer(page);
}

/* What is wrong with the fields that the server itself defines, or NULL. */
static const char *
header_problem(Page page)
{
	PageHeader header = (PageHeader) page;

	if (PageGetPageSize(page) != BLCKSZ)
		return "page has another size";
	if (header->pd_special != BLCKSZ - sizeof(OmendbPageSpecial))
		return "special space has another size";
	if (header->pd_upper != header->pd_special)
		return "end of free space is wrong";
	if (header->pd_lower < SizeOfPageHeaderData || header->pd_lower > header->pd_upper)
		return "start of free space is wrong";
	return NULL;
}

/* What is wrong with the number of slots and the bytes in use, or NULL. */
static const char *
slots_problem(Page page, const OmendbPageSpecial *special)
{
	Size used = ((PageHeader) page)->pd_lower - OMENDB_PAGE_HEADER;

	switch (special->kind)
	{
		case OMENDB_PAGE_META:
			return used < sizeof(OmendbMetaPage) ? "meta page is too short" : NULL;
		case OMENDB_PAGE_GRAPH:
			if (special->slots == 0 || special->slots > (1 << OMENDB_SLOT_BITS))
				return "number of slots is out of range";
			/* A record is at least its 48-byte header. */
			return used < (Size) special->slots * 48 ? "slots exceed the used space" : NULL;
		case OMENDB_PAGE_OVERFLOW:
			if (special->slots == 0 || special->slots > OMENDB_PARTS_PER_PAGE)
				return "number of slots is out of range";
			return used < special->slots * sizeof(OmendbTidPart) ? "slots exceed the used space"
																 : NULL;
		case OMENDB_PAGE_VALUES:
			if (special->slots == 0 || special->slots > (1 << OMENDB_SLOT_BITS))
				return "number of slots is out of range";
			return used < special->slots * sizeof(OmendbChunk) ? "slots exceed the used space"
															   : NULL;
		default:
			return NULL;
	}
}

const char *
omendb_page_problem(Page page, uint16_t kind)
{
	const OmendbPageSpecial *special;
	const char *problem;

	if (PageIsNew(page))
		return "page is empty";
	problem = header_problem(page);
	if (problem != NULL)
		return problem;
	special = page_special(page);
	if (special->page_id != OMENDB_PAGE_ID)
		return "page does not belong to an omen_hnsw index";
	if (special->kind < OMENDB_PAGE_META || special->kind > OMENDB_PAGE_VALUES)
		return "page kind is unknown";
	if (kind != 0 && special->kind != kind)
		return "page is of another kind than expected";
	return slots_problem(page, special);
}

Buffer
omendb_read_page(Relation index, BlockNumber block, uint16_t kind, int lockmode)
{
	Buffer buffer = ReadBuffer(index, block);
	const char *problem;

	LockBuffer(buffer, lockmode);
	problem = omendb_page_problem(BufferGetPage(buffer), kind);
	/* Lock and pin are released by the transaction's end. */
	if (unlikely(problem != NULL))
		omendb_page_damaged(index, block, problem);
	return buffer;
}

Buffer
omendb_extend(Relation index)
{
	Buffer buffer;

	if (omendb_extend_locks(index))
		LockRelationForExtension(index, ExclusiveLock);
	buffer = omendb_extend_buffer(index);
	if (omendb_extend_locks(index))
		UnlockRelationForExtension(index, ExclusiveLock);
	return buffer;
}

void
omendb_init_page(Page page, uint16_t kind, uint16_t slots, Size used)
{
	OmendbPageSpecial *special;

	Assert(used <= OMENDB_PAGE_USABLE);
	PageInit(page, BLCKSZ, sizeof(OmendbPageSpecial));
	/* Generic WAL zeroes what lies between pd_lower and pd_upper. */
	((PageHeader) page)->pd_lower = OMENDB_PAGE_HEADER + used;
	special = page_special(page);
	special->kind = kind;
	special->slots = slots;
	special->unused = 0;
	special->page_id = OMENDB_PAGE_ID;
}

/* What is wrong with the parameters a user or the build chose, or NULL. */
static const char *
parameters_problem(const OmendbMetaPage *meta)
{
	if (meta->metric < 1 || meta->metric > 6)
		return "metric is unknown";
	if (meta->storage < 1 || meta->storage > 4)
		return "vector storage is unknown";
	if (meta->type_kind < 1 || meta->type_kind > 4)
		return "type is unknown";
	if (meta->slot_bits != OMENDB_SLOT_BITS)
		return "number of slot bits is unknown";
	if (meta->m < OMENDB_MIN_M || meta->m > OMENDB_MAX_M)
		return "m is out of range";
	if (meta->ef_construction < OMENDB_MIN_EF_CONSTRUCTION ||
		meta->ef_construction > OMENDB_MAX_EF_CONSTRUCTION)
		return "ef_construction is out of range";
	if (meta->input_dim < 1)
		return "number of dimensions is out of range";
	if (!isfinite(meta->radius) || meta->radius < 0)
		return "radius is out of range";
	if (!isfinite(meta->query_length) || meta->query_length < 0)
		return "query length is out of range";
	return NULL;
}

/* What is wrong with the fields that follow from the others, or NULL. */
static const char *
layout_problem(const OmendbMetaPage *meta)
{
	if (meta->code_bits > OMENDB_MAX_CODE_BITS)
		return "number of code bits is out of range";
	if (meta->blocks < 1 || meta->blocks > OMENDB_MAX_BLOCKS)
		return "number of lane blocks is out of range";
	if (meta->max_links != 2 * (uint32_t) meta->m || meta->max_links > meta->blocks * OMENDB_LANES)
		return "number of links is out of range";
	if (meta->slots < 1 || meta->slots > (1 << OMENDB_SLOT_BITS) || meta->slot_bytes % 8 != 0 ||
		meta->slot_bytes > OMENDB_PAGE_USABLE ||
		meta->slots * meta->slot_bytes > OMENDB_PAGE_USABLE)
		return "slot size is out of range";
	if (!omendb_layout_consistent(meta))
		return "record layout contradicts itself";
	return NULL;
}

/* What is wrong with the fields that point elsewhere, or NULL. */
static const char *
pointers_problem(const OmendbMetaPage *meta)
{
	uint32_t mean_blocks = (meta->input_dim + OMENDB_MEAN_PER_PAGE - 1) / OMENDB_MEAN_PER_PAGE;

	/* Plain values have no mean. */
	if (meta->sampled > 0 && (meta->code_bits == 0 || meta->parameter_blocks != mean_blocks ||
							  meta->parameters_block == OMENDB_META_BLOCK))
		return "position of the parameters is out of range";
	if (meta->entry_level > OMENDB_MAX_LEVEL)
		return "level of the entry point is out of range";
	if ((meta->entry == OMENDB_NO_ADDRESS) != (meta->root == OMENDB_NO_ADDRESS))
		return "entry point and root contradict each other";
	return NULL;
}

static uint32_t
checksum_of(const void *data, Size size)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, size);
	FIN_CRC32C(crc);
	return crc;
}

uint32_t
omendb_meta_checksum(const OmendbMetaPage *meta)
{
	return checksum_of(meta, offsetof(OmendbMetaPage, checksum));
}

uint32_t
omendb_mean_checksum(const OmendbMetaPage *meta, const float *mean)
{
	return checksum_of(mean, sizeof(float) * meta->input_dim);
}

const char *
omendb_meta_problem(const OmendbMetaPage *meta)
{
	const char *problem = NULL;

	if (meta->magic != OMENDB_MAGIC)
		return "magic number is wrong";
	if (meta->format_version != OMENDB_FORMAT_VERSION)
		return "format version is unknown";
	if ((meta->incompatible_flags & ~OMENDB_KNOWN_INCOMPATIBLE) != 0)
		return "index uses unknown features";
	if (meta->checksum != omendb_meta_checksum(meta))
		return "checksum of the parameters is wrong";
	problem = parameters_problem(meta);
	if (problem == NULL)
		problem = layout_problem(meta);
	if (problem == NULL)
		problem = pointers_problem(meta);
	return problem;
}

/* ERROR for an index that another version of this library made. */
static void
check_meta_version(Relation index, const OmendbMetaPage *meta)
{
	uint32_t unknown = meta->incompatible_flags & ~OMENDB_KNOWN_INCOMPATIBLE;

	if (meta->magic != OMENDB_MAGIC)
		return;
	if (meta->format_version != OMENDB_FORMAT_VERSION)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("index \"%s\" has format version %u, but this library reads version %u",
					   RelationGetRelationName(index), meta->format_version, OMENDB_FORMAT_VERSION),
				errhint("Please REINDEX it."));
	if (unknown != 0)
		ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("index \"%s\" uses features this library does not know",
					   RelationGetRelationName(index)),
				errdetail("Unknown feature flags: 0x%x.", unknown),
				errhint("Update the library, or REINDEX the index."));
}

void
omendb_read_meta(Relation index, OmendbMetaPage *meta)
{
	Buffer buffer = omendb_read_page(index, OMENDB_META_BLOCK, OMENDB_PAGE_META, BUFFER_LOCK_SHARE);
	const char *problem;

	memcpy(meta, PageGetContents(BufferGetPage(buffer)), sizeof(*meta));
	UnlockReleaseBuffer(buffer);

	check_meta_version(index, meta);
	problem = omendb_meta_problem(meta);
	if (problem != NULL)
		omendb_page_damaged(index, OMENDB_META_BLOCK, problem);
}

/*
 * What the server itself finds wrong with the block (a checksum) is still an
 * ERROR here: a failed read cannot be undone without a subtransaction, and core
 * indexes do no better.
 */
bool
omendb_try_read_meta(Relation index, OmendbMetaPage *meta)
{
	Buffer buffer;
	bool usable;

	if (RelationGetNumberOfBlocks(index) <= OMENDB_META_BLOCK)
		return false;
	buffer = ReadBuffer(index, OMENDB_META_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	usable = omendb_page_problem(BufferGetPage(buffer), OMENDB_PAGE_META) == NULL;
	if (usable)
		memcpy(meta, PageGetContents(BufferGetPage(buffer)), sizeof(*meta));
	UnlockReleaseBuffer(buffer);

	return usable && omendb_meta_problem(meta) == NULL;
}

void
omendb_read_mean(Relation index, const OmendbMetaPage *meta, float *mean)
{
	BlockNumber end = RelationGetNumberOfBlocks(index);

	if (meta->sampled == 0)
	{
		memset(mean, 0, sizeof(float) * meta->input_dim);
		return;
	}
	for (uint32_t i = 0; i < meta->parameter_blocks; i++)
	{
		BlockNumber block = meta->parameters_block + i;
		uint32_t first = i * OMENDB_MEAN_PER_PAGE;
		uint32_t count = Min(meta->input_dim - first, OMENDB_MEAN_PER_PAGE);
		Buffer buffer;
		Page page;

		if (block >= end)
			omendb_page_damaged(index, OMENDB_META_BLOCK,
								"parameters lie beyond the end of the index");
		buffer = omendb_read_page(index, block, OMENDB_PAGE_PARAMETERS, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		if (((PageHeader) page)->pd_lower < OMENDB_PAGE_HEADER + count * sizeof(float))
			omendb_page_damaged(index, block, "parameter page is too short");
		memcpy(mean + first, PageGetContents(page), count * sizeof(float));
		UnlockReleaseBuffer(buffer);
	}
	if (meta->mean_checksum != omendb_mean_checksum(meta, mean))
		omendb_page_damaged(index, meta->parameters_block, "checksum of the mean is wrong");
}
