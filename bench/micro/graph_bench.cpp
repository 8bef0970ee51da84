/*
 * graph_bench.cpp - the graph core in process, without a server: build rate,
 * recall and queries per second of the code that the extension runs.
 *
 *   graph_bench base.u8bin|base.fbin query.u8bin|query.fbin [name=value ...]
 *
 * Options: n (rows), threads, builder (bulk insert), m, efc, metric (l2 cosine ip), storage (auto
 * int8 half full), code_dim, bits, k, queries, ef (comma list), fanout.
 * Files: uint32 n, uint32 d, then n x d bytes (u8bin) or floats (fbin). The
 * exact answers are cached beside the base file.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "store/build_store.hpp"
#include "support/bulk_area.hpp"

using namespace omendb;
using Clock = std::chrono::steady_clock;

namespace
{

/* CPU seconds of this thread, or of the process: other programs' load does not count. */
double
cpu_seconds(clockid_t clock)
{
	timespec t;
	clock_gettime(clock, &t);
	return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

struct Matrix
{
	uint32_t n = 0;
	uint32_t dim = 0;
	std::vector<float> values;

	const float *
	row(size_t i) const
	{
		return values.data() + i * dim;
	}
};

double
seconds_since(Clock::time_point start)
{
	return std::chrono::duration<double>(Clock::now() - start).count();
}

Matrix
read_matrix(const std::string &path, uint32_t limit)
{
	Matrix m;
	FILE *f = fopen(path.c_str(), "rb");
	uint32_t head[2];
	if (f == nullptr || fread(head, 4, 2, f) != 2)
	{
		fprintf(stderr, "cannot read %s\n", path.c_str());
		exit(1);
	}
	m.n = limit != 0 && limit < head[0] ? limit : head[0];
	m.dim = head[1];
	m.values.resize((size_t) m.n * m.dim);
	bool bytes = path.size() > 6 && path.substr(path.size() - 6) == ".u8bin";
	std::vector<uint8_t> row(m.dim);
	for (size_t i = 0; i < m.n; i++)
	{
		float *out = m.values.data() + i * m.dim;
		size_t got = bytes ? fread(row.data(), 1, m.dim, f) : fread(out, 4, m.dim, f);
		if (got != m.dim)
			exit(1);
		for (uint32_t j = 0; bytes && j < m.dim; j++)
			out[j] = row[j];
	}
	fclose(f);
	return m;
}

struct Options
{
	uint32_t n = 0, threads = 2, m = 16, efc = 64, code_dim = 0, bits = 0, k = 10, queries = 1000;
	quant::Metric metric = quant::Metric::L2;
	std::string storage = "auto", builder = "bulk", ef = "20,40,60,80,100,150,200,300,400";
};

Options
parse(int argc, char **argv)
{
	Options o;
	for (int i = 3; i < argc; i++)
	{
		std::string a = argv[i];
		std::string name = a.substr(0, a.find('=')), value = a.substr(a.find('=') + 1);
		uint32_t number = (uint32_t) atoi(value.c_str());
		if (name == "n")
			o.n = number;
		else if (name == "threads")
			o.threads = number;
		else if (name == "m")
			o.m = number;
		else if (name == "efc")
			o.efc = number;
		else if (name == "code_dim")
			o.code_dim = number;
		else if (name == "bits")
			o.bits = number;
		else if (name == "k")
			o.k = number;
		else if (name == "queries")
			o.queries = number;
		else if (name == "storage")
			o.storage = value;
		else if (name == "builder")
			o.builder = value;
		else if (name == "ef")
			o.ef = value;
		else if (name == "metric")
			o.metric = value == "cosine" ? quant::Metric::Cosine
					   : value == "ip"   ? quant::Metric::InnerProduct
										 : quant::Metric::L2;
		else
		{
			fprintf(stderr, "unknown option %s\n", name.c_str());
			exit(1);
		}
	}
	return o;
}

float
operator_value(quant::Metric metric, const float *a, const float *b, uint32_t dim)
{
	float out[3];
	switch (metric)
	{
		case quant::Metric::L2:
			return omendb_kernels->l2_f32(a, b, dim);
		case quant::Metric::InnerProduct:
			return -omendb_kernels->dot_f32(a, b, dim);
		default: /* the options know no other than cosine */
			break;
	}
	omendb_kernels->cosine_f32(a, b, dim, out);
	return 1 - out[0] / sqrtf(out[1] * out[2]);
}

std::vector<uint32_t>
exact_answers(const Matrix &base, const Matrix &query, const Options &o, const std::string &path)
{
	std::string cache = path + "." + std::to_string(base.n) + "." + std::to_string(query.n) + "." +
						std::to_string((int) o.metric) + ".exact100";
	std::vector<uint32_t> answers((size_t) query.n * 100);
	FILE *f = fopen(cache.c_str(), "rb");
	if (f != nullptr && fread(answers.data(), 4, answers.size(), f) == answers.size())
	{
		fclose(f);
		return answers;
	}
	auto work = [&](uint32_t first, uint32_t last)
	{
		std::vector<std::pair<float, uint32_t>> d(base.n);
		for (uint32_t q = first; q < last; q++)
		{
			for (uint32_t i = 0; i < base.n; i++)
				d[i] = {operator_value(o.metric, query.row(q), base.row(i), base.dim), i};
			std::partial_sort(d.begin(), d.begin() + 100, d.end());
			for (uint32_t i = 0; i < 100; i++)
				answers[(size_t) q * 100 + i] = d[i].second;
		}
	};
	std::thread half(work, 0, query.n / 2);
	work(query.n / 2, query.n);
	half.join();
	f = fopen(cache.c_str(), "wb");
	if (f != nullptr)
	{
		fwrite(answers.data(), 4, answers.size(), f);
		fclose(f);
	}
	return answers;
}

void *
resize_malloc(void *, void *old, size_t size)
{
	return realloc(old, size);
}

const Memory kMalloc = {resize_malloc, nullptr};

/* Chunks shared by all threads; every thread sees all of them at once. */
struct Area
{
	std::mutex grow_lock, entry_lock;
	std::vector<uint8_t *> chunks;
	store::BuildControl control;
};

struct Worker
{
	Area *area;
	store::BuildStore store;
	store::BuildHooks hooks;
	graph::InsertMemory memory;
	graph::Inserter<store::BuildStore> inserter;
};

void
hook_map(void *context, uint32_t)
{
	Worker *w = (Worker *) context;
	w->store.set_chunks(w->area->chunks.data(), w->area->control.chunks.load());
}

bool
hook_grow(void *context)
{
	Worker *w = (Worker *) context;
	std::lock_guard<std::mutex> guard(w->area->grow_lock);
	uint32_t n = w->area->control.chunks.load();
	if (w->area->control.next_page.load() < n * store::kChunkPages)
		return true;
	if (n == w->area->chunks.capacity())
		return false;
	void *p = aligned_alloc(4096, store::kChunkBytes);
	memset(p, 0, store::kChunkBytes);
	w->area->chunks.push_back((uint8_t *) p);
	w->area->control.chunks.store(n + 1);
	return true;
}

void
hook_lock(void *context)
{
	((Worker *) context)->area->entry_lock.lock();
}

void
hook_unlock(void *context)
{
	((Worker *) context)->area->entry_lock.unlock();
}

struct Found
{
	float distance;
	uint32_t row;
};

/* What a scan does on visiting a node, with the row number in place of a TID. */
struct RowVisitor
{
	const quant::Space *space;
	const graph::Shape *shape;
	std::vector<Found> *found;

	float
	distance(const quant::Query &query, const uint8_t *record)
	{
		return quant::query_distance(*space, query, graph::vector_of(*shape, record),
									 graph::header(record)->scale);
	}

	bool
	visit(graph::Address, const uint8_t *record, float distance)
	{
		const graph::RecordHeader *h = graph::header(record);
		for (uint32_t i = 0; i < h->tid_count; i++)
			found->push_back(
				{distance, (uint32_t) h->tids[i].block_high << 16 | h->tids[i].block_low});
		return true;
	}

	bool
	failed() const
	{
		return false;
	}

	bool
	done() const
	{
		return false;
	}
};

struct Index
{
	quant::Space space;
	graph::Shape shape;
	std::vector<float> mean;
	std::vector<uint8_t> signs;
	Area area;
};

void
make_space(Index *index, const Matrix &base, const Options &o)
{
	quant::Space &s = index->space;
	s.metric = o.metric;
	s.input_dim = base.dim;
	s.dim = quant::padded_dim(o.metric, base.dim);
	graph::ShapeRequest request = {
		s.dim,  o.m, o.storage == "auto", quant::Storage::Int8, OMENDB_PAGE_USABLE, o.code_dim,
		o.bits, 0};
	if (o.storage == "half")
		request.storage = quant::Storage::Half;
	if (o.storage == "full")
		request.storage = quant::Storage::Full;
	if (!graph::choose_shape(request, &index->shape))
	{
		fprintf(stderr, "no shape\n");
		exit(1);
	}
	s.storage = index->shape.storage;
	s.code_dim = index->shape.code_dim;
	s.code_bits = index->shape.code_bits;
	s.seed = 42;
	s.kernels = omendb_kernels;
	index->mean.assign(base.dim, 0);
	size_t step = base.n / 10000 + 1, count = 0;
	for (size_t i = 0; i < base.n; i += step, count++)
	{
		float scale = 1;
		if (o.metric == quant::Metric::Cosine)
			scale = 1 / sqrtf(omendb_kernels->sumsq_f32(base.row(i), base.dim));
		for (uint32_t j = 0; j < base.dim; j++)
			index->mean[j] += base.row(i)[j] * scale;
	}
	for (float &v : index->mean)
		v /= (float) count;
	s.radius = 0;
	s.query_length = 0;
	for (size_t i = 0; o.metric == quant::Metric::InnerProduct && i < base.n; i += step)
		s.radius = std::max(
			s.radius, sqrtf(omendb_kernels->l2_f32(base.row(i), index->mean.data(), base.dim)));
	s.mean = index->mean.data();
	index->signs.resize(s.dim / 2);
	quant::make_signs(s.seed, s.dim, index->signs.data());
	s.signs = index->signs.data();
}

void
insert_rows(Worker *w, const Matrix &base, const Index &index, std::atomic<uint32_t> *next)
{
	std::vector<float> t(index.space.dim);
	while (true)
	{
		uint32_t first = next->fetch_add(64);
		if (first >= base.n)
			return;
		for (uint32_t i = first; i < std::min(first + 64, base.n); i++)
		{
			float excess;
			if (!quant::transform_row(index.space, base.row(i), t.data(), &excess))
				continue;
			graph::Row row = {{(uint16_t) (i >> 16), (uint16_t) i, 1}, i, 0};
			uint32_t level = graph::level_for(42, row.tid);
			if (!w->store.reserve(level + 1) ||
				w->inserter.insert(t.data(), excess, row, level) != OMENDB_OK)
			{
				fprintf(stderr, "out of memory\n");
				exit(1);
			}
		}
	}
}

double
build(Index *index, const Matrix &base, const Options &o, std::vector<Worker> *workers)
{
	store::init_control(&index->area.control);
	index->area.chunks.reserve(1 << 17);
	std::atomic<uint32_t> next{0};
	std::vector<std::thread> threads;
	auto start = Clock::now();
	for (Worker &w : *workers)
	{
		w.area = &index->area;
		w.hooks = {&w, hook_map, hook_grow, hook_lock, hook_unlock};
		w.store.init(&index->space, &index->shape, &index->area.control, &w.hooks, 2);
		w.memory.init(&kMalloc);
		w.memory.allocate(index->space, &kMalloc);
		w.inserter.init(&w.store, &w.memory, o.efc);
		threads.emplace_back(insert_rows, &w, std::cref(base), std::cref(*index), &next);
	}
	for (std::thread &t : threads)
		t.join();
	return seconds_since(start);
}

/* The bulk builder into the same area, so that searches find it there. */
double
build_bulk(Index *index, const Matrix &base, const Options &o, std::vector<Worker> *workers)
{
	Area *area = &index->area;
	store::init_control(&area->control);
	area->chunks.reserve(1 << 17);
	for (Worker &w : *workers)
	{
		w.area = area;
		w.hooks = {&w, hook_map, hook_grow, hook_lock, hook_unlock};
		w.store.init(&index->space, &index->shape, &area->control, &w.hooks, 2);
	}
	std::atomic<uint32_t> next{0};
	auto start = Clock::now();
	test::BulkArea bulk(index->space, index->shape, o.efc, base.n, o.threads);
	auto sink = [&](uint32_t page, graph::BulkPage, const uint8_t *content, size_t bytes)
	{
		{
			std::lock_guard<std::mutex> guard(area->grow_lock);
			while (area->control.chunks.load() <= page / store::kChunkPages)
			{
				area->chunks.push_back((uint8_t *) aligned_alloc(4096, store::kChunkBytes));
				area->control.chunks.store(area->control.chunks.load() + 1);
			}
		}
		uint8_t *to = area->chunks[page / store::kChunkPages] +
					  (size_t) (page % store::kChunkPages) * OMENDB_PAGE_SIZE;
		memcpy(to + OMENDB_PAGE_HEADER, content, bytes);
	};
	auto load = [&](graph::Bulk *b, uint32_t)
	{
		std::vector<float> t(index->space.dim), asker(index->space.dim);
		for (uint32_t first = next.fetch_add(64); first < base.n; first = next.fetch_add(64))
		{
			for (uint32_t i = first; i < std::min(first + 64, base.n); i++)
			{
				float excess;
				if (!quant::transform_row(index->space, base.row(i), t.data(), &excess))
					continue;
				quant::transform_query(index->space, base.row(i), asker.data());
				b->add_row(t.data(), excess, asker.data(),
						   {{(uint16_t) (i >> 16), (uint16_t) i, 1}, i, 0});
			}
		}
	};
	bulk.run(std::vector<const Memory *>(o.threads, &kMalloc), 2, sink, load);
	const graph::BulkShared &s = bulk.shared();
	area->control.entry.store((uint64_t) s.entry.level << 32 | s.entry.address);
	area->control.root.store(s.root);
	area->control.nodes.store(s.nodes.load());
	area->control.next_page.store(s.pages);
	printf("%.0f bytes of working memory a row\n", (double) bulk.bytes() / base.n);
	return seconds_since(start);
}

struct Searcher
{
	graph::Pool pool;
	Array<graph::Candidate> starts, scratch;
	std::vector<uint8_t> memory;
	std::vector<Found> found;
};

void
search(Searcher *s, Index *index, Worker *w, const float *q, size_t ef)
{
	quant::Query query;
	quant::prepare_query(index->space, q, s->memory.data(), &query);

	struct Store : store::BuildStore
	{
		float
		search_distance(const quant::Query &qy, const uint8_t *record) const
		{
			return quant::query_distance(space(), qy, graph::vector_of(shape(), record),
										 graph::header(record)->scale);
		}
	};

	Store *store = (Store *) &w->store;
	graph::descend(*store, s->pool, query, store->entry(), 0, &s->starts, &s->scratch);
	s->pool.start(ef, false);
	for (size_t i = 0; i < s->starts.size; i++)
		s->pool.offer(s->starts[i].address, s->starts[i].distance, 1e-30f);
	s->found.clear();
	RowVisitor visitor{&index->space, &index->shape, &s->found};
	graph::run_search(*store, s->pool, query, 0, visitor);
}

void
measure(Index *index, Worker *w, const Matrix &base, const Matrix &query, const Options &o,
		const std::vector<uint32_t> &exact)
{
	Searcher s;
	s.pool.init(&kMalloc);
	s.starts.init(&kMalloc);
	s.scratch.init(&kMalloc);
	s.memory.resize(quant::query_bytes(index->space));
	hook_map(w, 0);
	for (size_t at = 0; at < o.ef.size();)
	{
		size_t ef = (size_t) atoi(o.ef.c_str() + at);
		at = o.ef.find(',', at);
		at = at == std::string::npos ? o.ef.size() : at + 1;
		uint32_t nq = std::min(o.queries, query.n), hits = 0, hits_exact = 0;
		size_t hops = 0;
		double spent = 0;
		for (uint32_t q = 0; q < nq; q++)
		{
			double start = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
			search(&s, index, w, query.row(q), ef);
			std::sort(s.found.begin(), s.found.end(),
					  [](const Found &a, const Found &b) { return a.distance < b.distance; });
			spent += cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - start;
			hops += s.found.size();
			const uint32_t *truth = exact.data() + (size_t) q * 100;
			auto count = [&]()
			{
				uint32_t c = 0;
				for (size_t i = 0; i < std::min<size_t>(o.k, s.found.size()); i++)
					c += std::find(truth, truth + o.k, s.found[i].row) != truth + o.k;
				return c;
			};
			hits += count();
			for (Found &f : s.found)
				f.distance = operator_value(o.metric, query.row(q), base.row(f.row), base.dim);
			std::sort(s.found.begin(), s.found.end(),
					  [](const Found &a, const Found &b) { return a.distance < b.distance; });
			hits_exact += count();
		}
		printf("ef %4zu  recall@%u %.4f (reordered %.4f)  %8.0f q/s  %.1f hops\n", ef, o.k,
			   hits / (double) nq / o.k, hits_exact / (double) nq / o.k, nq / spent,
			   hops / (double) nq);
	}
}

} // namespace

