/*
 * memory_store.hpp - the store of the tests: BuildStore over malloc.
 *
 * Stricter than a server where it can be: a process maps no more chunks than
 * it asked for, chunks come filled with garbage, at odd multiples of 8 bytes,
 * and memory can fail on any call.
 */
#ifndef OMENDB_TEST_MEMORY_STORE_HPP
#define OMENDB_TEST_MEMORY_STORE_HPP

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "graph/verify-inl.hpp"
#include "store/build_store.hpp"
#include "support/bulk_area.hpp"

namespace omendb::test
{

/* The kernels that OMENDB_FORCE_ISA asks for, or the best. */
inline const OmendbKernels *
kernels()
{
	static const OmendbKernels *const selected = []
	{
		const char *problem;

		if (omendb_kernels_select(getenv(OMENDB_ISA_VARIABLE), &problem) != 0)
		{
			fprintf(stderr, "%s\n", problem);
			abort();
		}
		return omendb_kernels;
	}();
	return selected;
}

/* Rows of a test: a tenth under a sanitizer, a quarter for the portable kernels. */
inline uint32_t
rows(uint32_t n)
{
#ifdef OMENDB_SANITIZED
	return n / 10;
#else
	return kernels()->name == std::string("base") ? n / 4 : n;
#endif
}

/* realloc that fails on the n-th call, and frees all of it at the end. */
class TestMemory
{
public:
	TestMemory() : memory_{resize, this} {}

	TestMemory(const TestMemory &) = delete;

	~TestMemory()
	{
		for (void *block : blocks_)
			::free(block);
	}

	const Memory *
	get() const
	{
		return &memory_;
	}

	/* The n-th call from now on (1: the next) and all after it fail; 0: none. */
	void
	fail_after(size_t n)
	{
		left_ = n;
	}

	size_t calls = 0;
	size_t failures = 0;

private:
	static void *
	resize(void *context, void *old, size_t size)
	{
		TestMemory *self = (TestMemory *) context;

		self->calls++;
		if (self->left_ == 1)
			return self->failures++, nullptr;
		if (self->left_ > 1)
			self->left_--;
		self->blocks_.erase(old);
		void *p = ::realloc(old, size);
		self->blocks_.insert(p);
		return p;
	}

	Memory memory_;
	size_t left_ = 0;
	std::set<void *> blocks_;
};

struct Matrix
{
	uint32_t n;
	uint32_t dim;
	std::vector<float> values;

	const float *
	row(size_t i) const
	{
		return values.data() + i * dim;
	}

	float *
	row(size_t i)
	{
		return values.data() + i * dim;
	}
};

/* 0 to n - 1: the rows that an index of n should have. */
inline std::vector<uint32_t>
numbers(uint32_t n)
{
	std::vector<uint32_t> all(n);
	std::iota(all.begin(), all.end(), 0);
	return all;
}

inline Matrix
uniform(uint32_t n, uint32_t dim, uint64_t seed)
{
	std::mt19937_64 random(seed);
	std::uniform_real_distribution<float> value(-1, 1);
	Matrix m = {n, dim, std::vector<float>((size_t) n * dim)};

	for (float &x : m.values)
		x = value(random);
	return m;
}

/* Gaussian clusters of different sizes and widths; the centres depend on dim only. */
inline Matrix
clustered(uint32_t n, uint32_t dim, uint64_t seed)
{
	constexpr uint32_t kClusters = 30;
	std::mt19937_64 random(seed);
	std::normal_distribution<float> normal;
	Matrix centres = uniform(kClusters, dim, dim);
	Matrix m = {n, dim, std::vector<float>((size_t) n * dim)};

	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t a = (uint32_t) (random() % kClusters), b = (uint32_t) (random() % kClusters);
		uint32_t cluster = std::min(a, b);
		float width = 0.1f + 0.02f * (float) (cluster % 10);
		for (uint32_t j = 0; j < dim; j++)
			m.row(i)[j] = centres.row(cluster)[j] + width * normal(random);
	}
	return m;
}

