/*
 * kernels_bench.cpp - every kernel, every instruction set, beside what the
 * machine could do; then the same through Google Benchmark.
 *
 * First a table of roofs (--roofs: nothing else; any other argument: without it). A line is a
 * kernel at a number of dimensions: the roof of a call in cycles and ns, the time a call takes when
 * calls do not wait for each other, its ratio to the roof, the time when each
 * waits for the one before, and the ratio from memory, over rows far more than
 * the last cache holds. All are the best of many short samples: other jobs only
 * make a sample slower. What is one call here covers several rows for the
 * kernels that take them.
 *
 * The roof is the busiest of: two loads a cycle of a vector each, one store, two
 * multiplications (with or without addition), two other float operations, four
 * operations in all. That is Zen 5, and near Intel's; Zen 4 halves it for 64
 * bytes. The clock is estimated by additions that wait for each other. From
 * memory the roof is the best rate at which any kernel read the rows.
 *
 * Names of Google Benchmark's part read kernel/isa/dimensions. bytes_per_second
 * counts the operands read, items_per_second vectors (for the FastScan kernels:
 * blocks of 32 lanes; for tiles: pairs).
 */
#include <benchmark/benchmark.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "simd/kernels.h"

namespace
{

/* Vectors on cache line borders: a 64-byte load across two lines counts twice. */
template <class T>
struct LineAllocator
{
	using value_type = T;

	LineAllocator() = default;

	template <class U>
	LineAllocator(const LineAllocator<U> &)
	{
	}

	T *
	allocate(size_t n)
	{
		return static_cast<T *>(aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64));
	}

	void
	deallocate(T *p, size_t)
	{
		free(p);
	}

	bool
	operator==(const LineAllocator &) const
	{
		return true;
	}
};

template <class T>
using Lines = std::vector<T, LineAllocator<T>>;

/* Operands of every kind, in one place for all benchmarks. */
struct Data
{
	explicit Data(size_t n)
		: n(n), a(n), b(n), work(n), halves(n), i8(17, Lines<int8_t>(n)), signs(n / 2),
		  codes(4 * 4 * n), high(4 * n), low(4 * n), planes(n / 2), add(32, 1), mul(32, 1)
	{
		std::mt19937 generator(1);
		std::normal_distribution<float> normal;

		for (size_t i = 0; i < n; i++)
		{
			a[i] = normal(generator);
			b[i] = normal(generator);
			halves[i] = static_cast<uint16_t>(0x3800 + generator() % 1024);
		}
		for (Lines<int8_t> &row : i8)
		{
			for (int8_t &value : row)
				value = static_cast<int8_t>(static_cast<int>(generator() % 255) - 127);
			rows.push_back(row.data());
		}
		for (Lines<uint8_t> *bytes : {&signs, &codes, &high, &low})
			for (uint8_t &value : *bytes)
				value = static_cast<uint8_t>(generator());
	}

	size_t n;
	Lines<float> a, b, work;
	Lines<uint16_t> halves;
	std::vector<Lines<int8_t>> i8;
	std::vector<const int8_t *> rows;
	Lines<uint8_t> signs, codes, high, low, planes;
	Lines<uint16_t> add, mul;
};

/* Run body(data) in the timing loop; bytes read and items per call. */
template <class Body>
void
bench(const OmendbKernels *k, const char *name, size_t bytes_per_dim, size_t items, Body body)
{
	for (size_t n : {128, 768, 1536})
	{
		const std::string label = std::string(name) + "/" + k->name + "/" + std::to_string(n);

		benchmark::RegisterBenchmark(
			label.c_str(),
			[=](benchmark::State &state)
			{
				Data data(n);

				for (auto _ : state)
				{
					body(k, data);
					benchmark::ClobberMemory();
				}
				const auto calls = static_cast<int64_t>(state.iterations());
				state.SetItemsProcessed(calls * static_cast<int64_t>(items));
				state.SetBytesProcessed(calls * static_cast<int64_t>(bytes_per_dim * n));
			});
	}
}

