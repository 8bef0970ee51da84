/*
 * kernels_test.cpp - every kernel of every table this CPU runs, against a
 * plain reference.
 *
 * Distances are held to the bound that kernels.h states; what ends in stored
 * bytes is held to the bits of a scalar reference, which makes it equal under
 * all instruction sets. Buffers end exactly where the data ends and start at
 * odd addresses, so that a sanitizer sees any access too many or too aligned.
 */
#include <gtest/gtest.h>

#include <math.h>
#include <string.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "simd/kernels.h"

namespace
{

constexpr double kUnit = 0x1p-24;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/* A copy of data that starts `offset` bytes after an aligned address. */
template <class T>
class Unaligned
{
public:
	Unaligned(const std::vector<T> &data, size_t offset)
		: offset_(offset), count_(data.size()), bytes_(offset + data.size() * sizeof(T))
	{
		bytes_.shrink_to_fit();
		if (!data.empty())
			memcpy(bytes_.data() + offset_, data.data(), count_ * sizeof(T));
	}

	T *
	get()
	{
		return reinterpret_cast<T *>(bytes_.data() + offset_);
	}

	std::vector<T>
	copy() const
	{
		std::vector<T> data(count_);

		if (count_ > 0)
			memcpy(data.data(), bytes_.data() + offset_, count_ * sizeof(T));
		return data;
	}

private:
	size_t offset_, count_;
	std::vector<char> bytes_;
};

std::vector<float>
random_floats(size_t n, uint32_t seed, float scale = 1.0f, float shift = 0.0f)
{
	std::mt19937 generator(seed);
	std::normal_distribution<float> normal;
	std::vector<float> x(n);

	for (float &value : x)
		value = scale * normal(generator) + shift;
	return x;
}

std::vector<int8_t>
random_i8(size_t n, uint32_t seed)
{
	std::mt19937 generator(seed);
	std::vector<int8_t> x(n);

	for (int8_t &value : x)
		value = static_cast<int8_t>(static_cast<int>(generator() % 255) - 127);
	return x;
}

std::vector<uint8_t>
random_bytes(size_t n, uint32_t seed)
{
	std::mt19937 generator(seed);
	std::vector<uint8_t> x(n);

	for (uint8_t &value : x)
		value = static_cast<uint8_t>(generator());
	return x;
}

uint32_t
bits_of(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

float
float_of(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, sizeof(x));
	return x;
}

std::vector<size_t>
lengths()
{
	std::vector<size_t> all;

	for (size_t n = 0; n <= 257; n++)
		all.push_back(n);
	for (size_t n : {300, 511, 768, 784, 1000, 1536, 2000, 4096, 16000})
		all.push_back(n);
	return all;
}

/* Byte offsets to try at length n. */
std::vector<size_t>
offsets(size_t n)
{
	if (n > 257)
		return {0, 7};
	return {0, 1, 2, 3, 4, 12, 20, 60};
}

/* ---- half floats, by the definition ---- */

float
half_value(uint16_t h)
{
	const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
	const uint32_t exponent = (h >> 10) & 31, mantissa = h & 0x3FF;

	if (exponent == 31 && mantissa != 0)
		return float_of(sign | 0x7FC00000 | mantissa << 13);
	if (exponent == 31)
		return float_of(sign | 0x7F800000);
	const double magnitude = exponent == 0
								 ? ldexp(mantissa, -24)
								 : ldexp(1024 + mantissa, static_cast<int>(exponent) - 25);
	return static_cast<float>(sign != 0 ? -magnitude : magnitude);
}

uint16_t
half_bits(float x)
{
	const uint32_t bits = bits_of(x), sign = (bits >> 16) & 0x8000;
	const double magnitude = fabs(static_cast<double>(x));
	int exponent;

	if (isnan(x))
		return static_cast<uint16_t>(sign | 0x7E00 | ((bits >> 13) & 0x3FF));
	if (magnitude >= 65520.0)
		return static_cast<uint16_t>(sign | 0x7C00);
	if (magnitude < 0x1p-14)
		return static_cast<uint16_t>(sign | static_cast<uint32_t>(nearbyint(magnitude * 0x1p24)));
	frexp(magnitude, &exponent); /* magnitude = f 2^exponent, 0.5 <= f < 1 */
	const uint32_t mantissa = static_cast<uint32_t>(nearbyint(ldexp(magnitude, 11 - exponent)));
	return static_cast<uint16_t>(sign |
								 ((static_cast<uint32_t>(exponent + 14) << 10) + mantissa - 1024));
}

std::vector<uint16_t>
random_halves(size_t n, uint32_t seed)
{
	std::vector<uint16_t> h(n);
	const std::vector<float> x = random_floats(n, seed);

	for (size_t i = 0; i < n; i++)
		h[i] = half_bits(x[i]);
	return h;
}

/* ---- the fixture: one table, forced ---- */

std::vector<const OmendbKernels *>
supported_tables()
{
	std::vector<const OmendbKernels *> tables;

	for (int i = 0; omendb_kernels_at(i) != nullptr; i++)
		if (omendb_kernels_supported(omendb_kernels_at(i)))
			tables.push_back(omendb_kernels_at(i));
	return tables;
}

class KernelsTest : public testing::TestWithParam<const OmendbKernels *>
{
protected:
	void
	SetUp() override
	{
		const char *problem = nullptr;

		ASSERT_EQ(omendb_kernels_select(GetParam()->name, &problem), 0) << problem;
		ASSERT_STREQ(omendb_kernels->name, GetParam()->name);
		k = omendb_kernels;
		ASSERT_EQ(k, GetParam());
	}

	const OmendbKernels *k = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Isa, KernelsTest, testing::ValuesIn(supported_tables()),
						 [](const auto &info) { return std::string(info.param->name); });

/* ---- dispatch ---- */

TEST(DispatchTest, UnknownNameLeavesTheTable)
{
	const OmendbKernels *before = omendb_kernels;

	for (const char *name : {"sse9", "AVX2", "avx", "avx2 ", "avx5122"})
	{
		const char *problem = nullptr;

		EXPECT_EQ(omendb_kernels_select(name, &problem), -1) << name;
		ASSERT_NE(problem, nullptr);
		EXPECT_NE(strlen(problem), 0u);
		EXPECT_EQ(omendb_kernels, before);
	}
}

TEST(DispatchTest, UnsupportedNameLeavesTheTable)
{
	const OmendbKernels *before = omendb_kernels;

	for (int i = 0; omendb_kernels_at(i) != nullptr; i++)
	{
		const OmendbKernels *kernels = omendb_kernels_at(i);
		const char *problem = nullptr;

		if (omendb_kernels_supported(kernels))
			continue;
		EXPECT_EQ(omendb_kernels_select(kernels->name, &problem), -1);
		EXPECT_NE(problem, nullptr);
		EXPECT_EQ(omendb_kernels, before);
	}
}

TEST(DispatchTest, BestIsTheFirstSupported)
{
	const char *problem = nullptr;

	ASSERT_FALSE(supported_tables().empty());
	ASSERT_EQ(omendb_kernels_select(nullptr, &problem), 0);
	EXPECT_EQ(omendb_kernels, supported_tables().front());
#ifdef __aarch64__
	/* Every such CPU has it. */
	EXPECT_STREQ(omendb_kernels->name, "neon");
#endif
	ASSERT_EQ(omendb_kernels_select("base", &problem), 0);
	EXPECT_STREQ(omendb_kernels->name, "base");
	ASSERT_EQ(omendb_kernels_select("", &problem), 0);
	EXPECT_EQ(omendb_kernels, supported_tables().front());
	EXPECT_EQ(problem, nullptr);
}

TEST(DispatchTest, EveryEntryIsFilled)
{
	EXPECT_EQ(omendb_kernels_at(-1), nullptr);
	EXPECT_FALSE(omendb_kernels_supported(nullptr));
	for (int i = 0; omendb_kernels_at(i) != nullptr; i++)
	{
		void *entries[sizeof(OmendbKernels) / sizeof(void *)];

		static_assert(sizeof(entries) == sizeof(OmendbKernels), "a table is pointers only");
		memcpy(entries, omendb_kernels_at(i), sizeof(entries));
		for (const void *entry : entries)
			EXPECT_NE(entry, nullptr);
	}
}

/* ---- distances ---- */

/* A sum in double with the sum of the terms' absolute values. */
struct Reference
{
	double sum = 0, size = 0;