struct IndexOptions
{
	quant::Metric metric = quant::Metric::L2;
	quant::Storage storage = quant::Storage::Int8;
	quant::Type type = quant::Type::Vector;
	uint32_t m = 16;
	uint32_t ef_construction = 64;
	uint32_t code_dim = 0; /* 0: chosen */
	uint32_t code_bits = 0;
	std::vector<uint32_t> sizes; /* of sparse values */
	uint32_t max_chunks = 100000;
	uint32_t workers = 1;
};

struct Area
{
	std::mutex lock, entry_lock;
	std::vector<std::unique_ptr<uint8_t[]>> chunks;
	uint32_t max_chunks = 0;
	uint32_t entry_locked = 0; /* how often; under entry_lock */
	store::BuildControl control;
};

/* What a process of a build has: its own view of the chunks and its own store. */
struct Worker
{
	Area *area;
	std::vector<uint8_t *> mapped;
	store::BuildStore store;
	store::BuildHooks hooks;
	TestMemory memory;
	graph::InsertMemory insert_memory;
	graph::Inserter<store::BuildStore> inserter;
	std::vector<float> transformed;
};

inline void
hook_map(void *context, uint32_t wanted)
{
	Worker *w = (Worker *) context;
	std::lock_guard<std::mutex> guard(w->area->lock);

	while (w->mapped.size() < wanted)
		w->mapped.push_back(w->area->chunks.at(w->mapped.size()).get() + 8);
	w->store.set_chunks(w->mapped.data(), (uint32_t) w->mapped.size());
}

inline bool
hook_grow(void *context)
{
	Area *area = ((Worker *) context)->area;
	std::lock_guard<std::mutex> guard(area->lock);
	uint32_t n = area->control.chunks.load();

	/* Another process was quicker. */
	if (area->control.next_page.load() < n * store::kChunkPages)
		return true;
	if (n >= area->max_chunks)
		return false;
	area->chunks.emplace_back(std::make_unique<uint8_t[]>(store::kChunkBytes + 16));
	memset(area->chunks.back().get(), 0xA5, store::kChunkBytes + 16);
	area->control.chunks.store(n + 1);
	return true;
}

inline void
hook_lock_entry(void *context)
{
	Area *area = ((Worker *) context)->area;

	area->entry_lock.lock();
	area->entry_locked++;
}

inline void
hook_unlock_entry(void *context)
{
	((Worker *) context)->area->entry_lock.unlock();
}

/* What glance() answers: nothing; the record; or other bytes half of the time, which glanced()
 * disowns. */
enum class Glance
{
	None,
	Record,
	Spoiled
};

/* The store as a scan sees it: distances to the query as it was given. */
struct SearchStore : store::BuildStore
{
	Glance glance_mode = Glance::None;
	std::vector<uint8_t> spoiled;
	uint32_t glances = 0;
	uint32_t reads = 0;

	const uint8_t *
	begin_read(graph::Address a, graph::Address next)
	{
		reads++;
		return BuildStore::begin_read(a, next);
	}

	const uint8_t *
	glance(graph::Address a)
	{
		const uint8_t *bytes = glance_mode == Glance::None ? nullptr : record(a);
		if (bytes == nullptr)
			return nullptr;
		glances++;
		if (!is_spoiled())
			return bytes;
		spoiled.assign(bytes, bytes + shape().slot_bytes);
		/* Another value, or no node at all. */
		for (uint32_t i = shape().vector_at; i < shape().neighbours_at; i++)
			spoiled[i] = (uint8_t) (i * glances);
		graph::header(spoiled.data())->state = (uint8_t) (glances / 2 % 4);
		return spoiled.data();
	}

	bool
	glanced(graph::Address) const
	{
		return !is_spoiled();
	}

	bool
	is_spoiled() const
	{
		return glance_mode == Glance::Spoiled && glances % 2 == 0;
	}

