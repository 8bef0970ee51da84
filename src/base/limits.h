/*
 * limits.h - every limit, each with its reason.
 */
#ifndef OMENDB_BASE_LIMITS_H
#define OMENDB_BASE_LIMITS_H

/* The limit of vector and halfvec, as in pgvector: their dimension field is an int16. */
#define OMENDB_VECTOR_MAX_DIM 16000

/* pgvector's: indices, counted from 1 in text, stay well inside an int32. */
#define OMENDB_SPARSEVEC_MAX_DIM 1000000000
/* pgvector's: as many elements as a vector may have. */
#define OMENDB_SPARSEVEC_MAX_NNZ 16000
/* Of bit columns and of sparse rows in an index, as in pgvector. */
#define OMENDB_BIT_MAX_INDEXED_DIM 64000
#define OMENDB_SPARSE_MAX_INDEXED  1000

/* Reloption ranges of pgvector, so that DDL written for it is accepted. */
#define OMENDB_MIN_M               2
#define OMENDB_MAX_M               100
#define OMENDB_MIN_EF_CONSTRUCTION 4
#define OMENDB_MAX_EF_CONSTRUCTION 1000
#define OMENDB_MIN_EF_SEARCH       1
#define OMENDB_MAX_EF_SEARCH       1000

/* One FastScan block scores 32 lanes; 2 * 100 links need 7 of them. */
#define OMENDB_LANES      32
#define OMENDB_MAX_BLOCKS 7

/* 32^6 > 2^30 nodes on average before a seventh level is used. */
#define OMENDB_MAX_LEVEL 7

/* A level is kept with probability 1/32, whatever m (design, part 4). */
#define OMENDB_LEVEL_FANOUT 32

/* Rotation works on whole groups of 16 floats: one AVX-512 register. */
#define OMENDB_DIM_QUANTUM 16

/* A code shorter than this says nothing; m is limited before it is reached. */
#define OMENDB_MIN_CODE_DIM 64

#define OMENDB_MAX_CODE_BITS 4

/* A build takes the mean from so many rows at most. */
#define OMENDB_SAMPLE_ROWS 10000

#endif