	void
	add(double term)
	{
		sum += term;
		size += fabs(term);
	}
};

void
expect_within_bound(float actual, const Reference &expected, size_t n, const std::string &what)
{
	const double bound = (static_cast<double>(n) / 16 + 8) * kUnit * expected.size;

	EXPECT_LE(fabs(static_cast<double>(actual) - expected.sum), bound)
		<< what << " n=" << n << " actual=" << actual << " expected=" << expected.sum;
}

TEST_P(KernelsTest, FloatDistances)
{
	for (size_t n : lengths())
	{
		/* A common shift makes differences cancel; the second set is wild in scale. */
		const std::vector<float> a = random_floats(n, 1, 1.0f, 3.0f);
		std::vector<float> b = random_floats(n, 2, 1.0f, 3.0f);
		Reference l2, dot, l1, aa, bb;

		for (size_t i = 0; i < n; i += 5)
			b[i] *= i % 2 == 0 ? 1e-6f : 1e6f;
		for (size_t i = 0; i < n; i++)
		{
			const double x = a[i], y = b[i];

			l2.add((x - y) * (x - y));
			dot.add(x * y);
			l1.add(fabs(x - y));
			aa.add(x * x);
			bb.add(y * y);
		}
		for (size_t offset : offsets(n))
		{
			Unaligned<float> p(a, offset), q(b, (offset + 8) % 64);
			float out[3];

			expect_within_bound(k->l2_f32(p.get(), q.get(), n), l2, n, "l2_f32");
			expect_within_bound(k->dot_f32(p.get(), q.get(), n), dot, n, "dot_f32");
			expect_within_bound(k->l1_f32(p.get(), q.get(), n), l1, n, "l1_f32");
			expect_within_bound(k->sumsq_f32(q.get(), n), bb, n, "sumsq_f32");
			k->cosine_f32(p.get(), q.get(), n, out);
			expect_within_bound(out[0], dot, n, "cosine_f32 ab");
			expect_within_bound(out[1], aa, n, "cosine_f32 aa");
			expect_within_bound(out[2], bb, n, "cosine_f32 bb");
		}
	}
}

/* n elements of `universe`, ascending indices from 0, values of a few digits or of any size. */
struct Sparse
{
	Sparse(size_t n, int32_t universe, uint32_t seed, bool integers) : dense(universe)
	{
		std::mt19937 generator(seed);
		std::vector<int32_t> all(universe);

		for (int32_t i = 0; i < universe; i++)
			all[i] = i;
		std::shuffle(all.begin(), all.end(), generator);
		indices.assign(all.begin(), all.begin() + n);
		std::sort(indices.begin(), indices.end());
		values = random_floats(n, seed + 1, 3.0f);
		for (size_t i = 0; i < n; i++)
		{
			if (integers)
				values[i] = static_cast<float>(1 + generator() % 9) * (i % 2 == 0 ? 1.0f : -1.0f);
			dense[indices[i]] = values[i];
		}
	}