	float
	search_distance(const quant::Query &query, const uint8_t *record) const
	{
		if (quant::is_plain(space()))
			return (float) quant::operator_value(space(), query.value,
												 graph::vector_of(shape(), record));
		return quant::query_distance(space(), query, graph::vector_of(shape(), record),
									 graph::header(record)->scale);
	}
};

/* The store as the verifier sees it. */
struct EnumerableStore : store::BuildStore
{
	uint32_t pages;
	uint32_t first_block;

	template <typename F>
	bool
	enumerate(F f) const
	{
		for (uint32_t i = 0; i < pages; i++)
		{
			const OmendbPageSpecial *special =
				(const OmendbPageSpecial *) (const void *) (page(i) + OMENDB_PAGE_SIZE -
															sizeof(OmendbPageSpecial));
			if (special->page_id != OMENDB_PAGE_ID || special->kind != OMENDB_PAGE_GRAPH)
				continue;
			for (uint32_t slot = 0; slot < special->slots; slot++)
			{
				graph::Address a = graph::make_address(first_block + i, slot);
				if (!f(a, record(a)))
					return false;
			}
		}
		return true;
	}
};

struct Found
{
	double value; /* of the operator, exact */
	uint32_t row;
};

/* Collects the rows of every node visited. */
struct RowVisitor
{
	const SearchStore *store;
	std::vector<uint32_t> *found;
	std::vector<graph::Address> *visited;

	float
	distance(const quant::Query &query, const uint8_t *record)
	{
		return store->search_distance(query, record);
	}

