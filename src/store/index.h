/*
 * index.h - what the access method asks of the store. C.
 *
 * The graph lives behind these calls; am/ sees no C++.
 */
#ifndef OMENDB_STORE_INDEX_H
#define OMENDB_STORE_INDEX_H

#include "storage/itemptr.h"
#include "utils/rel.h"

#include "store/layout.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/* ---- scan ---- */

	typedef struct OmendbScan OmendbScan;

	typedef struct OmendbScanLimits
	{
		int ef_search;
		bool relaxed;          /* emit late rows out of order instead of skipping them */
		int64 max_scan_tuples; /* nodes expanded on level 0 before the search stops growing */
		Size max_memory;       /* bytes, likewise */
	} OmendbScanLimits;

	/*
	 * A scan in its own memory context below the current one. omendb_scan_start()
	 * may be called any number of times. query: input_dim floats, or the payload of a
	 * plain value, which must stay where it is until the next start; NULL: rows in any
	 * order with distance -inf. No pin and no lock is held between calls.
	 */
	extern OmendbScan *omendb_scan_create(Relation index);
	extern int omendb_scan_dimensions(const OmendbScan *scan);
	extern void omendb_scan_start(OmendbScan *scan, const void *query,
								  const OmendbScanLimits *limits);
	/*
	 * Next row: its TID, a proven lower bound of the operator's value (the bound
	 * never decreases in strict mode) and whether the executor must recheck it.
	 */
	extern bool omendb_scan_next(OmendbScan *scan, ItemPointer tid, double *bound, bool *recheck);
	extern void omendb_scan_end(OmendbScan *scan);

	/* ---- shape ---- */

	/*
	 * Fill dim, code_dim, code_bits, storage, blocks and every offset of meta from
	 * its metric, type, input_dim and m. storage: 0 for auto. sizes: bytes of some
	 * values where they differ in length, else none. Returns false when no record
	 * of that size fits a page.
	 */
	extern bool omendb_choose_layout(OmendbMetaPage *meta, int storage, const uint32 *sizes,
									 uint32 size_count);
	/* Whether an index on this type and metric keeps plain values (quant/value.hpp). */
	extern bool omendb_keeps_values(uint8 type_kind, uint8 metric);
	/* Whether the derived fields of meta are what its chosen fields say. */
	extern bool omendb_layout_consistent(const OmendbMetaPage *meta);

#ifdef __cplusplus
}
#endif

#endif