	std::vector<int32_t> indices;
	std::vector<float> values;
	std::vector<double> dense;
};

/* kernels.h: 32 lanes, then the upper half of them onto the lower. */
double
reference_sumsq(const std::vector<float> &x)
{
	double lanes[32] = {0};

	for (size_t i = 0; i < x.size(); i++)
		lanes[i % 32] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
	for (size_t half = 16; half > 0; half /= 2)
		for (size_t i = 0; i < half; i++)
			lanes[i] += lanes[i + half];
	return lanes[0];
}

TEST_P(KernelsTest, SumOfSquaresInDouble)
{
	for (size_t n : lengths())
	{
		std::vector<float> x = random_floats(n, 3, 1.0f, 3.0f);

		for (size_t i = 0; i < n; i += 5)
			x[i] *= i % 2 == 0 ? 1e-30f : 1e36f;
		if (n > 7)
			x[7] = 0x1p-149f;
		for (size_t offset : offsets(n))
		{
			Unaligned<float> p(x, offset);

			EXPECT_EQ(k->sumsq_f64(p.get(), n), reference_sumsq(x)) << n;
		}
	}
	const std::vector<float> tiny(100, 0x1p-149f);
	EXPECT_EQ(k->sumsq_f64(tiny.data(), 100), 100 * 0x1p-298);
}

TEST_P(KernelsTest, SparseDistances)
{
	for (size_t n = 0; n < 70; n++)
		for (size_t m : {size_t{0}, size_t{1}, n / 2, n, n + 1, n + 3, 5 * n})
			for (int32_t universe : {1, 2, 400})
			{
				const uint32_t seed = static_cast<uint32_t>(n * 1000 + m);
				const bool integers = n % 2 == 0;
				const int32_t size = static_cast<int32_t>(std::max(n, m)) + 1 + universe * 3;
				const Sparse a(n, size, seed, integers), b(m, size, seed + 500, integers);
				const size_t offset = 1 + (n + m) % 7;
				Unaligned<int32_t> a_indices(a.indices, offset), b_indices(b.indices, offset + 2);
				Unaligned<float> a_values(a.values, offset + 1), b_values(b.values, offset + 3);
				const OmendbSparse x = {a_indices.get(), a_values.get(), n};
				const OmendbSparse y = {b_indices.get(), b_values.get(), m};
				Reference l2, dot, l1;

				for (int32_t i = 0; i < size; i++)
				{
					const double difference = a.dense[i] - b.dense[i];

					l2.add(difference * difference);
					dot.add(a.dense[i] * b.dense[i]);
					l1.add(fabs(difference));
				}
				expect_within_bound(k->l2_sparse(&x, &y), l2, 8 * (n + m), "l2_sparse");
				expect_within_bound(k->dot_sparse(&x, &y), dot, 8 * (n + m), "dot_sparse");
				expect_within_bound(k->l1_sparse(&x, &y), l1, 8 * (n + m), "l1_sparse");
				if (integers)
				{
					EXPECT_EQ(k->l2_sparse(&x, &y), static_cast<float>(l2.sum));
					EXPECT_EQ(k->dot_sparse(&x, &y), static_cast<float>(dot.sum));
					EXPECT_EQ(k->l1_sparse(&x, &y), static_cast<float>(l1.sum));
				}
				EXPECT_EQ(bits_of(k->l2_sparse(&x, &y)), bits_of(k->l2_sparse(&y, &x)));
				EXPECT_EQ(bits_of(k->dot_sparse(&x, &y)), bits_of(k->dot_sparse(&y, &x)));
				EXPECT_EQ(bits_of(k->l1_sparse(&x, &y)), bits_of(k->l1_sparse(&y, &x)));
				EXPECT_EQ(k->l2_sparse(&x, &x), 0.0f);
				EXPECT_EQ(k->l1_sparse(&y, &y), 0.0f);
			}
}

/* Lists that nobody should pass end all the same, and nothing beside them is read. */
TEST_P(KernelsTest, SparseDistancesOfAnyIndices)
{
	std::mt19937 generator(7);
	const std::vector<int32_t> likely = {0, 1, 2, -1, INT32_MIN, INT32_MAX, INT32_MAX - 1};

	for (int round = 0; round < 20000; round++)
	{
		std::vector<int32_t> a(generator() % 20), b(generator() % 20);

		for (int32_t &index : a)
			index = likely[generator() % likely.size()];
		for (int32_t &index : b)
			index = likely[generator() % likely.size()];
		const std::vector<float> p = random_floats(a.size(), 1), q = random_floats(b.size(), 2);
		const OmendbSparse x = {a.data(), p.data(), a.size()}, y = {b.data(), q.data(), b.size()};

		(void) k->l2_sparse(&x, &y);
		(void) k->dot_sparse(&x, &y);
		(void) k->l1_sparse(&x, &y);
	}
}

TEST_P(KernelsTest, DistancesToStoredRecords)
{
	const float scale = 0.0123f;

	for (size_t n : lengths())
	{
		const std::vector<float> q = random_floats(n, 3);
		const std::vector<int8_t> c = random_i8(n, 4);
		const std::vector<uint16_t> h = random_halves(n, 5);
		Reference l2_i8, l2_f16, dot_i8, dot_f16;

		for (size_t i = 0; i < n; i++)
		{
			const double x = q[i], y = scale * static_cast<float>(c[i]), z = half_value(h[i]);

			l2_i8.add((x - y) * (x - y));
			l2_f16.add((x - z) * (x - z));
			dot_i8.add(x * c[i]);
			dot_f16.add(x * z);
		}
		for (size_t offset : offsets(n))
		{
			Unaligned<float> p(q, offset);
			Unaligned<int8_t> bytes(c, offset + 1);
			Unaligned<uint16_t> halves(h, offset + 3);

			expect_within_bound(k->l2_f32_i8(p.get(), bytes.get(), scale, n), l2_i8, n,
								"l2_f32_i8");
			expect_within_bound(k->l2_f32_f16(p.get(), halves.get(), n), l2_f16, n, "l2_f32_f16");
			expect_within_bound(k->dot_f32_i8(p.get(), bytes.get(), n), dot_i8, n, "dot_f32_i8");
			expect_within_bound(k->dot_f32_f16(p.get(), halves.get(), n), dot_f16, n,
								"dot_f32_f16");
		}
	}
}

TEST_P(KernelsTest, HalfDistances)
{
	for (size_t n : lengths())
	{
		std::vector<uint16_t> a = random_halves(n, 6), b = random_halves(n, 7);
		Reference l2, dot, l1, aa, bb;

		/* Denormals, and the largest half. */
		for (size_t i = 0; i < n; i += 7)
			b[i] = i % 2 == 0 ? static_cast<uint16_t>(i % 1024) : 0x7BFF;
		for (size_t i = 0; i < n; i++)
		{
			const double x = half_value(a[i]), y = half_value(b[i]);

			l2.add((x - y) * (x - y));
			dot.add(x * y);
			l1.add(fabs(x - y));
			aa.add(x * x);
			bb.add(y * y);
		}
		for (size_t offset : offsets(n))
		{
			Unaligned<uint16_t> p(a, offset), q(b, (offset + 5) % 64);
			float out[3];

			expect_within_bound(k->l2_f16(p.get(), q.get(), n), l2, n, "l2_f16");
			expect_within_bound(k->dot_f16(p.get(), q.get(), n), dot, n, "dot_f16");
			expect_within_bound(k->l1_f16(p.get(), q.get(), n), l1, n, "l1_f16");
			k->cosine_f16(p.get(), q.get(), n, out);
			expect_within_bound(out[0], dot, n, "cosine_f16 ab");
			expect_within_bound(out[1], aa, n, "cosine_f16 aa");
			expect_within_bound(out[2], bb, n, "cosine_f16 bb");
		}
	}
}

/* ---- bits ---- */

void
expect_bit_counts(const OmendbKernels *k, const std::vector<uint8_t> &a,
				  const std::vector<uint8_t> &b, size_t offset)
{
	Unaligned<uint8_t> p(a, offset), q(b, (offset + 3) % 64);
	uint32_t different = 0, both = 0, either = 0, out[2];

	for (size_t i = 0; i < a.size(); i++)
		for (uint32_t bit = 1; bit < 256; bit *= 2)
		{
			different += ((a[i] ^ b[i]) & bit) != 0;
			both += (a[i] & b[i] & bit) != 0;
			either += ((a[i] | b[i]) & bit) != 0;
		}
	EXPECT_EQ(k->hamming(p.get(), q.get(), a.size()), different) << a.size();
	k->jaccard(p.get(), q.get(), a.size(), out);
	EXPECT_EQ(out[0], both) << a.size();
	EXPECT_EQ(out[1], either) << a.size();
}

TEST_P(KernelsTest, BitDistances)
{
	for (size_t n : lengths())
		for (size_t offset : offsets(n))
		{
			expect_bit_counts(k, random_bytes(n, 8), random_bytes(n, 9), offset);
			expect_bit_counts(k, std::vector<uint8_t>(n, 0xFF), std::vector<uint8_t>(n, 0), offset);
			expect_bit_counts(k, std::vector<uint8_t>(n, 0xFF), std::vector<uint8_t>(n, 0xFF),
							  offset);
		}
}

TEST_P(KernelsTest, BitDistancesOfLongStrings)
{
	const std::vector<uint8_t> ones(size_t{1} << 21, 0xFF), zeros(ones.size(), 0);
	uint32_t out[2];

	EXPECT_EQ(k->hamming(ones.data(), zeros.data(), ones.size()), 8u << 21);
	k->jaccard(ones.data(), ones.data(), ones.size(), out);
	EXPECT_EQ(out[0], 8u << 21);
	EXPECT_EQ(out[1], 8u << 21);
}

TEST_P(KernelsTest, SpecialValuesReachTheSum)
{
	for (size_t n : {1, 5, 15, 16, 17, 33, 64, 100, 257})
		for (size_t i = 0; i < n; i++)
		{
			std::vector<float> a(n, 1.0f), b(n, 2.0f);
			float out[3];

			a[i] = kInfinity;
			EXPECT_EQ(k->l2_f32(a.data(), b.data(), n), kInfinity);
			EXPECT_EQ(k->l1_f32(a.data(), b.data(), n), kInfinity);
			EXPECT_EQ(k->dot_f32(a.data(), b.data(), n), kInfinity);
			EXPECT_EQ(k->sumsq_f32(a.data(), n), kInfinity);
			EXPECT_EQ(k->sumsq_f64(a.data(), n), static_cast<double>(kInfinity));
			b[i] = kInfinity;
			EXPECT_TRUE(isnan(k->l2_f32(a.data(), b.data(), n)));
			b[i] = kNan;
			EXPECT_TRUE(isnan(k->l2_f32(a.data(), b.data(), n)));
			EXPECT_TRUE(isnan(k->l1_f32(a.data(), b.data(), n)));
			EXPECT_TRUE(isnan(k->dot_f32(a.data(), b.data(), n)));
			EXPECT_TRUE(isnan(k->sumsq_f32(b.data(), n)));
			EXPECT_TRUE(isnan(k->sumsq_f64(b.data(), n)));
			k->cosine_f32(a.data(), b.data(), n, out);
			EXPECT_TRUE(isnan(out[0]));
			EXPECT_EQ(out[1], kInfinity);
			EXPECT_TRUE(isnan(out[2]));
		}
}

TEST_P(KernelsTest, DenormalsAreNotFlushed)
{
	const std::vector<float> a(100, 1e-40f), zero(100, 0.0f), one(100, 1.0f);

	EXPECT_EQ(k->l2_f32(a.data(), zero.data(), 100), 0.0f);
	EXPECT_GT(k->l1_f32(a.data(), zero.data(), 100), 0.99e-38f);
	EXPECT_GT(k->dot_f32(a.data(), one.data(), 100), 0.99e-38f);
	EXPECT_EQ(k->sumsq_f32(a.data(), 100), 0.0f);
}

/* ---- integers ---- */

TEST_P(KernelsTest, IntegerDotIsExact)
{
	for (size_t n : lengths())
		for (size_t offset : offsets(n))
			for (int extreme = -1; extreme <= 1; extreme++)
			{
				std::vector<int8_t> a = random_i8(n, 6), b = random_i8(n, 7);
				int32_t expected = 0;

				if (extreme != 0)
				{
					std::fill(a.begin(), a.end(), int8_t{127});
					std::fill(b.begin(), b.end(), static_cast<int8_t>(127 * extreme));
				}
				for (size_t i = 0; i < n; i++)
					expected += a[i] * b[i];
				Unaligned<int8_t> p(a, offset), q(b, offset + 1);
				ASSERT_EQ(k->dot_i8(p.get(), q.get(), n), expected) << n << " " << offset;
				ASSERT_EQ(k->dot_i8(q.get(), p.get(), n), expected) << n << " " << offset;
			}
}

TEST_P(KernelsTest, IntegerDotOfMany)
{
	for (size_t n : {0, 1, 16, 31, 63, 64, 65, 100, 128, 257, 768, 1536})
		for (size_t count = 0; count <= 33; count++)
		{
			Unaligned<int8_t> a(random_i8(n, 8), 3);
			std::vector<Unaligned<int8_t>> rows;
			std::vector<const int8_t *> pointers;
			Unaligned<int32_t> out(std::vector<int32_t>(count), 1);

			for (size_t i = 0; i < count; i++)
				rows.emplace_back(random_i8(n, static_cast<uint32_t>(100 + i)), i % 5);
			for (Unaligned<int8_t> &row : rows)
				pointers.push_back(row.get());
			k->dot_i8_many(a.get(), pointers.data(), count, n, out.get());
			const std::vector<int32_t> actual = out.copy();
			for (size_t i = 0; i < count; i++)
				ASSERT_EQ(actual[i], k->dot_i8(a.get(), pointers[i], n)) << n << " " << i;
		}
}

/* ---- tiles ---- */

/* Rows of all int8 values, or all at one end of the range. */
std::vector<Unaligned<int8_t>>
tile_rows(size_t n, size_t dim, uint32_t seed, int extreme)
{
	std::vector<Unaligned<int8_t>> rows;

	for (size_t i = 0; i < n; i++)
	{
		std::vector<int8_t> row(dim);
		const std::vector<uint8_t> bytes = random_bytes(dim, seed + static_cast<uint32_t>(i));

		memcpy(row.data(), bytes.data(), dim);
		if (extreme != 0)
			std::fill(row.begin(), row.end(), static_cast<int8_t>(extreme));
		rows.emplace_back(row, (i + seed) % 5);
	}
	return rows;
}

std::vector<const int8_t *>
addresses(std::vector<Unaligned<int8_t>> &rows)
{
	std::vector<const int8_t *> out;

	for (Unaligned<int8_t> &row : rows)
		out.push_back(row.get());
	return out;
}

void
expect_tile(const OmendbKernels *k, size_t na, size_t n, size_t dim, int extreme_a, int extreme_b)
{
	const size_t columns = (n + 15) / 16 * 16, stride = columns + 3;
	std::vector<Unaligned<int8_t>> a_rows = tile_rows(na, dim, 1, extreme_a);
	std::vector<Unaligned<int8_t>> b_rows = tile_rows(n, dim, 1000, extreme_b);
	const std::vector<const int8_t *> a = addresses(a_rows), b = addresses(b_rows);
	Unaligned<uint8_t> tile(std::vector<uint8_t>(k->tile_bytes(n, dim), 0xAA), 1);
	Unaligned<int32_t> out(std::vector<int32_t>(na * stride, 77), 3);

	k->tile_pack(b.data(), n, dim, tile.get());
	k->tile_dots(a.data(), na, tile.get(), n, dim, out.get(), stride);
	const std::vector<int32_t> actual = out.copy();
	for (size_t i = 0; i < na; i++)
		for (size_t j = 0; j < stride; j++)
		{
			int32_t expected = 0;

			if (j >= columns)
				expected = 77;
			for (size_t d = 0; d < dim && j < columns; d++)
				expected += a[i][d] * b[j < n ? j : n - 1][d];
			ASSERT_EQ(actual[i * stride + j], expected)
				<< na << " x " << n << " dim " << dim << " at " << i << ", " << j;
		}
}

TEST_P(KernelsTest, TileDots)
{
	for (size_t dim : {16, 32, 48, 64, 112, 128, 240, 256, 272, 512, 528, 784, 1536})
		for (size_t n : {1, 15, 16, 17, 40, 64, 81, 129})
			for (size_t na : {0, 1, 5, 6, 7, 13})
				expect_tile(k, na, n, dim, 0, 0);
	for (size_t na : {47, 48, 49, 54, 97, 112})
		expect_tile(k, na, na, 272, 0, 0);
	expect_tile(k, 7, 33, 16384, 0, 0);
}

TEST_P(KernelsTest, TileDotsOfExtremes)
{
	for (int a : {-128, -127, 127, 1})
		for (int b : {-128, 127, -1})
			for (size_t dim : {16, 112, 1536, 16384})
				expect_tile(k, 7, 33, dim, a, b);
}

TEST_P(KernelsTest, TileOfNothing)
{
	EXPECT_EQ(k->tile_bytes(0, 128), 0u);
	k->tile_pack(nullptr, 0, 128, nullptr);
	k->tile_dots(nullptr, 0, nullptr, 0, 128, nullptr, 0);
	EXPECT_EQ(k->tile_near(nullptr, 0, nullptr, nullptr, 1, 1, 1, nullptr, nullptr), 0u);
}

/* A tile of the later groups of 16 rows is the end of the tile of all. */
TEST_P(KernelsTest, TileFromAGroupOn)
{
	std::vector<Unaligned<int8_t>> rows = tile_rows(70, 112, 5, 0);
	const std::vector<const int8_t *> b = addresses(rows);
	std::vector<uint8_t> tile(k->tile_bytes(70, 112));
	std::vector<int32_t> all(70 * 80), some(70 * 80);

	k->tile_pack(b.data(), 70, 112, tile.data());
	k->tile_dots(b.data(), 70, tile.data(), 70, 112, all.data(), 80);
	k->tile_dots(b.data(), 70, tile.data() + k->tile_bytes(32, 112), 70 - 32, 112, some.data(), 80);
	for (size_t i = 0; i < 70; i++)
		for (size_t j = 32; j < 70; j++)
			ASSERT_EQ(some[i * 80 + j - 32], all[i * 80 + j]);
}

TEST_P(KernelsTest, TileNear)
{
	std::mt19937 generator(18);

	for (size_t n = 1; n <= 300; n += n < 70 ? 1 : 23)
		for (float share : {0.0f, 0.1f, 0.5f, 1.0f})
		{
			const size_t room = (n + 15) / 16 * 16;
			std::vector<int32_t> dots(room);
			std::vector<float> scale(n), self(n), distances, all(n);
			std::vector<uint16_t> indexes;
			const float a_scale = 0.0173f, a_dot = 311.7f;

			for (int32_t &dot : dots)
				dot = static_cast<int32_t>(generator() % 530000000) - 265000000;
			for (size_t j = 0; j < n; j++)
			{
				scale[j] = 1e-4f * static_cast<float>(1 + generator() % 1000);
				self[j] = static_cast<float>(generator() % 100000) * 0.37f;
				const float factor = 2.0f * a_scale * scale[j];
				const float product = factor * static_cast<float>(dots[j]);
				all[j] = a_dot + self[j];
				all[j] -= product;
			}
			if (n > 10)
				self[7] = all[7] = kNan;
			std::vector<float> sorted = all;
			std::sort(sorted.begin(), sorted.end(),
					  [](float a, float b) { return a < b || (isnan(b) && !isnan(a)); });
			const size_t rank = static_cast<size_t>(share * static_cast<float>(n));
			const float bound = rank < n ? sorted[rank] : kInfinity;
			for (size_t j = 0; j < n; j++)
				if (all[j] < bound)
				{
					distances.push_back(all[j]);
					indexes.push_back(static_cast<uint16_t>(j));
				}
			Unaligned<int32_t> p(dots, 3);
			Unaligned<float> ps(scale, 1), pd(self, 2), found(std::vector<float>(room), 5);
			Unaligned<uint16_t> numbers(std::vector<uint16_t>(room), 1);
			const size_t count = k->tile_near(p.get(), n, ps.get(), pd.get(), a_scale, a_dot, bound,
											  found.get(), numbers.get());
			ASSERT_EQ(count, distances.size()) << n;
			const std::vector<float> all_found = found.copy();
			const std::vector<uint16_t> all_numbers = numbers.copy();
			for (size_t i = 0; i < count; i++)
			{
				ASSERT_EQ(bits_of(all_found[i]), bits_of(distances[i])) << n;
				ASSERT_EQ(all_numbers[i], indexes[i]) << n;
			}
		}
}

TEST_P(KernelsTest, TileMinima)
{
	std::mt19937 generator(19);

	for (size_t n = 0; n <= 600; n += n < 130 ? 1 : 29)
	{
		const size_t room = (n + 15) / 16 * 16 + 1;
		std::vector<int32_t> dots(room);
		std::vector<float> scale(room), self(room);
		std::vector<float> expected(64, 3.402823466e38f);
		const float a_scale = 0.0173f, a_dot = 311.7f;

		for (size_t j = 0; j < room; j++)
		{
			dots[j] = static_cast<int32_t>(generator() % 530000000) - 265000000;
			scale[j] = 1e-4f * static_cast<float>(1 + generator() % 1000);
			self[j] = static_cast<float>(generator() % 100000) * 0.37f;
		}
		for (size_t j = 0; j < n / 64 * 64; j++)
		{
			const float product = 2.0f * a_scale * scale[j] * static_cast<float>(dots[j]);
			float d = a_dot + self[j];
			d -= product;
			expected[j % 64] = std::min(expected[j % 64], d);
		}
		Unaligned<int32_t> p(dots, 3);
		Unaligned<float> ps(scale, 1), pd(self, 2), found(std::vector<float>(64), 5);
		k->tile_minima(p.get(), n, ps.get(), pd.get(), a_scale, a_dot, found.get());
		const std::vector<float> all_found = found.copy();
		for (size_t s = 0; s < 64; s++)
			ASSERT_EQ(bits_of(all_found[s]), bits_of(expected[s])) << n;
	}
}

/* ---- conversions ---- */

TEST_P(KernelsTest, AllHalves)
{
	std::vector<uint16_t> h(65536);
	std::vector<float> x(h.size());

	for (size_t i = 0; i < h.size(); i++)
		h[i] = static_cast<uint16_t>(i);
	k->f16_to_f32(h.data(), x.data(), h.size());
	for (size_t i = 0; i < h.size(); i++)
		ASSERT_EQ(bits_of(x[i]), bits_of(half_value(h[i]))) << i;

	std::vector<uint16_t> back(h.size());
	k->f32_to_f16(x.data(), back.data(), x.size());
	for (size_t i = 0; i < h.size(); i++)
		ASSERT_EQ(back[i], isnan(x[i]) ? h[i] | 0x200 : h[i]) << i;
}

TEST_P(KernelsTest, RoundingToHalf)
{
	std::vector<float> x;

	for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 4099)
		x.push_back(float_of(static_cast<uint32_t>(bits)));
	/* Each half, the middle to the next, and one float to either side. */
	for (uint32_t h = 0; h < 65536; h++)
		for (uint32_t near : {0u, 0xFFFu, 0x1000u, 0x1001u})
			x.push_back(float_of(bits_of(half_value(static_cast<uint16_t>(h))) + near));
	for (int32_t i = 0; i < 8192; i++)
		for (double middle : {-0.5, 0.0, 0.5})
			for (double nudge : {1 - 0x1p-24, 1.0, 1 + 0x1p-23})
				x.push_back(static_cast<float>((i + middle) * 0x1p-24 * nudge));
	std::vector<uint16_t> h(x.size());
	k->f32_to_f16(x.data(), h.data(), x.size());
	for (size_t i = 0; i < x.size(); i++)
		ASSERT_EQ(h[i], half_bits(x[i])) << x[i] << " " << bits_of(x[i]);
}

