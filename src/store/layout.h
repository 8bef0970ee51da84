/*
 * layout.h - what is on disk, and nothing else. C-compatible.
 *
 * Changing anything here means a new OMENDB_FORMAT_VERSION; layout_check.c
 * holds every size and offset. Records inside graph pages: graph/record.hpp.
 */
#ifndef OMENDB_STORE_LAYOUT_H
#define OMENDB_STORE_LAYOUT_H

#include <stdint.h>

#define OMENDB_PAGE_ID        0xFFA7     /* last two bytes of every page */
#define OMENDB_MAGIC          0x4F4D4E44 /* "OMND" */
#define OMENDB_FORMAT_VERSION 1
#define OMENDB_META_BLOCK     0

/* Incompatible features this code knows; any other bit is an error. */
#define OMENDB_KNOWN_INCOMPATIBLE 0u

#define OMENDB_NO_ADDRESS 0xFFFFFFFFu
#define OMENDB_SLOT_BITS  6

/* Page kinds; 0 is a page never written (all zero after a crash: free). */
#define OMENDB_PAGE_META       1
#define OMENDB_PAGE_GRAPH      2
#define OMENDB_PAGE_OVERFLOW   3
#define OMENDB_PAGE_PARAMETERS 4
#define OMENDB_PAGE_PENDING    5 /* reserved */
#define OMENDB_PAGE_VALUES     6

/* At the end of every page. */
typedef struct OmendbPageSpecial
{
	uint16_t kind;   /* OMENDB_PAGE_... */
	uint16_t slots;  /* graph, overflow: slots on this page */
	uint16_t unused; /* 0 */
	uint16_t page_id;
} OmendbPageSpecial;

/* Page header and special space of a default 8 kB page. */
#define OMENDB_PAGE_SIZE   8192
#define OMENDB_PAGE_HEADER 24
#define OMENDB_PAGE_USABLE (OMENDB_PAGE_SIZE - OMENDB_PAGE_HEADER - 8)

/* Block 0, directly behind the page header. */
typedef struct OmendbMetaPage
{
	uint32_t magic;
	uint32_t format_version;
	uint32_t compatible_flags;
	uint32_t incompatible_flags;

	uint8_t metric;    /* quant::Metric */
	uint8_t storage;   /* quant::Storage */
	uint8_t type_kind; /* quant::Type */
	uint8_t slot_bits; /* OMENDB_SLOT_BITS */
	uint16_t m;
	uint16_t ef_construction;

	uint32_t input_dim;
	uint32_t dim;
	uint32_t code_dim;
	uint32_t code_bits;
	uint32_t blocks;
	uint32_t max_links;
	uint32_t value_room;  /* bytes of a value in its record; the rest is in chunks */
	uint32_t chunk_bytes; /* 0: there are none */

	/* offsets within a record: graph::Shape */
	uint32_t masks_at;
	uint32_t vector_at;
	uint32_t neighbours_at;
	uint32_t blocks_at;
	uint32_t block_bytes;
	uint32_t slot_bytes;
	uint32_t slots;
	uint32_t chunks; /* a value page */

	float radius;              /* inner product: quant::Space */
	uint32_t unused;           /* 0 */
	uint64_t seed;             /* of the rotation */
	uint32_t sampled;          /* rows the mean was taken from; 0: mean is zero */
	uint32_t parameters_block; /* first of parameter_blocks pages with the mean */
	uint32_t parameter_blocks;
	uint32_t mean_checksum; /* CRC-32C of the mean's bytes */
	uint32_t checksum;      /* CRC-32C of all fields above, which never change */

	uint32_t entry; /* address of the entry point, on entry_level */
	uint32_t entry_level;
	uint32_t root; /* level 0: root of the protected tree */

	uint32_t pending_head; /* reserved for the pending list: OMENDB_NO_ADDRESS */
	uint32_t pending_tail;

	uint64_t built_nodes; /* level-0 nodes when the build ended */
	uint64_t built_tids;
	uint64_t skipped_rows; /* NULL or zero (cosine) rows at build */

	float query_length; /* inner product: quant::Space; grows */
	uint32_t unused_2;  /* 0 */
} OmendbMetaPage;

/* Floats of the mean on one parameter page. */
#define OMENDB_MEAN_PER_PAGE 2040

/*
 * TIDs of equal vectors beyond those in the record. A part belongs to the
 * level-0 record `owner` with that generation, else it is stale or free.
 * Parts of a node are a chain, newest first.
 */
#define OMENDB_PART_TIDS      19
#define OMENDB_PARTS_PER_PAGE 60

typedef struct OmendbTidPart
{
	uint32_t owner;      /* address, OMENDB_NO_ADDRESS when free */
	uint32_t next;       /* older part or OMENDB_NO_ADDRESS */
	uint16_t generation; /* of the owner */
	uint16_t count;
	uint16_t tids[OMENDB_PART_TIDS * 3]; /* graph::Tid */
	uint16_t unused[5];                  /* 0 */
} OmendbTidPart;

/*
 * The rest of a value that is longer than its record's room, in chunk_bytes each,
 * length bytes used behind this header. A chunk belongs to the record `owner`
 * with that generation, else it is stale or free. A value's chunks follow by `next`.
 */
typedef struct OmendbChunk
{
	uint32_t owner; /* address, OMENDB_NO_ADDRESS when free */
	uint32_t next;  /* 0 at the end */
	uint16_t generation;
	uint16_t length;
	uint32_t unused; /* 0 */
} OmendbChunk;

#endif