int
main(int argc, char **argv)
{
	if (argc < 3)
	{
		fprintf(stderr, "usage: graph_bench base query [name=value ...]\n");
		return 1;
	}
	const char *problem;
	if (omendb_kernels_select(getenv(OMENDB_ISA_VARIABLE), &problem) != 0)
	{
		fprintf(stderr, "%s\n", problem);
		return 1;
	}
	Options o = parse(argc, argv);
	Matrix base = read_matrix(argv[1], o.n), query = read_matrix(argv[2], 0);
	std::vector<uint32_t> exact = exact_answers(base, query, o, argv[1]);
	static Index index;
	make_space(&index, base, o);
	printf("%u x %u, %s: dim %u, code %u x %u bits, storage %d, %u slots of %u bytes\n", base.n,
		   base.dim, omendb_kernels->name, index.shape.dim, index.shape.code_dim,
		   index.shape.code_bits, (int) index.shape.storage, index.shape.slots,
		   index.shape.slot_bytes);
	std::vector<Worker> workers(o.threads);
	double cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
	double spent = o.builder == "bulk" ? build_bulk(&index, base, o, &workers)
									   : build(&index, base, o, &workers);
	cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("built in %.2f s, %.0f rows/s, %.1f us of CPU a row, %lu nodes, %u pages\n", spent,
		   base.n / spent, cpu / base.n * 1e6, (unsigned long) index.area.control.nodes.load(),
		   index.area.control.next_page.load());
	measure(&index, &workers[0], base, query, o, exact);
	return 0;
}