TEST_P(KernelsTest, ConversionsAtAllLengths)
{
	for (size_t n : lengths())
		for (size_t offset : offsets(n))
		{
			const std::vector<float> x = random_floats(n, 9);
			const std::vector<uint16_t> h = random_halves(n, 10);
			const std::vector<int8_t> c = random_i8(n, 11);
			Unaligned<float> px(x, offset), out(std::vector<float>(n), offset + 3);
			Unaligned<uint16_t> ph(h, offset + 1), halves(std::vector<uint16_t>(n), offset);
			Unaligned<int8_t> pc(c, offset + 1);

			k->f32_to_f16(px.get(), halves.get(), n);
			const std::vector<uint16_t> actual = halves.copy();
			for (size_t i = 0; i < n; i++)
				ASSERT_EQ(actual[i], half_bits(x[i]));
			k->f16_to_f32(ph.get(), out.get(), n);
			std::vector<float> floats = out.copy();
			for (size_t i = 0; i < n; i++)
				ASSERT_EQ(floats[i], half_value(h[i]));
			k->i8_to_f32(pc.get(), 0.37f, out.get(), n);
			floats = out.copy();
			for (size_t i = 0; i < n; i++)
				ASSERT_EQ(floats[i], 0.37f * static_cast<float>(c[i]));
		}
}

