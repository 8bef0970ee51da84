/*
 * kernels_bench.cpp - every kernel, every instruction set, from the L1 cache.
 *
 * Names read kernel/isa/dimensions. bytes_per_second counts the operands read,
 * items_per_second vectors (for the FastScan kernels: blocks of 32 lanes).
 *
 * The roof: a core loads two vectors a cycle (Zen 4/5, Intel since Haswell; 64
 * bytes each with AVX-512 on Zen 5 and Intel, on Zen 4 one). A float distance
 * reads two vectors per multiply-add, so at 4 GHz its roof is 512 GB/s with
 * 64-byte vectors and 256 GB/s with 32-byte ones; at 128 dimensions the final
 * sum of the lanes (about 10 cycles of latency, overlapped with the next call)
 * weighs as much as the loop. FastScan executes 11 vector operations per vector
 * of codes, 5 of them shuffles and shifts with two ports to run on: 2.75 cycles
 * per 64 bytes at best, 5.5 ns per block of 128 dimensions at 4 GHz.
 */
#include <benchmark/benchmark.h>

#include <math.h>
#include <stdlib.h>

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

} // namespace

int
main(int argc, char **argv)
{
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
