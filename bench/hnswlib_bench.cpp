// hnswlib beside the servers: builds an index of a file of vectors, then answers
// the commands of bench.py on standard input with one line of JSON each, so that
// it takes its turn between the other systems.
//
//   hnswlib_bench FILE METRIC THREADS M EF_CONSTRUCTION
//   search EF K FIRST COUNT    queries FIRST .. FIRST + COUNT - 1, one thread
//
// FILE: u32 rows, u32 queries, u32 dim, then all of them as float32. METRIC: l2
// or cosine (vectors normalised already).
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <hnswlib/hnswlib.h>

namespace
{

using Index = hnswlib::HierarchicalNSW<float>;
using Clock = std::chrono::steady_clock;

struct Data
{
	uint32_t rows = 0, queries = 0, dim = 0;
	std::vector<float> values;

	const float *
	row(size_t i) const
	{
		return values.data() + i * dim;
	}

	const float *
	query(size_t i) const
	{
		return row(rows + i);
	}
};

[[noreturn]] void
fail(const char *what)
{
	std::fprintf(stderr, "hnswlib_bench: %s\n", what);
	std::exit(1);
}

double
since(Clock::time_point start)
{
	return std::chrono::duration<double>(Clock::now() - start).count();
}

Data
read_file(const char *path)
{
	Data data;
	FILE *file = std::fopen(path, "rb");
	uint32_t head[3];

	if (!file || std::fread(head, sizeof head, 1, file) != 1)
	{
		fail("cannot read the file of vectors");
	}
	data.rows = head[0];
	data.queries = head[1];
	data.dim = head[2];
	data.values.resize((size_t{data.rows} + data.queries) * data.dim);
	if (std::fread(data.values.data(), sizeof(float), data.values.size(), file) !=
		data.values.size())
	{
		fail("the file of vectors is too short");
	}
	std::fclose(file);
	return data;
}

void
build(Index &index, const Data &data, int threads)
{
	std::atomic<size_t> next{1};
	std::vector<std::thread> pool;

	// The first alone: the entry point must exist.
	index.addPoint(data.row(0), 0);
	for (int i = 0; i < threads; i++)
	{
		pool.emplace_back(
			[&]
			{
				for (size_t row; (row = next++) < data.rows;)
				{
					index.addPoint(data.row(row), row);
				}
			});
	}
	for (std::thread &thread : pool)
	{
		thread.join();
	}
}

// Level 0 and the lists of the upper levels, without the heap's own overhead.
size_t
index_bytes(const Index &index)
{
	size_t bytes = index.max_elements_ * index.size_data_per_element_;

	for (int level : index.element_levels_)
	{
		bytes += level * index.size_links_per_element_;
	}
	return bytes;
}

void
search(Index &index, const Data &data, size_t ef, size_t k, size_t first, size_t count)
{
	std::string ids, seconds;
	std::vector<size_t> found(k);

	if (first + count > data.queries)
	{
		fail("no such query");
	}
	index.setEf(ef);
	for (size_t i = first; i < first + count; i++)
	{
		Clock::time_point start = Clock::now();
		auto heap = index.searchKnn(data.query(i), k);
		size_t n = heap.size();
		// The caller wants them nearest first.
		for (size_t j = n; j > 0; j--)
		{
			found[j - 1] = heap.top().second;
			heap.pop();
		}
		double taken = since(start);

		ids += i == first ? "[" : ",[";
		for (size_t j = 0; j < n; j++)
		{
			ids += (j == 0 ? "" : ",") + std::to_string(found[j]);
		}
		ids += "]";
		seconds += (i == first ? "" : ",") + std::to_string(taken * 1e6);
	}
	std::printf("{\"ids\": [%s], \"microseconds\": [%s]}\n", ids.c_str(), seconds.c_str());
}

} // namespace

int
main(int argc, char **argv)
{
	if (argc != 6)
	{
		fail("usage: hnswlib_bench FILE METRIC THREADS M EF_CONSTRUCTION");
	}
	Data data = read_file(argv[1]);
	std::unique_ptr<hnswlib::SpaceInterface<float>> space;
	if (std::string(argv[2]) == "l2")
	{
		space = std::make_unique<hnswlib::L2Space>(data.dim);
	}
	else
	{
		space = std::make_unique<hnswlib::InnerProductSpace>(data.dim);
	}

	Clock::time_point start = Clock::now();
	Index index(space.get(), data.rows, std::atoi(argv[4]), std::atoi(argv[5]));
	build(index, data, std::atoi(argv[3]));
	std::printf("{\"seconds\": %f, \"index_bytes\": %zu}\n", since(start), index_bytes(index));
	std::fflush(stdout);

	size_t ef, k, first, count;
	while (std::scanf(" search %zu %zu %zu %zu", &ef, &k, &first, &count) == 4)
	{
		search(index, data, ef, k, first, count);
		std::fflush(stdout);
	}
	return 0;
}