TEST_P(KernelsTest, QuantizeI8)
{
	for (size_t n : lengths())
	{
		std::vector<float> x = random_floats(n, 12, 60.0f);
		const float inverse = 0.75f;

		for (size_t i = 0; i < n; i += 3) /* ties */
			x[i] = (static_cast<float>(static_cast<int>(i % 300) - 150) + 0.5f) / inverse;
		if (n > 20)
		{
			x[2] = 1e30f;
			x[n - 1] = -kInfinity;
			x[5] = 1e-40f;
		}
		for (size_t offset : offsets(n))
		{
			Unaligned<float> p(x, offset);
			Unaligned<int8_t> codes(std::vector<int8_t>(n), offset + 1);
			int32_t sumsq = -1, expected = 0;

			k->quantize_i8(p.get(), inverse, codes.get(), n, &sumsq);
			const std::vector<int8_t> actual = codes.copy();
			for (size_t i = 0; i < n; i++)
			{
				const float rounded = nearbyintf(x[i] * inverse);
				const int code = static_cast<int>(std::clamp(rounded, -127.0f, 127.0f));

				ASSERT_EQ(actual[i], code) << i << " " << x[i];
				expected += code * code;
			}
			ASSERT_EQ(sumsq, expected);
		}
	}
}

/* ---- rotation ---- */

void
naive_hadamard(float *x, size_t n)
{
	for (size_t h = 1; h < n; h *= 2)
		for (size_t i = 0; i < n; i++)
			if ((i & h) == 0)
			{
				const float a = x[i], b = x[i + h];

				x[i] = a + b;
				x[i + h] = a - b;
			}
}

void
naive_rotate(float *x, size_t n, const uint8_t *signs)
{
	size_t power = 16, log = 4;

	for (; 2 * power <= n; power *= 2)
		log++;
	const float scale = static_cast<float>(pow(2.0, -0.5 * static_cast<double>(log)));
	for (size_t round = 0; round < 4; round++)
	{
		float *part = round % 2 == 0 ? x : x + n - power;

		for (size_t i = 0; i < n; i++)
			if ((signs[(round * n + i) / 8] >> ((round * n + i) % 8) & 1) != 0)
				x[i] = -x[i];
		for (size_t i = 0; i < power; i++)
			part[i] *= scale;
		naive_hadamard(part, power);
		for (size_t i = 0; power < n && i < n / 2; i++)
		{
			const float a = x[i], b = x[i + n / 2], factor = round == 3 ? 0.25f : 1.0f;

			x[i] = (a + b) * factor;
			x[i + n / 2] = (a - b) * factor;
		}
	}
}