void
register_distances(const OmendbKernels *kernels)
{
	bench(kernels, "l2_f32", 8, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->l2_f32(d.a.data(), d.b.data(), d.n)); });
	bench(kernels, "dot_f32", 8, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->dot_f32(d.a.data(), d.b.data(), d.n)); });
	bench(kernels, "l1_f32", 8, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->l1_f32(d.a.data(), d.b.data(), d.n)); });
	bench(kernels, "sumsq_f32", 4, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->sumsq_f32(d.a.data(), d.n)); });
	bench(kernels, "sumsq_f64", 4, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->sumsq_f64(d.a.data(), d.n)); });
	bench(kernels, "cosine_f32", 8, 1,
		  [](const OmendbKernels *k, Data &d)
		  {
			  float out[3];

			  k->cosine_f32(d.a.data(), d.b.data(), d.n, out);
			  benchmark::DoNotOptimize(out);
		  });
	bench(kernels, "l2_f32_i8", 5, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->l2_f32_i8(d.a.data(), d.rows[0], 0.01f, d.n)); });
	bench(kernels, "l2_f32_f16", 6, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->l2_f32_f16(d.a.data(), d.halves.data(), d.n)); });
	bench(kernels, "dot_f32_i8", 5, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->dot_f32_i8(d.a.data(), d.rows[0], d.n)); });
	bench(kernels, "dot_f32_f16", 6, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->dot_f32_f16(d.a.data(), d.halves.data(), d.n)); });
	bench(kernels, "l2_f16", 4, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->l2_f16(d.halves.data(), d.halves.data(), d.n)); });
	/* Of n bytes, 8n bits. */
	bench(kernels, "hamming", 2, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->hamming(d.high.data(), d.low.data(), d.n)); });
	bench(kernels, "jaccard", 2, 1,
		  [](const OmendbKernels *k, Data &d)
		  {
			  uint32_t out[2];

			  k->jaccard(d.high.data(), d.low.data(), d.n, out);
			  benchmark::DoNotOptimize(out);
		  });
	bench(kernels, "dot_i8", 2, 1,
		  [](const OmendbKernels *k, Data &d)
		  { benchmark::DoNotOptimize(k->dot_i8(d.rows[0], d.rows[1], d.n)); });
	/* 16 rows: 24 KB at 1536 dimensions, still in L1. */
	bench(kernels, "dot_i8_many", 17, 16,
		  [](const OmendbKernels *k, Data &d)
		  {
			  alignas(64) int32_t out[16];

			  k->dot_i8_many(d.rows[16], d.rows.data(), 16, d.n, out);
			  benchmark::DoNotOptimize(out);
		  });
}

/* Rows against a tile at once, so that their sums stay in L2. */
constexpr size_t kStrip = 48;

struct Tile
{
	explicit Tile(const OmendbKernels *k, size_t n, size_t dim)
		: bytes(n * dim), tile(k->tile_bytes(n, dim)), dots(kStrip * n), scale(n, 0.01f),
		  self(n, 1.0f), distances(n + 16), indexes(n + 16)
	{
		std::mt19937 generator(2);

		for (int8_t &value : bytes)
			value = static_cast<int8_t>(generator());
		for (size_t i = 0; i < n; i++)
			rows.push_back(bytes.data() + i * dim);
		k->tile_pack(rows.data(), n, dim, tile.data());
	}

	Lines<int8_t> bytes;
	Lines<uint8_t> tile;
	Lines<int32_t> dots;
	std::vector<const int8_t *> rows;
	Lines<float> scale, self, distances;
	Lines<uint16_t> indexes;
};