	bool
	visit(graph::Address address, const uint8_t *, float)
	{
		visited->push_back(address);
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

/* A row's number as a TID, which is never all zero, and back. */
inline graph::Tid
tid_of(uint32_t row)
{
	return graph::Tid{(uint16_t) (row >> 16), (uint16_t) row, 1};
}

inline uint32_t
row_of(const graph::Tid &tid)
{
	return (uint32_t) tid.block_high << 16 | tid.block_low;
}

/* FNV-1a of a row's bytes. */
inline uint32_t
hash_of(const Matrix &m, uint32_t i)
{
	const uint8_t *p = (const uint8_t *) m.row(i);
	uint32_t hash = 2166136261u;

	for (size_t k = 0; k < m.dim * sizeof(float); k++)
		hash = (hash ^ p[k]) * 16777619u;
	return hash;
}

inline double
operator_value(quant::Metric metric, const float *a, const float *b, uint32_t dim)
{
	float sums[3];

	switch (metric)
	{
		case quant::Metric::L2:
			return kernels()->l2_f32(a, b, dim);
		case quant::Metric::InnerProduct:
			return -kernels()->dot_f32(a, b, dim);
		case quant::Metric::Cosine:
		case quant::Metric::L1:
		case quant::Metric::Hamming:
		case quant::Metric::Jaccard:
			break;
	}
	kernels()->cosine_f32(a, b, dim, sums);
	return 1 - sums[0] / sqrt((double) sums[1] * sums[2]);
}

/* The k-th best value of a query, by brute force. */
inline double
kth_value(const Matrix &base, const float *query, quant::Metric metric, uint32_t k)
{
	std::vector<double> values(base.n);

	for (uint32_t i = 0; i < base.n; i++)
		values[i] = operator_value(metric, query, base.row(i), base.dim);
	std::nth_element(values.begin(), values.begin() + (k - 1), values.end());
	return values[k - 1];
}

class MemoryIndex
{
public:
	static constexpr uint32_t kFirstBlock = 3;
	static constexpr uint64_t kSeed = 42;

	MemoryIndex(const Matrix &base, const IndexOptions &options)
		: options_(options), base_(&base), pool_memory_(new TestMemory)
	{
		make_space();
		store::init_control(&area_.control);
		area_.max_chunks = options.max_chunks;
		for (uint32_t i = 0; i < options.workers; i++)
		{
			workers_.emplace_back(new Worker);
			start_worker(workers_.back().get());
		}
	}

	MemoryIndex(const MemoryIndex &) = delete;

	Worker *
	worker(uint32_t i = 0)
	{
		return workers_[i].get();
	}

	const graph::Shape &
	shape() const
	{
		return shape_;
	}

	const quant::Space &
	space() const
	{
		return space_;
	}

	/* How often the entry point was locked. */
	uint32_t
	entry_locked() const
	{
		return area_.entry_locked;
	}

	store::BuildControl &
	control()
	{
		return area_.control;
	}

	/* Insert a row of the matrix; OMENDB_TOO_LARGE: the area is full. */
	OmendbStatus
	insert(uint32_t i, uint32_t by = 0)
	{
		graph::Tid tid = tid_of(i);
		return insert(i, graph::level_for(kSeed, tid), by);
	}

	OmendbStatus
	insert(uint32_t i, uint32_t level, uint32_t by)
	{
		Worker *w = worker(by);
		graph::Row row = {tid_of(i), hash_of(*base_, i), 0};
		float excess;

		if (!quant::transform_row(space_, base_->row(i), w->transformed.data(), &excess))
			return OMENDB_OK;
		if (!w->store.reserve(level + 1))
			return OMENDB_TOO_LARGE;
		return w->inserter.insert(w->transformed.data(), excess, row, level);
	}

	/* All rows of the matrix; every worker in a thread of its own, taking turns. */
	void
	insert_all()
	{
		std::atomic<uint32_t> next{0}, ready{0};
		auto work = [this, &next, &ready](uint32_t by)
		{
			/* All at once. */
			for (ready++; ready.load() < workers_.size();)
				sched_yield();
			for (uint32_t i = next.fetch_add(1); i < base_->n; i = next.fetch_add(1))
			{
				if (insert(i, by) != OMENDB_OK)
					abort();
			}
		};

		if (workers_.size() == 1)
			return work(0);
		std::vector<std::thread> threads;
		for (uint32_t i = 0; i < workers_.size(); i++)
			threads.emplace_back(work, i);
		for (std::thread &thread : threads)
			thread.join();
	}

	/*
	 * The same rows by the bulk builder, in as many threads as there are workers.
	 * ordered: the first worker loads all of them.
	 */
	OmendbStatus
	bulk_all(uint64_t expected_rows, bool ordered = false)
	{
		BulkArea bulk(space_, shape_, options_.ef_construction, expected_rows, options_.workers);
		std::atomic<uint32_t> next{0};
		std::vector<const Memory *> memory;
		for (std::unique_ptr<Worker> &w : workers_)
			memory.push_back(w->memory.get());
		auto load = [&](graph::Bulk *b, uint32_t by)
		{
			if (ordered && by > 0)
				return;
			for (uint32_t i = next.fetch_add(1); i < base_->n; i = next.fetch_add(1))
			{
				float *t = worker(by)->transformed.data();
				float excess;
				if (quant::is_plain(space_))
				{
					std::vector<uint64_t> value = payload(base_->row(i));
					const uint8_t *bytes = (const uint8_t *) value.data();
					std::vector<float> sketch(quant::kMaxSketch);
					if (!quant::value_has_place(space_, bytes))
						continue;
					quant::sketch(space_, bytes, sketch.data());
					b->add_value(bytes, sketch.data(), {tid_of(i), hash_of(*base_, i), 0});
				}
				else if (quant::transform_row(space_, base_->row(i), t, &excess))
				{
					std::vector<float> asker(space_.dim);
					quant::transform_query(space_, base_->row(i), asker.data());
					b->add_row(t, excess, asker.data(), {tid_of(i), hash_of(*base_, i), 0});
				}
			}
		};
		auto sink = [&](uint32_t page, graph::BulkPage kind, const uint8_t *content, size_t bytes)
		{
			take_page(page, kind, content, bytes);
		};
		OmendbStatus status = bulk.run(memory, kFirstBlock, sink, load);
		if (status != OMENDB_OK)
			return status;
		const graph::BulkShared &shared = bulk.shared();
		area_.control.entry.store((uint64_t) shared.entry.level << 32 | shared.entry.address);
		area_.control.root.store(shared.root);
		area_.control.nodes.store(shared.nodes.load());
		area_.control.next_page.store(shared.pages);
		if (bulk.pages != shared.pages || bulk.pages_written != shared.pages)
			abort();
		return OMENDB_OK;
	}

	/* A row of numbers as a plain value of the index's type. In words: aligned. */
	std::vector<uint64_t>
	payload(const float *x) const
	{
		uint32_t n = base_->dim;
		std::vector<uint64_t> words(16 * n / 8 + 4);
		uint8_t *bytes = (uint8_t *) words.data();
		quant::SparseHead *head = (quant::SparseHead *) words.data();

		switch (space_.type)
		{
			case quant::Type::Vector:
				memcpy(bytes, x, n * sizeof(float));
				break;
			case quant::Type::Half:
				kernels()->f32_to_f16(x, (uint16_t *) words.data(), n);
				break;
			case quant::Type::Bit:
				for (uint32_t i = 0; i < n; i++)
					bytes[i / 8] |= (uint8_t) ((x[i] > 0) << (7 - i % 8));
				break;
			case quant::Type::Sparse:
				for (uint32_t i = 0; i < n; i++)
					head->count += x[i] > 0;
				for (uint32_t i = 0, at = 0; i < n; i++)
				{
					if (!(x[i] > 0))
						continue;
					((int32_t *) (head + 1))[at] = (int32_t) i;
					((float *) (head + 1))[head->count + at] = x[i];
					at++;
				}
				break;
		}
		return words;
	}

	/* ---- afterwards, nothing being inserted ---- */

	EnumerableStore
	enumerable()
	{
		EnumerableStore s;

		map_all();
		(store::BuildStore &) s = worker()->store;
		s.pages = area_.control.next_page.load();
		s.first_block = kFirstBlock;
		return s;
	}

	/* The first broken rule as text; empty: none. */
	std::string
	problem()
	{
		EnumerableStore s = enumerable();
		TestMemory memory;
		graph::Verifier<EnumerableStore> verifier;

		verifier.init(&s, memory.get());
		graph::Problem p = verifier.run();
		if (p.what == nullptr && verifier.nodes() != area_.control.nodes.load())
			return "wrong number of nodes";
		if (p.what == nullptr)
			return "";
		char text[200];
		snprintf(text, sizeof(text), "%s: block %u, slot %u, lane %u", p.what,
				 graph::address_block(p.address), graph::address_slot(p.address), p.lane);
		return text;
	}

	/* Rows of one node, its overflow parts included; an odd part ends the test program. */
	std::vector<uint32_t>
	rows_of(graph::Address a)
	{
		const store::BuildStore &s = worker()->store;
		const graph::RecordHeader *h = graph::header(s.record(a));
		std::vector<uint32_t> found;

		for (uint32_t i = 0; i < h->tid_count; i++)
			found.push_back(row_of(h->tids[i]));
		for (graph::Address at = h->overflow; at != graph::kNoAddress;)
		{
			const OmendbTidPart *part = s.part(at);
			if (part->owner != a || part->generation != h->generation ||
				part->count > OMENDB_PART_TIDS)
				abort();
			for (uint32_t i = 0; i < part->count; i++)
			{
				graph::Tid tid;
				memcpy(&tid, &part->tids[3 * i], sizeof(tid));
				found.push_back(row_of(tid));
			}
			at = part->next;
		}
		return found;
	}

	/* Addresses of the records on a level. */
	std::vector<graph::Address>
	records(uint32_t level)
	{
		std::vector<graph::Address> found;

		enumerable().enumerate(
			[&](graph::Address a, const uint8_t *record)
			{
				const graph::RecordHeader *h = graph::header(record);
				if (h->state != (uint8_t) graph::State::Free && h->level == level)
					found.push_back(a);
				return true;
			});
		return found;
	}

	/* Every row of every node, sorted. */
	std::vector<uint32_t>
	all_rows()
	{
		std::vector<uint32_t> found;

		for (graph::Address a : records(0))
		{
			std::vector<uint32_t> some = rows_of(a);
			found.insert(found.end(), some.begin(), some.end());
		}
		std::sort(found.begin(), found.end());
		return found;
	}

	/* Of search(): what its store answers, and how often it was asked by the last one. */
	Glance glance_mode = Glance::None;
	uint32_t glances = 0;
	uint32_t reads = 0;

	/* Rows of the nodes that a search with a window of ef visits. */
	std::vector<uint32_t>
	search(const float *q, size_t ef)
	{
		std::vector<double> memory(quant::query_bytes(space_) / 8 + 1);
		std::vector<uint32_t> found;
		std::vector<graph::Address> visited;
		SearchStore s;
		quant::Query query;
		graph::Pool pool;
		Array<graph::Candidate> starts, scratch;

		map_all();
		(store::BuildStore &) s = worker()->store;
		s.glance_mode = glance_mode;
		pool.init(pool_memory_->get());
		starts.init(pool_memory_->get());
		scratch.init(pool_memory_->get());
		std::vector<uint64_t> value;
		if (quant::is_plain(space_))
		{
			value = payload(q);
			query.value = (const uint8_t *) value.data();
		}
		else
			quant::prepare_query(space_, q, memory.data(), &query);
		graph::descend(s, pool, query, s.entry(), 0, &starts, &scratch);
		pool.start(ef, false);
		for (size_t i = 0; i < starts.size; i++)
			pool.offer(starts[i].address, starts[i].distance, 1e-30f);
		RowVisitor visitor{&s, &found, &visited};
		graph::run_search(s, pool, query, 0, visitor);
		for (graph::Address a : visited)
		{
			std::vector<uint32_t> some = rows_of(a);
			found.insert(found.end(), some.begin(), some.end());
		}
		pool_memory_.reset(new TestMemory);
		glances = s.glances;
		reads = s.reads;
		return found;
	}

	/* Share of the k nearest rows that searches with ef visit. */
	double
	recall(const Matrix &queries, uint32_t k, size_t ef)
	{
		size_t hits = 0;

		if (quant::is_plain(space_))
			return plain_recall(queries, k, ef);
		for (uint32_t q = 0; q < queries.n; q++)
		{
			double limit = kth_value(*base_, queries.row(q), options_.metric, k);
			size_t some = 0;
			for (uint32_t i : search(queries.row(q), ef))
				some += operator_value(options_.metric, queries.row(q), base_->row(i),
									   base_->dim) <= limit;
			hits += std::min<size_t>(some, k);
		}
		return (double) hits / ((double) queries.n * k);
	}

	/* The same of plain values. */
	double
	plain_recall(const Matrix &queries, uint32_t k, size_t ef)
	{
		size_t hits = 0;

		for (uint32_t q = 0; q < queries.n; q++)
		{
			std::vector<uint64_t> query = payload(queries.row(q));
			std::vector<double> values(base_->n);
			for (uint32_t i = 0; i < base_->n; i++)
				values[i] = quant::operator_value(space_, (const uint8_t *) query.data(),
												  (const uint8_t *) payload(base_->row(i)).data());
			std::vector<double> sorted = values;
			std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end());
			size_t some = 0;
			for (uint32_t i : search(queries.row(q), ef))
				some += values[i] <= sorted[k - 1];
			hits += std::min<size_t>(some, k);
		}
		return (double) hits / ((double) queries.n * k);
	}

private:
	/* A page of the bulk builder becomes one of the area. */
	void
	take_page(uint32_t page, graph::BulkPage kind, const uint8_t *content, size_t bytes)
	{
		OmendbPageSpecial special = {};
		std::lock_guard<std::mutex> guard(area_.lock);

		while (area_.chunks.size() <= page / store::kChunkPages)
		{
			area_.chunks.emplace_back(std::make_unique<uint8_t[]>(store::kChunkBytes + 16));
			memset(area_.chunks.back().get(), 0, store::kChunkBytes + 16);
			area_.control.chunks.store((uint32_t) area_.chunks.size());
		}
		uint8_t *to = area_.chunks[page / store::kChunkPages].get() + 8 +
					  (size_t) (page % store::kChunkPages) * OMENDB_PAGE_SIZE;
		memcpy(to + OMENDB_PAGE_HEADER, content, bytes);
		special.kind = OMENDB_PAGE_GRAPH;
		special.slots = (uint16_t) shape_.slots;
		if (kind == graph::BulkPage::Parts)
		{
			special.kind = OMENDB_PAGE_OVERFLOW;
			special.slots = OMENDB_PARTS_PER_PAGE;
		}
		else if (kind == graph::BulkPage::Values)
		{
			special.kind = OMENDB_PAGE_VALUES;
			special.slots = (uint16_t) shape_.chunks;
		}
		special.page_id = OMENDB_PAGE_ID;
		memcpy(to + OMENDB_PAGE_SIZE - sizeof(special), &special, sizeof(special));
	}

	void
	make_space()
	{
		space_.metric = options_.metric;
		space_.type = options_.type;
		space_.seed = kSeed;
		space_.kernels = kernels();
		space_.radius = 0;
		space_.query_length = 0;
		space_.input_dim = base_->dim;
		space_.dim = quant::padded_dim(options_.metric, base_->dim);
		graph::ShapeRequest request = {space_.dim,
									   options_.m,
									   false,
									   options_.storage,
									   OMENDB_PAGE_USABLE,
									   options_.code_dim,
									   options_.code_bits,
									   options_.sizes.data(),
									   (uint32_t) options_.sizes.size()};
		bool plain = quant::keeps_values(options_.type, options_.metric);
		if (plain)
		{
			request.storage = quant::Storage::Value;
			request.dim = space_.dim = quant::value_capacity(options_.type, base_->dim);
		}
		if (!graph::choose_shape(request, &shape_))
			abort();
		space_.storage = shape_.storage;
		space_.code_dim = shape_.code_dim;
		space_.code_bits = shape_.code_bits;
		if (plain)
			return;
		make_mean();
		signs_.resize(space_.dim / 2);
		quant::make_signs(space_.seed, space_.dim, signs_.data());
		space_.signs = signs_.data();
	}

	void
	make_mean()
	{
		mean_.assign(base_->dim, 0);
		for (uint32_t i = 0; i < base_->n; i++)
		{
			const float *x = base_->row(i);
			float scale = 1;
			if (options_.metric == quant::Metric::Cosine)
				scale = 1 / sqrtf(kernels()->sumsq_f32(x, base_->dim));
			for (uint32_t j = 0; j < base_->dim; j++)
				mean_[j] += x[j] * scale / (float) base_->n;
		}
		space_.mean = mean_.data();
		space_.radius = 0;
		space_.query_length = 0;
		if (options_.metric != quant::Metric::InnerProduct)
			return;
		for (uint32_t i = 0; i < base_->n; i++)
			space_.radius = std::max(
				space_.radius, sqrtf(kernels()->l2_f32(base_->row(i), mean_.data(), base_->dim)));
	}

	void
	start_worker(Worker *w)
	{
		w->area = &area_;
		w->hooks = {w, hook_map, hook_grow, hook_lock_entry, hook_unlock_entry};
		w->store.init(&space_, &shape_, &area_.control, &w->hooks, kFirstBlock);
		w->insert_memory.init(w->memory.get());
		if (!w->insert_memory.allocate(space_, w->memory.get()))
			abort();
		w->inserter.init(&w->store, &w->insert_memory, options_.ef_construction);
		w->transformed.resize(space_.dim);
	}

	void
	map_all()
	{
		hook_map(worker(), area_.control.chunks.load());
	}

	IndexOptions options_;
	const Matrix *base_;
	quant::Space space_;
	graph::Shape shape_;
	std::vector<float> mean_;
	std::vector<uint8_t> signs_;
	Area area_;
	std::vector<std::unique_ptr<Worker>> workers_;
	std::unique_ptr<TestMemory> pool_memory_;
};

} // namespace omendb::test

#endif