TEST_P(KernelsTest, RotationEqualsTheReference)
{
	for (size_t n : {16,  32,  48,  64,   96,   112,  128,  144,  240,   256,  304,
					 512, 768, 784, 1024, 1536, 2000, 4096, 8192, 16000, 16384})
		for (size_t offset : {0, 4, 7})
		{
			const uint32_t seed = static_cast<uint32_t>(n);
			std::vector<float> x = random_floats(n, seed);
			Unaligned<uint8_t> signs(random_bytes(n / 2, seed + 1), offset);

			x[n / 3] = 1e-41f;
			x[n / 2] = 1e15f;
			Unaligned<float> p(x, offset);
			k->rotate(p.get(), n, signs.get());
			naive_rotate(x.data(), n, signs.get());
			const std::vector<float> actual = p.copy();
			ASSERT_EQ(memcmp(actual.data(), x.data(), n * sizeof(float)), 0) << n;
		}
}

TEST_P(KernelsTest, RotationIsOrthogonal)
{
	for (size_t n : {16, 32, 48, 112, 128, 784, 1536, 2000, 8192, 16384})
	{
		const uint32_t seed = static_cast<uint32_t>(n);
		const std::vector<uint8_t> signs = random_bytes(n / 2, seed);
		std::vector<float> x = random_floats(n, seed + 1), y = random_floats(n, seed + 2);
		double before[3] = {0, 0, 0}, after[3] = {0, 0, 0};

		for (double *sums : {before, after})
		{
			for (size_t i = 0; i < n; i++)
			{
				sums[0] += static_cast<double>(x[i]) * x[i];
				sums[1] += static_cast<double>(y[i]) * y[i];
				sums[2] += static_cast<double>(x[i]) * y[i];
			}
			k->rotate(x.data(), n, signs.data());
			k->rotate(y.data(), n, signs.data());
		}
		EXPECT_NEAR(after[0] / before[0], 1.0, 1e-6) << n;
		EXPECT_NEAR(after[1] / before[1], 1.0, 1e-6) << n;
		EXPECT_NEAR(after[2], before[2], 1e-6 * sqrt(before[0] * before[1])) << n;
	}
}

/* ---- encoding ---- */

/* 16 virtual lanes and their reduction, as kernels.h defines them. */
struct Lanes
{
	float lane[16] = {0};

	void
	add(size_t i, float term)
	{
		lane[i % 16] += term;
	}

	float
	sum()
	{
		for (size_t half = 8; half > 0; half /= 2)
			for (size_t i = 0; i < half; i++)
				lane[i] += lane[i + half];
		return lane[0];
	}
};

struct Encoded
{
	std::vector<uint8_t> planes;
	OmendbResidualSums sums;
};

Encoded
naive_encode(const std::vector<float> &o, const std::vector<float> &c, size_t code_n, uint32_t bits)
{
	static const float kSteps[5] = {0, 0, 0.996f, 0.586f, 0.335f};
	const size_t n = o.size();
	Encoded out = {std::vector<uint8_t>(bits * code_n / 8), {0, 0, 0}};
	Lanes n2, z_dot_r, z_dot_c;

	for (size_t i = 0; i < n; i++)
	{
		const float r = o[i] - c[i];

		n2.add(i, r * r);
	}
	out.sums.n2 = n2.sum();
	const float step = kSteps[bits] * sqrtf(out.sums.n2) / sqrtf(static_cast<float>(n));
	const float inverse = 1.0f / step;
	for (size_t i = 0; i < code_n; i++)
	{
		const float r = o[i] - c[i];
		const float half = static_cast<float>(1 << (bits - 1));
		float u;

		if (bits == 1)
			u = r >= 0 ? 1 : 0;
		else if (!(inverse > 0 && isfinite(inverse)))
			u = half;
		else
			u = std::clamp(floorf(r * inverse) + half, 0.0f, 2 * half - 1);
		const float z = u - (2 * half - 1) / 2;
		z_dot_r.add(i, z * r);
		z_dot_c.add(i, z * c[i]);
		for (uint32_t b = 0; b < bits; b++)
			if ((static_cast<uint32_t>(u) >> b & 1) != 0)
				out.planes[b * code_n / 8 + i / 8] |= static_cast<uint8_t>(1 << i % 8);
	}
	out.sums.z_dot_r = z_dot_r.sum();
	out.sums.z_dot_c = z_dot_c.sum();
	return out;
}

bool
same_bits(float a, float b)
{
	return bits_of(a) == bits_of(b) || (isnan(a) && isnan(b));
}

void
expect_encoding(const OmendbKernels *k, const std::vector<float> &o, const std::vector<float> &c,
				size_t code_n, const std::string &what)
{
	for (uint32_t bits = 1; bits <= 4; bits++)
		for (size_t offset : {0, 1, 4})
		{
			const Encoded expected = naive_encode(o, c, code_n, bits);
			Unaligned<float> po(o, offset), pc(c, offset + 2);
			Unaligned<uint8_t> planes(std::vector<uint8_t>(bits * code_n / 8, 0xAA), offset);
			OmendbResidualSums sums = {-1, -1, -1};

			k->encode_residual(po.get(), pc.get(), o.size(), code_n, bits, planes.get(), &sums);
			const std::string at = what + " n=" + std::to_string(o.size()) +
								   " code_n=" + std::to_string(code_n) +
								   " bits=" + std::to_string(bits);
			EXPECT_EQ(planes.copy(), expected.planes) << at;
			EXPECT_TRUE(same_bits(sums.n2, expected.sums.n2)) << at;
			EXPECT_TRUE(same_bits(sums.z_dot_r, expected.sums.z_dot_r)) << at;
			EXPECT_TRUE(same_bits(sums.z_dot_c, expected.sums.z_dot_c)) << at;
		}
}

TEST_P(KernelsTest, EncodingEqualsTheReference)
{
	for (size_t n : {16, 32, 48, 112, 128, 256, 784, 1536, 2000})
		for (size_t code_n : {n, n / 32 * 16 + 16, size_t{16}})
		{
			const uint32_t seed = static_cast<uint32_t>(n);
			const std::vector<float> c = random_floats(n, seed + 1);

			for (float scale : {1.0f, 1e-3f, 1e18f})
			{
				std::vector<float> o = random_floats(n, seed, scale);

				for (size_t i = 0; i < n; i++)
					o[i] += c[i];
				expect_encoding(k, o, c, code_n, "random");
			}
		}
}

TEST_P(KernelsTest, EncodingOfExtremes)
{
	const std::vector<float> c = random_floats(128, 13);
	const std::vector<float> zero(128, 0.0f), tiny(128, -1e-40f), small(128, 1e-21f);
	std::vector<float> mixed = random_floats(128, 14, 1e17f), broken = c, negative_zero(128, -0.0f);
	OmendbResidualSums sums;
	uint8_t planes[64];

	mixed[3] = 3e18f;
	broken[5] = kInfinity;
	broken[77] = kNan;
	expect_encoding(k, c, c, 128, "r = 0");
	expect_encoding(k, negative_zero, zero, 128, "r = -0");
	expect_encoding(k, tiny, zero, 128, "denormal r");
	expect_encoding(k, small, zero, 128, "denormal n2");
	expect_encoding(k, mixed, c, 128, "huge");
	expect_encoding(k, broken, c, 128, "not finite");
	expect_encoding(k, std::vector<float>(128, 3e38f), c, 128, "overflow of n2");

	for (uint32_t bits = 1; bits <= 4; bits++)
	{
		k->encode_residual(mixed.data(), c.data(), 128, 128, bits, planes, &sums);
		EXPECT_TRUE(isfinite(sums.n2) && isfinite(sums.z_dot_r) && isfinite(sums.z_dot_c));
		EXPECT_GT(sums.z_dot_r, 0.0f);
	}
}