/* All pairs of n rows: items are pairs, so items_per_second is pairs/s. */
void
register_tiles(const OmendbKernels *kernels)
{
	for (size_t n : {256, 1024})
		for (size_t dim : {112, 128, 768, 1536})
		{
			const std::string what = std::string("/") + kernels->name + "/" + std::to_string(dim) +
									 "/" + std::to_string(n);
			const auto pairs = static_cast<int64_t>(n * n);

			benchmark::RegisterBenchmark(
				("tile_pack" + what).c_str(),
				[=](benchmark::State &state)
				{
					Tile t(kernels, n, dim);

					for (auto _ : state)
					{
						kernels->tile_pack(t.rows.data(), n, dim, t.tile.data());
						benchmark::ClobberMemory();
					}
					state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * n));
				});
			const auto dots = [=](benchmark::State &state, bool near)
			{
				Tile t(kernels, n, dim);

				for (auto _ : state)
					for (size_t i = 0; i < n; i += kStrip)
					{
						const size_t rows = std::min(n - i, kStrip);

						kernels->tile_dots(t.rows.data() + i, rows, t.tile.data(), n, dim,
										   t.dots.data(), n);
						for (size_t r = 0; near && r < rows; r++)
							benchmark::DoNotOptimize(kernels->tile_near(
								t.dots.data() + r * n, n, t.scale.data(), t.self.data(), 0.01f,
								1.0f, -20.0f * sqrtf(static_cast<float>(dim) / 128),
								t.distances.data(), t.indexes.data()));
						benchmark::ClobberMemory();
					}
				state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * pairs);
			};
			benchmark::RegisterBenchmark(("tile_dots" + what).c_str(), dots, false);
			benchmark::RegisterBenchmark(("tile_dots_near" + what).c_str(), dots, true);
		}
}

void
register_conversions(const OmendbKernels *kernels)
{
	bench(kernels, "f32_to_f16", 4, 1,
		  [](const OmendbKernels *k, Data &d) { k->f32_to_f16(d.a.data(), d.halves.data(), d.n); });
	bench(kernels, "f16_to_f32", 2, 1,
		  [](const OmendbKernels *k, Data &d)
		  { k->f16_to_f32(d.halves.data(), d.work.data(), d.n); });
	bench(kernels, "i8_to_f32", 1, 1,
		  [](const OmendbKernels *k, Data &d)
		  { k->i8_to_f32(d.rows[0], 0.01f, d.work.data(), d.n); });
	bench(kernels, "quantize_i8", 4, 1,
		  [](const OmendbKernels *k, Data &d)
		  {
			  int32_t sumsq;

			  k->quantize_i8(d.a.data(), 30.0f, d.i8[0].data(), d.n, &sumsq);
			  benchmark::DoNotOptimize(sumsq);
		  });
	bench(kernels, "rotate", 4, 1,
		  [](const OmendbKernels *k, Data &d) { k->rotate(d.a.data(), d.n, d.signs.data()); });
}

template <uint32_t bits>
void
register_encode(const OmendbKernels *kernels, const char *name)
{
	bench(kernels, name, 8, 1,
		  [](const OmendbKernels *k, Data &d)
		  {
			  OmendbResidualSums sums;

			  k->encode_residual(d.a.data(), d.b.data(), d.n, d.n, bits, d.planes.data(), &sums);
			  benchmark::DoNotOptimize(sums);
		  });
}

template <uint32_t planes, bool two_tables>
void
register_scan(const OmendbKernels *kernels, const char *name)
{
	bench(kernels, name, 4 * planes + (two_tables ? 8 : 4), 1,
		  [](const OmendbKernels *k, Data &d)
		  {
			  const OmendbScanTable table = {d.high.data(),
											 two_tables ? d.low.data() : nullptr,
											 static_cast<uint32_t>(d.n / 4),
											 planes,
											 0.01f,
											 1.0f};
			  alignas(64) float est[32];

			  benchmark::DoNotOptimize(k->scan_block(&table, d.codes.data(), d.add.data(),
													 d.mul.data(), 0, 1.0f, 2.0f, est));
			  benchmark::DoNotOptimize(est);
		  });
}

