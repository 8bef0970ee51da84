/*
 * pages.h - pages of an index through shared buffers: one way in, one check.
 *
 * Every page read goes through omendb_read_page(), the only place that finds
 * a damaged page: ERRCODE_INDEX_CORRUPTED with index, block and a REINDEX
 * hint. C; included by C++ through pg/postgres.hpp.
 */
#ifndef OMENDB_STORE_PAGES_H
#define OMENDB_STORE_PAGES_H

#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "pg/compat.h"
#include "store/layout.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/*
	 * Report a damaged page: "index \"%s\" contains a damaged page at block %u",
	 * DETAIL what, HINT Please REINDEX it. Never returns.
	 */
	pg_noreturn extern void omendb_page_damaged(Relation index, BlockNumber block,
												const char *what);

	/*
	 * Check a page image that is pinned and locked by the caller: page size,
	 * special space, page id, pd_lower/pd_upper, kind (0: any), slots > 0 where the
	 * kind has slots. Returns NULL, or what is wrong as a static string. A page
	 * that was never written (PageIsNew) is "page is empty".
	 */
	extern const char *omendb_page_problem(Page page, uint16_t kind);

	/*
	 * Pin and lock a block and check it. A block past the end of the relation is
	 * damage of whoever pointed there, so callers test against
	 * RelationGetNumberOfBlocks() first. Returns the locked buffer; caller
	 * UnlockReleaseBuffer()s it.
	 */
	extern Buffer omendb_read_page(Relation index, BlockNumber block, uint16_t kind, int lockmode);

	/*
	 * One page more, of zeros: pinned, not locked. It is everybody's: whoever locks
	 * it first may initialise it, and so can the next one if we fail.
	 */
	extern Buffer omendb_extend(Relation index);

	/* Initialise an image: header, special space, pd_lower covering `used` bytes. */
	extern void omendb_init_page(Page page, uint16_t kind, uint16_t slots, Size used);

	/*
	 * Copy and validate the meta page: magic, version, feature flags, every field
	 * in range and consistent with the others (offsets are recomputed). ERROR with
	 * a REINDEX hint otherwise.
	 */
	extern void omendb_read_meta(Relation index, OmendbMetaPage *meta);
	/* The same without ERROR, for the planner: false when unusable. */
	extern bool omendb_try_read_meta(Relation index, OmendbMetaPage *meta);

	/* Values of the meta page's checksum fields. */
	extern uint32_t omendb_meta_checksum(const OmendbMetaPage *meta);
	extern uint32_t omendb_mean_checksum(const OmendbMetaPage *meta, const float *mean);

	/* The mean: input_dim floats into mean (zeroes when sampled is 0). */
	extern void omendb_read_mean(Relation index, const OmendbMetaPage *meta, float *mean);

#ifdef __cplusplus
}
#endif

#endif