/* Rows in every form against one centre: what encode_residual() makes of them as floats. */
TEST_P(KernelsTest, EncodingOfRows)
{
	constexpr size_t kRows = 5;

	for (size_t n : {16, 48, 112, 128, 784})
		for (size_t code_n : {n, n / 32 * 16 + 16})
			for (uint32_t bits = 1; bits <= 4; bits++)
				for (OmendbElement element : {OMENDB_FLOAT32, OMENDB_FLOAT16, OMENDB_INT8})
				{
					const size_t bytes = bits * code_n / 8, stride = bytes + 3;
					const std::vector<float> c = random_floats(n, 3);
					const std::vector<float> scales = random_floats(kRows, 4, 0.01f, 0.05f);
					std::vector<Unaligned<char>> memory;
					std::vector<const void *> rows;
					std::vector<float> o(n);
					std::vector<uint8_t> planes(kRows * stride, 0xAA), expected = planes;
					OmendbResidualSums sums[kRows];

					for (size_t i = 0; i < kRows; i++)
					{
						const uint32_t seed = static_cast<uint32_t>(10 + i);
						const std::vector<float> x = random_floats(n, seed);
						const std::vector<int8_t> b = random_i8(n, seed);
						const std::vector<uint16_t> h = random_halves(n, seed);
						const char *from = element == OMENDB_INT8      ? (const char *) b.data()
										   : element == OMENDB_FLOAT16 ? (const char *) h.data()
																	   : (const char *) x.data();
						const size_t size = element == OMENDB_INT8      ? 1
											: element == OMENDB_FLOAT16 ? 2
																		: 4;

						memory.emplace_back(std::vector<char>(from, from + n * size), 2 * i + 1);
						for (size_t j = 0; j < n; j++)
							o[j] = element == OMENDB_INT8 ? scales[i] * static_cast<float>(b[j])
								   : element == OMENDB_FLOAT16 ? half_value(h[j])
															   : x[j];
						k->encode_residual(o.data(), c.data(), n, code_n, bits,
										   expected.data() + i * stride, &sums[i]);
					}
					for (Unaligned<char> &row : memory)
						rows.push_back(row.get());

					OmendbResidualSums actual[kRows];

					k->encode_rows(element, rows.data(), scales.data(), kRows, c.data(), n, code_n,
								   bits, planes.data(), stride, actual);
					ASSERT_EQ(planes, expected) << n << " " << code_n << " " << bits;
					ASSERT_EQ(memcmp(actual, sums, sizeof(sums)), 0);
				}
}

/* The cosine between r and z is what the theory says for Gaussian r. */
TEST_P(KernelsTest, EncodingQuality)
{
	static const double kCosine[5] = {0, 0.798, 0.939, 0.981, 0.994};
	const size_t n = 16000;
	const std::vector<float> o = random_floats(n, 15), c(n, 0.0f);

	for (uint32_t bits = 1; bits <= 4; bits++)
	{
		std::vector<uint8_t> planes(bits * n / 8);
		OmendbResidualSums sums;
		double z2 = 0;

		k->encode_residual(o.data(), c.data(), n, n, bits, planes.data(), &sums);
		for (size_t i = 0; i < n; i++)
		{
			double z = -0.5 * ((1 << bits) - 1);

			for (uint32_t b = 0; b < bits; b++)
				z += (planes[b * n / 8 + i / 8] >> (i % 8) & 1) << b;
			z2 += z * z;
		}
		EXPECT_NEAR(sums.z_dot_r / sqrt(z2 * sums.n2), kCosine[bits], 0.005) << bits;
	}
}

/* ---- FastScan ---- */

uint32_t
nibble_of(const uint8_t *codes, size_t column, size_t lane)
{
	const size_t t = lane % 16, p = t < 8 ? 2 * t : 2 * (t - 8) + 1;

	return lane < 16 ? codes[16 * column + p] & 15u : codes[16 * column + p] >> 4;
}

/* What a block holds for a lane, in the form of its planes. */
std::vector<uint8_t>
planes_of(const uint8_t *codes, size_t lane, size_t bytes)
{
	std::vector<uint8_t> planes(bytes);

	for (size_t i = 0; i < bytes; i++)
		planes[i] = static_cast<uint8_t>(nibble_of(codes, 2 * i, lane) |
										 nibble_of(codes, 2 * i + 1, lane) << 4);
	return planes;
}

TEST_P(KernelsTest, LanesOfABlock)
{
	for (size_t bytes : {2, 4, 6, 8, 10, 14, 16, 18, 28, 48, 98, 192, 256})
	{
		const size_t stride = (bytes + 7) / 8 * 8 + 8;
		const uint32_t seed = static_cast<uint32_t>(bytes);
		Unaligned<uint8_t> planes(random_bytes(32 * stride, seed), 1);
		Unaligned<uint8_t> all(std::vector<uint8_t>(32 * bytes + 9, 0xCC), 3);
		Unaligned<uint8_t> singly(random_bytes(32 * bytes + 9, seed + 1), 5);
		const std::vector<uint8_t> before = singly.copy();

		k->pack_lanes(planes.get(), stride, bytes, all.get());
		for (size_t i = 0; i < 32; i++)
		{
			const size_t lane = i * 7 % 32;

			k->put_lane(singly.get(), static_cast<uint32_t>(lane), planes.get() + lane * stride,
						bytes);
			/* The others are as they were. */
			for (size_t other = 0; other < 32; other++)
			{
				const bool written = other * 23 % 32 <= i;
				const uint8_t *from = planes.get() + other * stride;
				const std::vector<uint8_t> expected = written
														  ? std::vector<uint8_t>(from, from + bytes)
														  : planes_of(before.data(), other, bytes);

				ASSERT_EQ(planes_of(singly.get(), other, bytes), expected) << bytes << " " << lane;
			}
		}
		for (size_t i = 0; i < 32 * bytes + 9; i++)
		{
			ASSERT_EQ(all.get()[i], i < 32 * bytes ? singly.get()[i] : 0xCC);
			ASSERT_TRUE(i < 32 * bytes || singly.get()[i] == before[i]);
		}
	}
}

std::vector<uint32_t>
naive_fastscan(const uint8_t *codes, const uint8_t *table, size_t columns)
{
	std::vector<uint32_t> sums(32);

	for (size_t m = 0; m < columns; m++)
		for (size_t s = 0; s < 32; s++)
			sums[s] += table[16 * m + nibble_of(codes, m, s)];
	return sums;
}

TEST_P(KernelsTest, FastScan)
{
	for (size_t columns : {0,   4,   8,   12,  32,  124,  128,  192,  252,  256,
						   260, 264, 384, 512, 516, 1000, 1024, 1028, 2048, 4096})
		for (int kind = 0; kind < 3; kind++)
		{
			const uint32_t seed = static_cast<uint32_t>(columns);
			std::vector<uint8_t> codes = random_bytes(16 * columns, seed);
			std::vector<uint8_t> table = random_bytes(16 * columns, seed + 1);

			if (kind == 1)
				std::fill(table.begin(), table.end(), uint8_t{255});
			for (size_t i = 0; kind == 2 && i < codes.size(); i++)
			{
				/* Only the odd (even) bytes look up 255: the halves must not mix. */
				codes[i] = static_cast<uint8_t>(i % 2 == seed / 4 % 2 ? 0xFF : 0);
				table[i] = static_cast<uint8_t>(i % 16 == 15 ? 255 : 0);
			}
			Unaligned<uint8_t> p(codes, 1), q(table, 3);
			Unaligned<uint32_t> sums(std::vector<uint32_t>(32, 77), 5);
			k->fastscan(p.get(), q.get(), columns, sums.get());
			ASSERT_EQ(sums.copy(), naive_fastscan(p.get(), q.get(), columns)) << columns;
		}
}

uint16_t
bf16_of(float x)
{
	return static_cast<uint16_t>(bits_of(x) >> 16);
}

struct Block
{
	uint32_t planes, columns;
	bool two_tables, wide;
	std::vector<uint8_t> codes, high, low;
	std::vector<float> add, mul;
	OmendbScanTable table;
	float center;
};