void
register_codes(const OmendbKernels *kernels)
{
	register_encode<1>(kernels, "encode_1bit");
	register_encode<2>(kernels, "encode_2bit");
	register_encode<4>(kernels, "encode_4bit");
	bench(kernels, "fastscan", 8, 1,
		  [](const OmendbKernels *k, Data &d)
		  {
			  alignas(64) uint32_t sums[32];

			  k->fastscan(d.codes.data(), d.high.data(), d.n / 4, sums);
			  benchmark::DoNotOptimize(sums);
		  });
	register_scan<1, false>(kernels, "scan_block_1bit");
	register_scan<2, false>(kernels, "scan_block_2bit");
	register_scan<4, true>(kernels, "scan_block_4bit_wide_table");
	bench(kernels, "build_table_8", 4, 1,
		  [](const OmendbKernels *k, Data &d)
		  {
			  float step, offset;

			  k->build_table(d.a.data(), d.n / 4, d.high.data(), nullptr, &step, &offset);
			  benchmark::DoNotOptimize(step);
		  });
	bench(kernels, "build_table_16", 4, 1,
		  [](const OmendbKernels *k, Data &d)
		  {
			  float step, offset;

			  k->build_table(d.a.data(), d.n / 4, d.high.data(), d.low.data(), &step, &offset);
			  benchmark::DoNotOptimize(step);
		  });
}

/* ---- roofs ---- */

double
now_ns()
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

/* The least time of one of `samples` runs. */
template <class Run>
double
best_of(size_t samples, Run run)
{
	double best = 1e300;

	for (size_t i = 0; i < samples; i++)
	{
		const double start = now_ns();

		run();
		best = std::min(best, now_ns() - start);
	}
	return best;
}

/* Cycles a nanosecond. */
double
clock_ghz()
{
	constexpr int kAdditions = 8000;
	const double ns = best_of(500,
							  []
							  {
								  uint64_t x = 1;

								  for (int i = 0; i < kAdditions; i += 8)
								  {
									  for (int j = 0; j < 8; j++)
									  {
										  x += 1;
										  benchmark::DoNotOptimize(x);
									  }
								  }
							  });

	/* DoNotOptimize may send x through memory, so an addition takes a cycle or more. */
	return kAdditions / ns;
}

/* What a call costs at least: bytes, and operations on vectors of W bytes, a dimension. */
struct Work
{
	double loaded, stored;              /* bytes */
	double multiplied, added, shuffled; /* bytes of vectors that go through them */
};

double
roof_cycles(const Work &work, size_t n, size_t vector)
{
	const double vectors = static_cast<double>(n) / static_cast<double>(vector);
	const double all = work.multiplied + work.added + work.shuffled;

	return vectors *
		   std::max({work.loaded / 2, work.stored, work.multiplied / 2, work.added / 2, all / 4});
}

size_t
vector_bytes(const OmendbKernels *k)
{
	return strncmp(k->name, "avx512", 6) == 0 ? 64 : strcmp(k->name, "avx2") == 0 ? 32 : 16;
}

constexpr size_t kManyRows = 8;
constexpr size_t kFarBytes = size_t{512} << 20;

/* A query and rows of any type behind one another. */
struct Rows
{
	const float *q;
	const int8_t *q8;
	const char *bytes;
	size_t n, size, count; /* size: bytes a row */

	template <class T>
	const T *
	row(size_t i) const
	{
		return reinterpret_cast<const T *>(bytes + i * size);
	}
};

struct Roofs
{
	double ghz;
	double far_rate; /* bytes a ns, from memory */
	std::vector<char, LineAllocator<char>> far;
};

