/*
 * space_test.cpp - how vectors enter the space and are stored; golden values
 * of everything that ends on disk.
 */
#include <gtest/gtest.h>

#include "fixture.hpp"

namespace omendb::quant::test
{

TEST(Space, Sizes)
{
	EXPECT_EQ(padded_dim(Metric::L2, 1), 16u);
	EXPECT_EQ(padded_dim(Metric::L2, 16), 16u);
	EXPECT_EQ(padded_dim(Metric::Cosine, 17), 32u);
	EXPECT_EQ(padded_dim(Metric::InnerProduct, 15), 16u);
	EXPECT_EQ(padded_dim(Metric::InnerProduct, 16), 32u);
	EXPECT_EQ(padded_dim(Metric::InnerProduct, OMENDB_VECTOR_MAX_DIM), 16016u);
	EXPECT_EQ(stored_bytes(Storage::Int8, 128), 128u);
	EXPECT_EQ(stored_bytes(Storage::Half, 128), 256u);
	EXPECT_EQ(stored_bytes(Storage::Full, 128), 512u);
	EXPECT_EQ(block_bytes(128, 1), 128u + 512u);
	EXPECT_EQ(block_bytes(128, 2), 128u + 1024u);
	EXPECT_EQ(block_bytes(64, 3), 256u + 768u);
	EXPECT_EQ(sizeof(LaneCode::planes), OMENDB_MAX_CODE_BITS * 16384u / 8);
}

/* On disk only the seed is kept: a change here orphans every index. */
TEST(Golden, Signs)
{
	Bytes signs(64);

	make_signs(1, 128, signs.data());
	EXPECT_EQ(hash_bytes(signs.data(), signs.size()), 0x8BF79A92D17AAA74u);
	/* splitmix64's first output for seed 1, LSB first. */
	const uint8_t first[] = {0xC1, 0x5C, 0x02, 0x89, 0xEC, 0x2D, 0x0A, 0x91};
	EXPECT_EQ(memcmp(signs.data(), first, 8), 0) << std::hex << (int) signs[0];
}

/* A change here makes rows stored before and after incomparable: format version. */
TEST(Golden, StoredBytes)
{
	for (const OmendbKernels *kernels : tables())
	{
		SCOPED_TRACE(kernels->name);

		struct
		{
			uint32_t n;
			uint64_t rotated, int8, half, code[4];
		} const golden[] = {
			{100,
			 0xC0C7CE0175C9A6F5u,
			 0x7151FF8E999E0DF8u,
			 0x425AF3F3D921AF19u,
			 {0x96A1D3A4048ACE8Eu, 0x7C2F2A316655E27Fu, 0x11A2F781AE74049Cu, 0xE409FA86063E6AAFu}},
			{128,
			 0x75F6E789C2E0663Fu,
			 0xB2E5B3F46C5F6EA4u,
			 0x56640CBB72B8F6C8u,
			 {0x35C0684D01831236u, 0x2E9250118C2CD39Au, 0x5EC9523EA9DD7D25u, 0xEBD951355A64A9D2u}},
		};

		for (const auto &expected : golden)
		{
			SCOPED_TRACE(expected.n);
			Vector x = fixed_vector(expected.n, 11);
			Vector c = fixed_vector(expected.n, 12);
			OwnedSpace owned(Metric::L2, Storage::Int8, fixed_vector(expected.n, 13));
			Space &space = owned.space;
			Vector t(space.dim);
			Vector tc(space.dim);
			float excess;

			space.kernels = kernels;
			transform_row(space, x.data(), t.data(), &excess);
			transform_row(space, c.data(), tc.data(), &excess);
			EXPECT_EQ(hash_bytes(t.data(), t.size() * 4), expected.rotated);

			StoredRow row = store_row(space, x);
			row.bytes.insert(row.bytes.end(), (uint8_t *) &row.meta, (uint8_t *) (&row.meta + 1));
			EXPECT_EQ(hash_bytes(row.bytes.data(), row.bytes.size()), expected.int8);
			space.storage = Storage::Half;
			row = store_row(space, x);
			row.bytes.insert(row.bytes.end(), (uint8_t *) &row.meta, (uint8_t *) (&row.meta + 1));
			EXPECT_EQ(hash_bytes(row.bytes.data(), row.bytes.size()), expected.half);
			for (uint32_t bits = 1; bits <= 4; bits++)
			{
				LaneCode code;

				space.code_bits = bits;
				Bytes block(block_bytes(space.code_dim, bits));
				clear_block(space, block.data());
				encode_lane(space, t.data(), tc.data(), &code);
				write_lane(space, block.data(), 17, code);
				EXPECT_EQ(hash_bytes(block.data(), block.size()), expected.code[bits - 1]) << bits;
			}
		}
	}
}

TEST(Space, TransformKeepsDistances)
{
	std::mt19937_64 random(20);

	for (size_t n : {1, 3, 16, 100, 128, 784, 1536})
		for (Metric metric : {Metric::L2, Metric::Cosine, Metric::InnerProduct})
		{
			OwnedSpace owned(metric, Storage::Full, gaussian(random, n, 0.2));
			Vector x = gaussian(random, n);
			Vector q = gaussian(random, n);

			owned.space.radius = 2 * std::sqrt((float) n) + 2;
			StoredRow row = store_row(owned.space, x);
			PreparedQuery prepared(owned.space, q);
			const Query &query = prepared.query;
			double d2 = query_distance(owned.space, query, row.bytes.data(), row.meta.scale);
			double exact = naive_value(metric, q, x);

			if (metric == Metric::L2)
			{
				EXPECT_NEAR(std::sqrt(d2), exact, 1e-4 * (1 + exact));
			}
			else if (metric == Metric::Cosine)
			{
				EXPECT_NEAR(d2 / 2, exact, 1e-5);
			}
			else
			{
				double dot = (query.self_dot + row.meta.self_dot - d2) / 2 / query.factor;
				EXPECT_NEAR(-dot - query.mean_dot, exact, 1e-4 * norm_of(q) * norm_of(x));
				EXPECT_NEAR(query.norm, owned.space.radius, 1e-4 * owned.space.radius);
				EXPECT_NEAR(std::sqrt(row.meta.self_dot), owned.space.radius,
							1e-4 * owned.space.radius);
			}
		}
}

TEST(Space, InnerProductWorksWithoutARadius)
{
	for (float radius : {0.0f, -1.0f, (float) NAN, (float) INFINITY, 1e-40f})
	{
		OwnedSpace owned(Metric::InnerProduct, Storage::Full, Vector(8, 0.0f));
		Vector x(8, 0.25f);

		owned.space.radius = radius;
		StoredRow row = store_row(owned.space, x);
		PreparedQuery prepared(owned.space, x);
		float d2 = query_distance(owned.space, prepared.query, row.bytes.data(), row.meta.scale);
		Interval interval = operator_interval(owned.space, prepared.query, d2, row.meta);

		EXPECT_LE(interval.low, -0.5);
		EXPECT_GE(interval.high, -0.5);
		EXPECT_TRUE(std::isfinite(row.meta.residual));
	}
}

namespace
{

double
true_residual(const Space &space, const Vector &t, const StoredRow &row)
{
	Vector back(space.dim);
	double sum = 0;

	load_vector(space, row.bytes.data(), row.meta.scale, back.data());
	for (size_t i = 0; i < t.size(); i++)
		sum += std::pow((double) t[i] - back[i], 2);
	return std::sqrt(sum);
}

} // namespace

TEST(Space, ResidualIsWhatStorageLost)
{
	std::mt19937_64 random(21);
	const double relative[] = {0.012, 0.0006, 0};

	for (size_t n : {1, 16, 100, 128, 300, 784})
		for (int s = 0; s < 3; s++)
		{
			OwnedSpace owned(Metric::L2, (Storage) (s + 1), gaussian(random, n, 0.2));
			Vector x = gaussian(random, n);
			Vector t(owned.space.dim);
			float excess;

			transform_row(owned.space, x.data(), t.data(), &excess);
			EXPECT_EQ(excess, 0.0f);
			StoredRow row = store_row(owned.space, x);
			double residual = true_residual(owned.space, t, row);

			/* load_vector rounds scale * c, the residual does not: within the bounds' slack. */
			double decode = 0x1p-24 * norm_of(t);

			EXPECT_LE(residual, row.meta.residual + decode);
			EXPECT_LE(row.meta.residual, residual * (1 + 1e-6) + decode);
			EXPECT_LE(residual, relative[s] * norm_of(t));
		}
}

/* Huge, tiny and mixed values: what is stored stays finite. */
TEST(Space, StoredIsFinite)
{
	std::mt19937_64 random(22);
	std::uniform_real_distribution<double> exponent(-46, 38);

	for (size_t i = 0; i < trials(20000); i++)
	{
		size_t n = 1 + random() % 20;
		Metric metric = (Metric) (1 + random() % 3);
		Vector x = gaussian(random, n);
		Vector mean = gaussian(random, n);
		double x_scale = std::pow(10, exponent(random));
		double mean_scale = std::pow(10, exponent(random));

		for (size_t j = 0; j < n; j++)
		{
			x[j] = (float) std::max(-3.4e38, std::min(3.4e38, x[j] * x_scale));
			mean[j] = (float) std::max(-3.4e38, std::min(3.4e38, mean[j] * mean_scale));
		}

		OwnedSpace owned(metric, (Storage) (1 + random() % 3), mean, 1 + random() % 4);
		owned.space.radius = (float) std::min(3e38, std::pow(10, exponent(random)));
		StoredRow row = store_row(owned.space, x);
		PreparedQuery prepared(owned.space, x);
		Vector back(owned.space.dim);

		for (uint32_t j = 0; j < owned.space.dim; j++)
			ASSERT_TRUE(std::isfinite(prepared.query.vector[j]));
		ASSERT_TRUE(std::isfinite(prepared.query.table.step));
		ASSERT_TRUE(std::isfinite(prepared.query.table.offset));
		ASSERT_TRUE(std::isfinite(prepared.query.norm));
		if (!row.indexed)
			continue;
		load_vector(owned.space, row.bytes.data(), row.meta.scale, back.data());
		for (float value : back)
			ASSERT_TRUE(std::isfinite(value));
		ASSERT_TRUE(std::isfinite(row.meta.scale) && std::isfinite(row.meta.self_dot));
		ASSERT_FALSE(std::isnan(row.meta.residual));
		ASSERT_TRUE(std::isfinite(
			stored_distance(owned.space, row.bytes.data(), row.meta, row.bytes.data(), row.meta)));
	}
}

TEST(Space, RowsBeyondTheLimitsSaySo)
{
	OwnedSpace huge(Metric::L2, Storage::Int8, Vector(4, 0.0f));
	StoredRow row = store_row(huge.space, Vector(4, 3e20f));
	EXPECT_GE(row.meta.residual, 5.9e20f);
	EXPECT_LE(row.meta.residual, 6.1e20f);
	row = store_row(huge.space, Vector(4, 3.4e38f));
	EXPECT_EQ(row.meta.residual, INFINITY);

	OwnedSpace cosine(Metric::Cosine, Storage::Int8, Vector(4, 0.0f));
	EXPECT_LT(store_row(cosine.space, Vector(4, 3e17f)).meta.residual, 0.02f);
	EXPECT_EQ(store_row(cosine.space, Vector(4, 3e18f)).meta.residual, INFINITY);
	EXPECT_EQ(store_row(cosine.space, Vector(4, 3e-20f)).meta.residual, INFINITY);
	EXPECT_FALSE(store_row(cosine.space, Vector(4, 0.0f)).indexed);
}

TEST(Space, StoredDistanceMatchesTheDecodedVectors)
{
	std::mt19937_64 random(23);

	for (int s = 0; s < 3; s++)
		for (size_t n : {16, 100, 300, 784})
			for (const OmendbKernels *kernels : tables())
			{
				OwnedSpace owned(Metric::L2, (Storage) (s + 1), Vector(n, 0.0f));
				owned.space.kernels = kernels;
				StoredRow a = store_row(owned.space, gaussian(random, n));
				StoredRow b = store_row(owned.space, gaussian(random, n));
				Vector av(owned.space.dim);
				Vector bv(owned.space.dim);

				load_vector(owned.space, a.bytes.data(), a.meta.scale, av.data());
				load_vector(owned.space, b.bytes.data(), b.meta.scale, bv.data());
				double exact = kernels->l2_f32(av.data(), bv.data(), av.size());
				EXPECT_NEAR(
					stored_distance(owned.space, a.bytes.data(), a.meta, b.bytes.data(), b.meta),
					exact, 1e-5 * exact);
				EXPECT_NEAR(
					stored_distance(owned.space, a.bytes.data(), a.meta, a.bytes.data(), a.meta), 0,
					1e-6 * a.meta.self_dot);
			}
}

/* query_distance and the stored bytes at addresses that are not aligned. */
TEST(Space, StoredVectorsNeedNoAlignment)
{
	std::mt19937_64 random(24);

	for (int s = 0; s < 3; s++)
		for (size_t offset : {1, 8, 24})
			for (const OmendbKernels *kernels : tables())
			{
				OwnedSpace owned(Metric::L2, (Storage) (s + 1), Vector(100, 0.0f));
				owned.space.kernels = kernels;
				Vector x = gaussian(random, 100);
				StoredRow row = store_row(owned.space, x);
				Bytes moved(row.bytes.size() + offset);
				Vector t(owned.space.dim);
				StoredMeta meta;
				float excess;

				transform_row(owned.space, x.data(), t.data(), &excess);
				store_vector(owned.space, t.data(), excess, moved.data() + offset, &meta);
				EXPECT_EQ(memcmp(moved.data() + offset, row.bytes.data(), row.bytes.size()), 0);
				PreparedQuery prepared(owned.space, gaussian(random, 100));
				EXPECT_EQ(
					query_distance(owned.space, prepared.query, moved.data() + offset, meta.scale),
					query_distance(owned.space, prepared.query, row.bytes.data(), meta.scale));
			}
}

} // namespace omendb::quant::test
