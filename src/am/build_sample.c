/*
 * build_sample.c - the mean of a table's vectors, and how many there are.
 *
 * Blocks chosen at random are scanned as the build itself scans (predicate and
 * expressions applied, values detoasted at once). The transaction's snapshot
 * keeps VACUUM from removing the TOAST values of rows that the scan returns.
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/sampling.h"

#include "am/am.h"
#include "am/build.h"

#define SAMPLE_BLOCKS 512
/* A mean of fewer rows than this would be an accident. */
#define SAMPLE_LEAST_ROWS 256
#define SAMPLE_BYTES      ((Size) 16 * 1024 * 1024)

typedef struct SampleState
{
	OmendbBuild *build;
	uint32 dim;
	float *rows;    /* capacity x dim; NULL: only count */
	uint32 *sizes;  /* capacity payloads' of sparse values; else NULL */
	double longest; /* norm of these */
	uint32 count;
	uint32 capacity;
	uint32 per_block;  /* most rows to keep of a block */
	uint32 from_block; /* rows kept of the current block */
	double found;      /* rows met, kept or not */
} SampleState;

/* Of plain values: how long they are, and their norms where inner product wants a radius. */
static void
sample_payload(SampleState *state, Datum value)
{
	OmendbBuild *build = state->build;
	const OmendbIndexedType *type = build->opclass->type;
	MemoryContext old;
	Size bytes;

	if (state->sizes == NULL || state->count >= state->capacity)
		return;
	old = MemoryContextSwitchTo(build->row_context);
	value = PointerGetDatum(PG_DETOAST_DATUM(value));
	(void) type->payload(value, &bytes);
	state->sizes[state->count++] = (uint32) Min(bytes, PG_UINT32_MAX);
	if (type->norm != NULL)
		state->longest = Max(state->longest, type->norm(value));
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
}

static void
sample_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *opaque)
{
	SampleState *state = (SampleState *) opaque;
	OmendbBuild *build = state->build;
	MemoryContext old;
	Datum value;

	if (isnull[0])
		return;
	state->found++;
	if (state->rows == NULL)
	{
		sample_payload(state, values[0]);
		return;
	}
	if (state->from_block >= state->per_block || state->count >= state->capacity)
		return;
	old = MemoryContextSwitchTo(build->row_context);
	value = PointerGetDatum(PG_DETOAST_DATUM(values[0]));
	if (build->opclass->type->dim(value) == (int) state->dim)
	{
		float *row = state->rows + (Size) state->count * state->dim;

		memcpy(row, build->opclass->type->elements(value, build->buffer),
			   state->dim * sizeof(float));
		state->from_block++;
		state->count++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
}

/* Cosine knows directions only: bring every row to length 1. */
static void
normalize_rows(SampleState *state)
{
	for (uint32 i = 0; i < state->count; i++)
	{
		float *row = state->rows + (Size) i * state->dim;
		double square = 0;

		for (uint32 j = 0; j < state->dim; j++)
			square += (double) row[j] * row[j];
		for (uint32 j = 0; square > 0 && j < state->dim; j++)
			row[j] = (float) (row[j] / sqrt(square));
	}
}

static void
compute_mean(const SampleState *state, float *mean)
{
	double *sum = (double *) palloc0(state->dim * sizeof(double));

	for (uint32 i = 0; i < state->count; i++)
	{
		const float *row = state->rows + (Size) i * state->dim;

		for (uint32 j = 0; j < state->dim; j++)
			sum[j] += row[j];
		CHECK_FOR_INTERRUPTS();
	}
	for (uint32 j = 0; j < state->dim; j++)
		mean[j] = (float) (sum[j] / state->count);
	pfree(sum);
}

/* The longest row less the mean; 1 where there is none. */
static float
compute_radius(const SampleState *state, const float *mean)
{
	double longest = 0;

	for (uint32 i = 0; i < state->count; i++)
	{
		const float *row = state->rows + (Size) i * state->dim;
		double square = 0;

		for (uint32 j = 0; j < state->dim; j++)
		{
			double d = (double) row[j] - mean[j];

			square += d * d;
		}
		longest = Max(longest, sqrt(square));
		CHECK_FOR_INTERRUPTS();
	}
	/* Beyond this, quant/space.cpp scales rows down. */
	return longest > 0 ? (float) Min(longest, 1e17) : 1.0f;
}

static void
scan_blocks(SampleState *state)
{
	OmendbBuild *build = state->build;
	BlockNumber blocks = RelationGetNumberOfBlocks(build->heap);
	BlockSamplerData sampler;
	uint32 scanned = 0;

	/* A fixed seed: the same table gives the same index. */
	BlockSampler_Init(&sampler, blocks, SAMPLE_BLOCKS, 1);
	/* Few from each block of a large table, whose neighbours may be alike; all of a small one. */
	state->per_block = OMENDB_SAMPLE_ROWS / Max(Min(blocks, SAMPLE_BLOCKS), 1) + 1;
	while (BlockSampler_HasMore(&sampler))
	{
		BlockNumber block = BlockSampler_Next(&sampler);

		state->from_block = 0;
		table_index_build_range_scan(build->heap, build->index, build->info, false, false, false,
									 block, 1, sample_row, state, NULL);
		scanned++;
		CHECK_FOR_INTERRUPTS();
	}
	if (scanned > 0)
		state->found *= (double) blocks / scanned;
}

/* Plain values have no mean; of those that differ in length, their sizes. */
static void
sample_plain(SampleState *state, OmendbSample *sample)
{
	OmendbBuild *build = state->build;

	if (build->opclass->type->kind == OMENDB_TYPE_SPARSE)
	{
		state->capacity = OMENDB_SAMPLE_ROWS;
		state->sizes = (uint32 *) palloc(sizeof(uint32) * OMENDB_SAMPLE_ROWS);
	}
	scan_blocks(state);
	if (state->sizes != NULL)
	{
		sample->sizes = state->sizes;
		sample->size_count = state->count;
	}
	if (build->meta.metric == OMENDB_METRIC_INNER_PRODUCT)
		sample->radius = state->longest > 0 ? (float) Min(state->longest, 1e15) : 1.0f;
	sample->tuples = state->found;
}

void
omendb_sample_table(OmendbBuild *build, OmendbSample *sample)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "omen_hnsw sample", ALLOCSET_DEFAULT_SIZES);
	uint32 dim = build->meta.input_dim;
	SampleState state = {0};

	memset(sample, 0, sizeof(*sample));
	state.build = build;
	state.dim = dim;
	if (omendb_opclass_is_plain(build->opclass))
	{
		sample_plain(&state, sample);
		MemoryContextDelete(context);
		return;
	}
	sample->mean = (float *) palloc0(dim * sizeof(float));
	state.capacity = (uint32) Min(OMENDB_SAMPLE_ROWS, SAMPLE_BYTES / (dim * sizeof(float)));
	state.capacity = Max(state.capacity, SAMPLE_LEAST_ROWS);
	state.rows =
		(float *) MemoryContextAllocHuge(context, mul_size(state.capacity, dim * sizeof(float)));
	scan_blocks(&state);
	if (build->meta.metric == OMENDB_METRIC_COSINE)
		normalize_rows(&state);
	if (state.count >= SAMPLE_LEAST_ROWS)
	{
		sample->rows = state.count;
		compute_mean(&state, sample->mean);
	}
	sample->radius = build->meta.metric == OMENDB_METRIC_INNER_PRODUCT
						 ? compute_radius(&state, sample->mean)
						 : 0.0f;
	sample->tuples = state.found;
	MemoryContextDelete(context);
}