uint32_t
bits_of(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

/* body(rows, i): a call on the rows from i on, and something of what came out. */
template <class Body>
double
time_calls(const Rows &rows, size_t step, size_t calls, bool chained, Body body)
{
	static volatile uint32_t nothing = 0;
	const uint32_t zero = nothing;
	uint32_t sum = 0;
	size_t at = 0;
	const double ns = best_of(2000,
							  [&]
							  {
								  for (size_t i = 0; i < calls; i++)
								  {
									  const uint32_t out = body(rows, at + (sum & zero));

									  at = at + 2 * step <= rows.count ? at + step : 0;
									  sum = chained ? out : 0;
									  benchmark::DoNotOptimize(out);
								  }
							  });

	return ns / static_cast<double>(calls);
}

/* One pass over all rows in memory; the best of parts of a megabyte. */
template <class Body>
double
time_far(const Rows &rows, size_t step, Body body)
{
	const size_t calls = std::max<size_t>(1, (size_t{1} << 20) / (rows.size * step));
	double best = 1e300;

	for (size_t at = 0; at + calls * step <= rows.count; at += calls * step)
	{
		const double start = now_ns();

		for (size_t i = 0; i < calls; i++)
		{
			const uint32_t out = body(rows, at + i * step);

			benchmark::DoNotOptimize(out);
		}
		best = std::min(best, (now_ns() - start) / static_cast<double>(calls));
	}
	return best;
}

template <class Body>
void
show(Roofs &roofs, const OmendbKernels *k, const char *name, const Work &work, size_t row_bytes,
	 size_t step, Body body)
{
	for (size_t n : {128, 768, 1536})
	{
		const size_t size = row_bytes * n;
		const size_t near = std::max(step, 24576 / size / step * step);
		Lines<float> q(n);
		Lines<int8_t> q8(n);

		for (size_t i = 0; i < n; i++)
			q[i] = 0.01f * static_cast<float>(i % 97) - 0.5f, q8[i] = static_cast<int8_t>(i);

		const Rows far = {q.data(), q8.data(), roofs.far.data(), n, size, kFarBytes / size};
		Rows rows = far;

		rows.count = near;

		const double cycles = roof_cycles(work, n, vector_bytes(k));
		const double roof = cycles / roofs.ghz;
		const double free = time_calls(rows, step, 64, false, body);
		const double chained = time_calls(rows, step, 64, true, body);
		const double away = time_far(far, step, body);
		const double far_roof = std::max(roof, static_cast<double>(size * step) / roofs.far_rate);

		printf("%-16s %-7s %5zu  %7.1f %8.2f  %8.2f %6.2f  %8.2f  %8.2f %6.2f\n", name, k->name, n,
			   cycles, roof, free, free / roof, chained, away, away / far_roof);
	}
}

void
show_kernels(Roofs &roofs, const OmendbKernels *k)
{
	const double many = kManyRows;

	show(roofs, k, "l2_f32", {8, 0, 4, 4, 0}, 4, 1,
		 [k](const Rows &r, size_t i) { return bits_of(k->l2_f32(r.q, r.row<float>(i), r.n)); });
	show(roofs, k, "dot_f32", {8, 0, 4, 0, 0}, 4, 1,
		 [k](const Rows &r, size_t i) { return bits_of(k->dot_f32(r.q, r.row<float>(i), r.n)); });
	show(roofs, k, "l1_f32", {8, 0, 0, 8, 4}, 4, 1,
		 [k](const Rows &r, size_t i) { return bits_of(k->l1_f32(r.q, r.row<float>(i), r.n)); });
	show(roofs, k, "cosine_f32", {8, 0, 12, 0, 0}, 4, 1,
		 [k](const Rows &r, size_t i)
		 {
			 float out[3];

			 k->cosine_f32(r.q, r.row<float>(i), r.n, out);
			 return bits_of(out[0]);
		 });

	show(roofs, k, "l2_f32_i8", {5, 0, 8, 4, 8}, 1, 1,
		 [k](const Rows &r, size_t i)
		 { return bits_of(k->l2_f32_i8(r.q, r.row<int8_t>(i), 0.01f, r.n)); });
	show(roofs, k, "dot_f32_i8", {5, 0, 4, 0, 8}, 1, 1,
		 [k](const Rows &r, size_t i)
		 { return bits_of(k->dot_f32_i8(r.q, r.row<int8_t>(i), r.n)); });
	show(roofs, k, "l2_f32_f16", {6, 0, 4, 4, 4}, 2, 1,
		 [k](const Rows &r, size_t i)
		 { return bits_of(k->l2_f32_f16(r.q, r.row<uint16_t>(i), r.n)); });
	show(roofs, k, "dot_f32_f16", {6, 0, 4, 0, 4}, 2, 1,
		 [k](const Rows &r, size_t i)
		 { return bits_of(k->dot_f32_f16(r.q, r.row<uint16_t>(i), r.n)); });
	show(roofs, k, "dot_i8", {2, 0, 2, 0, 1}, 1, 1,
		 [k](const Rows &r, size_t i)
		 { return static_cast<uint32_t>(k->dot_i8(r.q8, r.row<int8_t>(i), r.n)); });
	show(roofs, k, "dot_i8_many x8", {many + 1, 0, many + 1, 0, many}, 1, kManyRows,
		 [k](const Rows &r, size_t i)
		 {
			 const int8_t *rows[kManyRows];
			 int32_t out[kManyRows];

			 for (size_t j = 0; j < kManyRows; j++)
				 rows[j] = r.row<int8_t>(i + j);
			 k->dot_i8_many(r.q8, rows, kManyRows, r.n, out);
			 return static_cast<uint32_t>(out[0]);
		 });
}

void
show_codes(Roofs &roofs, const OmendbKernels *k)
{
	static Lines<uint8_t> tables(8192, 7), planes(8192), codes(65536);
	static Lines<float> work(2048), c(2048, 0.25f);
	static Lines<uint16_t> factors(64, 0x3f80);

	const double many = kManyRows;

	/* A block of codes is 4 bytes a dimension; 11 operations a vector of it. */
	show(roofs, k, "fastscan", {8, 0, 0, 20, 24}, 4, 1,
		 [k](const Rows &r, size_t i)
		 {
			 alignas(64) uint32_t sums[32];

			 k->fastscan(r.row<uint8_t>(i), tables.data(), r.n / 4, sums);
			 return sums[0];
		 });
	const auto scan = [k](uint32_t bits)
	{
		return [k, bits](const Rows &r, size_t i)
		{
			const OmendbScanTable table = {tables.data(), nullptr, static_cast<uint32_t>(r.n / 4),
										   bits,          0.01f,   1.0f};
			alignas(64) float est[32];

			return k->scan_block(&table, r.row<uint8_t>(i), factors.data(), factors.data() + 32, 0,
								 1.0f, 2.0f, est) +
				   bits_of(est[0]);
		};
	};
	show(roofs, k, "scan_block 1bit", {8, 0, 0, 20, 24}, 4, 1, scan(1));
	show(roofs, k, "scan_block 2bit", {16, 0, 0, 40, 48}, 8, 1, scan(2));

	const auto encode = [k](uint32_t bits)
	{
		return [k, bits](const Rows &r, size_t i)
		{
			OmendbResidualSums sums;

			k->encode_residual(r.q, r.row<float>(i), r.n, r.n, bits, planes.data(), &sums);
			return bits_of(sums.n2);
		};
	};
	show(roofs, k, "encode 1bit", {8, 0.125, 12, 20, 4}, 4, 1, encode(1));
	show(roofs, k, "encode 2bit", {16, 0.25, 16, 40, 8}, 4, 1, encode(2));
	show(roofs, k, "encode 4bit", {16, 0.5, 16, 40, 16}, 4, 1, encode(4));
	show(roofs, k, "rows 1bit i8 x8", {5 * many, 0.125 * many, 16 * many, 20 * many, 12 * many}, 1,
		 kManyRows,
		 [k](const Rows &r, size_t i)
		 {
			 const void *rows[kManyRows];
			 const float scales[kManyRows] = {1, 1, 1, 1, 1, 1, 1, 1};
			 OmendbResidualSums sums[kManyRows];

			 for (size_t j = 0; j < kManyRows; j++)
				 rows[j] = r.row<int8_t>(i + j);
			 k->encode_rows(OMENDB_INT8, rows, scales, kManyRows, c.data(), r.n, r.n, 1,
							planes.data(), r.n / 8, sums);
			 return bits_of(sums[0].n2);
		 });
	show(roofs, k, "put_lane", {4.125, 4, 0, 4, 4}, 1, 1,
		 [k](const Rows &r, size_t i)
		 {
			 k->put_lane(codes.data(), 5, r.row<uint8_t>(i), r.n / 8);
			 return 0u;
		 });
	show(roofs, k, "pack_lanes", {4, 4, 0, 0, 44}, 4, 1,
		 [k](const Rows &r, size_t i)
		 {
			 k->pack_lanes(r.row<uint8_t>(i), r.n / 8, r.n / 8, codes.data());
			 return 0u;
		 });
	show(roofs, k, "f32_to_f16", {4, 2, 0, 4, 4}, 4, 1,
		 [k](const Rows &r, size_t i)
		 {
			 k->f32_to_f16(r.row<float>(i), reinterpret_cast<uint16_t *>(work.data()), r.n);
			 return 0u;
		 });
	show(roofs, k, "f16_to_f32", {2, 4, 0, 4, 4}, 2, 1,
		 [k](const Rows &r, size_t i)
		 {
			 k->f16_to_f32(r.row<uint16_t>(i), work.data(), r.n);
			 return 0u;
		 });
	show(roofs, k, "i8_to_f32", {1, 4, 4, 4, 4}, 1, 1,
		 [k](const Rows &r, size_t i)
		 {
			 k->i8_to_f32(r.row<int8_t>(i), 0.01f, work.data(), r.n);
			 return 0u;
		 });
	show(roofs, k, "quantize_i8", {4, 1, 8, 16, 8}, 4, 1,
		 [k](const Rows &r, size_t i)
		 {
			 int32_t sumsq;

			 k->quantize_i8(r.row<float>(i), 30.0f, reinterpret_cast<int8_t *>(work.data()), r.n,
							&sumsq);
			 return static_cast<uint32_t>(sumsq);
		 });
	show(roofs, k, "build_table 8", {4, 4, 16, 4, 24}, 4, 1,
		 [k](const Rows &r, size_t i)
		 {
			 float step, offset;

			 k->build_table(r.row<float>(i), r.n / 4, codes.data(), nullptr, &step, &offset);
			 return bits_of(step);
		 });
}

void
show_roofs()
{
	Roofs roofs = {clock_ghz(), 0, {}};

	roofs.far.resize(kFarBytes);
	for (size_t i = 0; i < kFarBytes / sizeof(float); i++)
	{
		const float x = 0.001f * static_cast<float>(i % 1009);

		memcpy(roofs.far.data() + i * sizeof(x), &x, sizeof(x));
	}

	const OmendbKernels *best = omendb_kernels_at(0);

	for (int i = 0; !omendb_kernels_supported(best); i++)
		best = omendb_kernels_at(i);
	const Rows all = {nullptr, nullptr, roofs.far.data(), 4096, 16384, kFarBytes / 16384};
	roofs.far_rate = 16384 / time_far(all, 1,
									  [best](const Rows &r, size_t i)
									  { return bits_of(best->sumsq_f32(r.row<float>(i), r.n)); });
	printf("clock %.2f GHz, memory %.1f GB/s\n", roofs.ghz, roofs.far_rate);
	printf("%-16s %-7s %5s  %7s %8s  %8s %6s  %8s  %8s %6s\n", "kernel", "isa", "dim", "cycles",
		   "roof ns", "call ns", "/roof", "alone ns", "far ns", "/roof");
	for (int i = 0; omendb_kernels_at(i) != nullptr; i++)
		if (omendb_kernels_supported(omendb_kernels_at(i)))
		{
			show_kernels(roofs, omendb_kernels_at(i));
			show_codes(roofs, omendb_kernels_at(i));
		}
}

} // namespace

int
main(int argc, char **argv)
{
	const bool only_roofs = argc == 2 && strcmp(argv[1], "--roofs") == 0;

	if (argc == 1 || only_roofs)
		show_roofs();
	if (only_roofs)
		return 0;
	for (int i = 0; omendb_kernels_at(i) != nullptr; i++)
	{
		const OmendbKernels *kernels = omendb_kernels_at(i);

		if (!omendb_kernels_supported(kernels))
			continue;
		register_distances(kernels);
		register_tiles(kernels);
		register_conversions(kernels);
		register_codes(kernels);
	}
	benchmark::Initialize(&argc, argv);
	benchmark::RunSpecifiedBenchmarks();
	return 0;
}
