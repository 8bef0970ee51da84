/*
 * layout_check.c - every size and offset of layout.h, as numbers.
 *
 * Emits no code. An assertion that fails here means the format on disk would
 * change: raise OMENDB_FORMAT_VERSION first, then the number.
 * Records inside graph pages: record_check.cpp.
 */
#include "postgres.h"

#include "storage/bufpage.h"

#include "pg/compat.h"
#include "store/layout.h"

#define OFFSET_IS(type, field, offset) \
	StaticAssertDecl(offsetof(type, field) == (offset), #type "." #field " has moved")
#define SIZE_IS(type, size) StaticAssertDecl(sizeof(type) == (size), #type " has another size")

StaticAssertDecl(BLCKSZ == 8192, "omen_hnsw needs pages of 8192 bytes");
StaticAssertDecl(OMENDB_PAGE_SIZE == BLCKSZ, "page size");
StaticAssertDecl(OMENDB_PAGE_HEADER == MAXALIGN(SizeOfPageHeaderData), "page header");
StaticAssertDecl(OMENDB_PAGE_USABLE ==
					 BLCKSZ - MAXALIGN(SizeOfPageHeaderData) - MAXALIGN(sizeof(OmendbPageSpecial)),
				 "PageInit leaves another number of bytes");

SIZE_IS(OmendbPageSpecial, 8);
OFFSET_IS(OmendbPageSpecial, kind, 0);
OFFSET_IS(OmendbPageSpecial, slots, 2);
OFFSET_IS(OmendbPageSpecial, unused, 4);
OFFSET_IS(OmendbPageSpecial, page_id, 6);

SIZE_IS(OmendbMetaPage, 176);
OFFSET_IS(OmendbMetaPage, magic, 0);
OFFSET_IS(OmendbMetaPage, format_version, 4);
OFFSET_IS(OmendbMetaPage, compatible_flags, 8);
OFFSET_IS(OmendbMetaPage, incompatible_flags, 12);
OFFSET_IS(OmendbMetaPage, metric, 16);
OFFSET_IS(OmendbMetaPage, storage, 17);
OFFSET_IS(OmendbMetaPage, type_kind, 18);
OFFSET_IS(OmendbMetaPage, slot_bits, 19);
OFFSET_IS(OmendbMetaPage, m, 20);
OFFSET_IS(OmendbMetaPage, ef_construction, 22);
OFFSET_IS(OmendbMetaPage, input_dim, 24);
OFFSET_IS(OmendbMetaPage, dim, 28);
OFFSET_IS(OmendbMetaPage, code_dim, 32);
OFFSET_IS(OmendbMetaPage, code_bits, 36);
OFFSET_IS(OmendbMetaPage, blocks, 40);
OFFSET_IS(OmendbMetaPage, max_links, 44);
OFFSET_IS(OmendbMetaPage, value_room, 48);
OFFSET_IS(OmendbMetaPage, chunk_bytes, 52);
OFFSET_IS(OmendbMetaPage, masks_at, 56);
OFFSET_IS(OmendbMetaPage, vector_at, 60);
OFFSET_IS(OmendbMetaPage, neighbours_at, 64);
OFFSET_IS(OmendbMetaPage, blocks_at, 68);
OFFSET_IS(OmendbMetaPage, block_bytes, 72);
OFFSET_IS(OmendbMetaPage, slot_bytes, 76);
OFFSET_IS(OmendbMetaPage, slots, 80);
OFFSET_IS(OmendbMetaPage, chunks, 84);
OFFSET_IS(OmendbMetaPage, radius, 88);
OFFSET_IS(OmendbMetaPage, unused, 92);
OFFSET_IS(OmendbMetaPage, seed, 96);
OFFSET_IS(OmendbMetaPage, sampled, 104);
OFFSET_IS(OmendbMetaPage, parameters_block, 108);
OFFSET_IS(OmendbMetaPage, parameter_blocks, 112);
OFFSET_IS(OmendbMetaPage, mean_checksum, 116);
OFFSET_IS(OmendbMetaPage, checksum, 120);
OFFSET_IS(OmendbMetaPage, entry, 124);
OFFSET_IS(OmendbMetaPage, entry_level, 128);
OFFSET_IS(OmendbMetaPage, root, 132);
OFFSET_IS(OmendbMetaPage, pending_head, 136);
OFFSET_IS(OmendbMetaPage, query_length, 168);
OFFSET_IS(OmendbMetaPage, unused_2, 172);
OFFSET_IS(OmendbMetaPage, pending_tail, 140);
OFFSET_IS(OmendbMetaPage, built_nodes, 144);
OFFSET_IS(OmendbMetaPage, built_tids, 152);
OFFSET_IS(OmendbMetaPage, skipped_rows, 160);

SIZE_IS(OmendbTidPart, 136);
OFFSET_IS(OmendbTidPart, owner, 0);
OFFSET_IS(OmendbTidPart, next, 4);
OFFSET_IS(OmendbTidPart, generation, 8);
OFFSET_IS(OmendbTidPart, count, 10);
OFFSET_IS(OmendbTidPart, tids, 12);
OFFSET_IS(OmendbTidPart, unused, 126);

SIZE_IS(OmendbChunk, 16);
OFFSET_IS(OmendbChunk, owner, 0);
OFFSET_IS(OmendbChunk, next, 4);
OFFSET_IS(OmendbChunk, generation, 8);
OFFSET_IS(OmendbChunk, length, 10);
OFFSET_IS(OmendbChunk, unused, 12);

StaticAssertDecl(OMENDB_PARTS_PER_PAGE * sizeof(OmendbTidPart) <= OMENDB_PAGE_USABLE,
				 "parts exceed a page");
StaticAssertDecl(OMENDB_MEAN_PER_PAGE * sizeof(float) <= OMENDB_PAGE_USABLE,
				 "parameters exceed a page");
/* Parts are addressed as records are: block and slot in one number. */
StaticAssertDecl(OMENDB_PARTS_PER_PAGE <= (1 << OMENDB_SLOT_BITS), "parts exceed slot bits");
