/*
 * record_check.cpp - every offset of a record's header, as numbers, and the
 * codes that layout.h stores as plain integers.
 *
 * Emits no code; the C side of it is layout_check.c.
 */
#include "pg/postgres.hpp"

extern "C"
{
#include "storage/itemptr.h"
}

#include "graph/record.hpp"
#include "store/layout.h"

namespace omendb::graph
{

static_assert(offsetof(RecordHeader, state) == 0);
static_assert(offsetof(RecordHeader, level) == 1);
static_assert(offsetof(RecordHeader, lock) == 2);
static_assert(offsetof(RecordHeader, flags) == 3);
static_assert(offsetof(RecordHeader, generation) == 4);
static_assert(offsetof(RecordHeader, tid_count) == 6);
static_assert(offsetof(RecordHeader, answers) == 7);
static_assert(offsetof(RecordHeader, down) == 8);
static_assert(offsetof(RecordHeader, overflow) == 12);
static_assert(offsetof(RecordHeader, scale) == 16);
static_assert(offsetof(RecordHeader, self_dot) == 20);
static_assert(offsetof(RecordHeader, residual) == 24);
static_assert(offsetof(RecordHeader, hash) == 28);
static_assert(offsetof(RecordHeader, tids) == 32);
static_assert(offsetof(RecordHeader, rest) == 44);
static_assert(sizeof(RecordHeader) == 48);
static_assert(alignof(RecordHeader) <= 8);

static_assert(sizeof(Tid) == sizeof(ItemPointerData));
static_assert(offsetof(Tid, offset) == offsetof(ItemPointerData, ip_posid));
static_assert(kInlineTids == 2);

static_assert(sizeof(ChunkHeader) == sizeof(OmendbChunk));
static_assert(offsetof(ChunkHeader, owner) == offsetof(OmendbChunk, owner));
static_assert(offsetof(ChunkHeader, next) == offsetof(OmendbChunk, next));
static_assert(offsetof(ChunkHeader, generation) == offsetof(OmendbChunk, generation));
static_assert(offsetof(ChunkHeader, length) == offsetof(OmendbChunk, length));

static_assert(kSlotBits == OMENDB_SLOT_BITS);
static_assert(kNoAddress == OMENDB_NO_ADDRESS);

static_assert((int) State::Free == 0 && (int) State::Linking == 1 && (int) State::Live == 2 &&
			  (int) State::Dead == 3);

} // namespace omendb::graph

namespace omendb::quant
{

/* As OMENDB_METRIC_... and OMENDB_STORAGE_... in am/am.h, OMENDB_TYPE_... in am/opclass.h. */
static_assert((int) Metric::L2 == 1 && (int) Metric::InnerProduct == 2 &&
			  (int) Metric::Cosine == 3 && (int) Metric::L1 == 4 && (int) Metric::Hamming == 5 &&
			  (int) Metric::Jaccard == 6);
static_assert((int) Storage::Int8 == 1 && (int) Storage::Half == 2 && (int) Storage::Full == 3 &&
			  (int) Storage::Value == 4);
static_assert((int) Type::Vector == 1 && (int) Type::Half == 2 && (int) Type::Bit == 3 &&
			  (int) Type::Sparse == 4);

} // namespace omendb::quant