Block
random_block(uint32_t planes, uint32_t columns, bool two_tables, bool wide)
{
	const size_t bytes = 16 * columns;
	Block b = {planes,
			   columns,
			   two_tables,
			   wide,
			   random_bytes(planes * bytes, planes + columns),
			   random_bytes(bytes, columns + 1),
			   random_bytes(bytes, columns + 2),
			   random_floats(32, columns + 3, 1.0f, 5.0f),
			   random_floats(32, columns + 4, 0.01f, 0.1f),
			   {},
			   2.5f};

	for (size_t i = 3; i < 32; i += 7)
	{
		b.add[i] = kInfinity;
		b.mul[i] = 0.0f;
	}
	for (size_t i = 0; i < 32 && !wide; i++)
	{
		b.add[i] = float_of(static_cast<uint32_t>(bf16_of(b.add[i])) << 16);
		b.mul[i] = float_of(static_cast<uint32_t>(bf16_of(b.mul[i])) << 16);
	}
	b.table.high = b.high.data();
	b.table.low = two_tables ? b.low.data() : nullptr;
	b.table.columns = columns;
	b.table.planes = planes;
	b.table.step = two_tables ? 0.01f / 256 : 0.01f;
	b.table.offset = 0.01f * 127.5f * static_cast<float>(columns);
	return b;
}

struct Estimate
{
	double value, tolerance;
};

std::vector<Estimate>
naive_estimates(const Block &b)
{
	std::vector<Estimate> out(32);
	std::vector<double> t(32), size(32);

	for (uint32_t plane = 0; plane < b.planes; plane++)
	{
		const uint8_t *codes = b.codes.data() + plane * 16 * b.columns;
		const std::vector<uint32_t> high = naive_fastscan(codes, b.high.data(), b.columns);
		const std::vector<uint32_t> low = naive_fastscan(codes, b.low.data(), b.columns);

		for (size_t i = 0; i < 32; i++)
		{
			const double sum = b.two_tables ? 256.0 * high[i] + low[i] : high[i];

			t[i] += ldexp(b.table.step * sum - b.table.offset, static_cast<int>(plane) - 1);
			size[i] += ldexp(b.table.step * sum + b.table.offset, static_cast<int>(plane) - 1);
		}
	}
	for (size_t i = 0; i < 32; i++)
	{
		out[i].value = b.center + static_cast<double>(b.add[i]) - b.mul[i] * t[i];
		out[i].tolerance = 8 * kUnit * (fabs(b.center) + fabs(b.add[i]) + fabs(b.mul[i]) * size[i]);
	}
	return out;
}

void
expect_block(const OmendbKernels *k, const Block &b, float bound)
{
	const std::vector<Estimate> expected = naive_estimates(b);
	std::vector<uint16_t> add16(32), mul16(32);
	Unaligned<float> est(std::vector<float>(32), 1);

	for (size_t i = 0; i < 32; i++)
	{
		add16[i] = bf16_of(b.add[i]);
		mul16[i] = bf16_of(b.mul[i]);
	}
	Unaligned<uint8_t> codes(b.codes, 1);
	Unaligned<uint16_t> add_narrow(add16, 1), mul_narrow(mul16, 3);
	Unaligned<float> add_wide(b.add, 5), mul_wide(b.mul, 2);
	const void *add = b.wide ? static_cast<void *>(add_wide.get()) : add_narrow.get();
	const void *mul = b.wide ? static_cast<void *>(mul_wide.get()) : mul_narrow.get();
	const uint32_t mask =
		k->scan_block(&b.table, codes.get(), add, mul, b.wide, b.center, bound, est.get());
	const std::vector<float> actual = est.copy();

	for (size_t i = 0; i < 32; i++)
	{
		ASSERT_EQ((mask >> i & 1) != 0, actual[i] < bound) << i;
		if (isinf(b.add[i]))
		{
			ASSERT_EQ(actual[i], kInfinity);
			ASSERT_EQ(mask >> i & 1, 0u);
		}
		else
			ASSERT_NEAR(actual[i], expected[i].value, expected[i].tolerance)
				<< "lane " << i << " planes " << b.planes << " columns " << b.columns;
	}
}

TEST_P(KernelsTest, ScanBlock)
{
	for (uint32_t planes = 1; planes <= 4; planes++)
		for (uint32_t columns : {4, 32, 192, 256, 260, 384, 1024, 4096})
			for (bool two_tables : {false, true})
				for (bool wide : {false, true})
				{
					const Block b = random_block(planes, columns, two_tables, wide);

					for (float bound : {kInfinity, 7.0f, 8.0f, -1e9f})
						expect_block(k, b, bound);
				}
}

TEST_P(KernelsTest, ScanBlockOfFullTables)
{
	for (uint32_t columns : {32, 1024, 4096})
		for (bool two_tables : {false, true})
		{
			Block b = random_block(4, columns, two_tables, true);

			std::fill(b.high.begin(), b.high.end(), uint8_t{255});
			std::fill(b.low.begin(), b.low.end(), uint8_t{255});
			expect_block(k, b, 8.0f);
		}
}

/* ---- tables ---- */

void
expect_table(const OmendbKernels *k, const std::vector<float> &q, bool wide)
{
	const size_t columns = q.size() / 4;
	Unaligned<float> p(q, 7);
	Unaligned<uint8_t> high(std::vector<uint8_t>(16 * columns), 1),
		low(std::vector<uint8_t>(wide ? 16 * columns : 0), 3);
	float step = -1, offset = -1;
	double size = 0;
	std::mt19937 generator(16);

	k->build_table(p.get(), columns, high.get(), wide ? low.get() : nullptr, &step, &offset);
	for (float value : q)
		size += fabs(value);
	EXPECT_NEAR(offset, size, (static_cast<double>(q.size()) / 16 + 8) * kUnit * size);

	for (int repeat = 0; repeat < 50; repeat++)
	{
		double sum = 0, exact = 0;

		for (size_t m = 0; m < columns; m++)
		{
			const uint32_t pattern = generator() % 16;

			sum += wide ? 256.0 * high.get()[16 * m + pattern] + low.get()[16 * m + pattern]
						: high.get()[16 * m + pattern];
			for (size_t j = 0; j < 4; j++)
				exact +=
					(pattern >> j & 1) != 0 ? q[4 * m + j] : -static_cast<double>(q[4 * m + j]);
		}
		/* Half a step a column, and the rounding of floats. */
		const double bound = 0.5 * step * static_cast<double>(columns) +
							 (static_cast<double>(q.size()) / 16 + 16) * kUnit * size;
		ASSERT_LE(fabs(step * sum - offset - exact), bound) << columns << " wide " << wide;
	}
}

TEST_P(KernelsTest, BuildTable)
{
	for (size_t columns : {4, 8, 12, 32, 192, 384, 1024, 4096})
		for (bool wide : {false, true})
			for (float scale : {1.0f, 1e-12f, 1e12f})
			{
				std::vector<float> q = random_floats(4 * columns, 17, scale);

				expect_table(k, q, wide);
				q[5] *= 1000; /* one column decides the step */
				expect_table(k, q, wide);
			}
}

/* Columns that are zero, or whose size leaves the range of floats. */
TEST_P(KernelsTest, TableOfNothing)
{
	for (float value : {0.0f, -0.0f, 1e-44f, 3e38f})
	{
		const std::vector<float> q(64, value);
		std::vector<uint8_t> high(256, 1), low(256, 1);
		float step = -1, offset = -1;

		k->build_table(q.data(), 16, high.data(), low.data(), &step, &offset);
		EXPECT_EQ(step, 0.0f);
		EXPECT_EQ(offset, 0.0f);
		EXPECT_EQ(high, std::vector<uint8_t>(256, 0));
		EXPECT_EQ(low, std::vector<uint8_t>(256, 0));
	}
}

/* The range of an entry: the largest column reaches both 0 and the limit. */
TEST_P(KernelsTest, TableUsesItsRange)
{
	const std::vector<float> q = {1, 2, -3, 4, 0.5f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	uint8_t high[64], low[64];
	float step, offset;

	k->build_table(q.data(), 4, high, nullptr, &step, &offset);
	EXPECT_EQ(high[0b1011], 255);
	EXPECT_EQ(high[0b0100], 0);
	k->build_table(q.data(), 4, high, low, &step, &offset);
	EXPECT_EQ(256 * high[0b1011] + low[0b1011], 65535);
	EXPECT_EQ(256 * high[0b0100] + low[0b0100], 0);
	EXPECT_EQ(offset, 10.5f);
}

} // namespace
