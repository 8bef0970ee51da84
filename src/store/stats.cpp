/*
 * stats.cpp - counting what is in an index, in one pass over its pages.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"

#include "store/check.h"
#include "store/pages.h"
}

#include "base/bits.hpp"
#include "graph/record.hpp"

namespace
{

using omendb::graph::RecordHeader;
using omendb::graph::State;

void
count_record(const OmendbMetaPage *meta, const uint8_t *record, OmendbIndexStats *stats)
{
	const RecordHeader *h = omendb::graph::header(record);
	const uint32_t *links = (const uint32_t *) (const void *) (record + meta->neighbours_at);
	const uint32_t *masks = (const uint32_t *) (const void *) (record + meta->masks_at);

	if (h->state == (uint8_t) State::Free)
	{
		stats->free_slots++;
		return;
	}
	if (h->level > OMENDB_MAX_LEVEL)
		return;
	stats->nodes[h->level]++;
	if (h->level > 0)
		return;
	stats->linking_nodes += h->state == (uint8_t) State::Linking;
	stats->dead_nodes += h->state == (uint8_t) State::Dead;
	stats->tids += h->tid_count;
	for (uint32_t lane = 0; lane < meta->blocks * OMENDB_LANES; lane++)
		stats->links += links[lane] != OMENDB_NO_ADDRESS;
	for (uint32_t block = 0; block < meta->blocks; block++)
		stats->protected_links += omendb::popcount32(masks[block]);
}

void
count_parts(const OmendbTidPart *parts, uint32_t count, OmendbIndexStats *stats)
{
	for (uint32_t i = 0; i < count; i++)
	{
		if (parts[i].owner == OMENDB_NO_ADDRESS)
		{
			stats->free_parts++;
			continue;
		}
		stats->overflow_parts++;
		stats->tids += parts[i].count;
	}
}

/* A page under share lock. */
void
count_page(const OmendbMetaPage *meta, Page page, OmendbIndexStats *stats)
{
	const uint8_t *contents = (const uint8_t *) PageGetContents(page);

	if (PageIsNew(page))
	{
		stats->pages[0]++;
		return;
	}
	if (omendb_page_problem(page, 0) != nullptr)
	{
		stats->damaged_pages++;
		return;
	}

	const OmendbPageSpecial *special =
		(const OmendbPageSpecial *) (const void *) PageGetSpecialPointer(page);
	stats->pages[special->kind]++;
	if (special->kind == OMENDB_PAGE_OVERFLOW)
		count_parts((const OmendbTidPart *) (const void *) contents, special->slots, stats);
	if (special->kind != OMENDB_PAGE_GRAPH)
		return;
	for (uint32_t i = 0; i < special->slots && i < meta->slots; i++)
		count_record(meta, contents + i * meta->slot_bytes, stats);
}

} // namespace

static_assert(sizeof(OmendbIndexStats::nodes) / sizeof(uint64) == OMENDB_MAX_LEVEL + 1);
static_assert(sizeof(OmendbIndexStats::pages) / sizeof(uint64) == OMENDB_PAGE_VALUES + 1);

void
omendb_collect_stats(Relation index, const OmendbMetaPage *meta, OmendbIndexStats *stats)
{
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber blocks = RelationGetNumberOfBlocks(index);

	memset(stats, 0, sizeof(*stats));
	for (BlockNumber block = 0; block < blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		Buffer buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		count_page(meta, BufferGetPage(buffer), stats);
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
}

const char *
omendb_metric_name(uint8 metric)
{
	switch ((omendb::quant::Metric) metric)
	{
		case omendb::quant::Metric::L2:
			return "l2";
		case omendb::quant::Metric::InnerProduct:
			return "inner product";
		case omendb::quant::Metric::Cosine:
			return "cosine";
		case omendb::quant::Metric::L1:
			return "l1";
		case omendb::quant::Metric::Hamming:
			return "hamming";
		case omendb::quant::Metric::Jaccard:
			return "jaccard";
	}
	return "unknown";
}

const char *
omendb_storage_name(uint8 storage)
{
	switch ((omendb::quant::Storage) storage)
	{
		case omendb::quant::Storage::Int8:
			return "int8";
		case omendb::quant::Storage::Half:
			return "half";
		case omendb::quant::Storage::Full:
			return "full";
		case omendb::quant::Storage::Value:
			return "value";
	}
	return "unknown";
}
