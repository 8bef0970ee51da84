/*
 * code_test.cpp - codes estimate as well as the theory says, and lanes keep
 * what was written wherever a page lies.
 */
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "fixture.hpp"

namespace omendb::quant::test
{

namespace
{

/* <z, y> over the code dimensions. */
double
z_dot(const Space &space, const LaneCode &code, const Vector &y)
{
	double sum = 0;

	for (uint32_t i = 0; i < space.code_dim; i++)
	{
		int level = 0;

		for (uint32_t b = 0; b < space.code_bits; b++)
			level |= (code.planes[b * space.code_dim / 8 + i / 8] >> (i % 8) & 1) << b;
		sum += (level - ((1 << space.code_bits) - 1) / 2.0) * (double) y[i];
	}
	return sum;
}

double
dot_of(const Vector &a, const Vector &b)
{
	double sum = 0;

	for (size_t i = 0; i < a.size(); i++)
		sum += (double) a[i] * b[i];
	return sum;
}

struct Error
{
	double mean;
	double deviation;
	double mean_deviation; /* of the mean */
};

/*
 * Error of est<r,y> / |r||y| for a random r and a y at the given cosine to
 * it, divided by the length of the part of y orthogonal to r.
 */
Error
estimate_error(uint32_t dim, uint32_t code_dim, uint32_t bits, double cosine, size_t count)
{
	OwnedSpace owned(Metric::L2, Storage::Full, Vector(dim, 0.0f), bits, code_dim);
	std::mt19937_64 random(dim * 100 + bits);
	double sum = 0;
	double squares = 0;

	for (size_t i = 0; i < count; i++)
	{
		Vector c = gaussian(random, dim);
		Vector o = gaussian(random, dim);
		Vector r(dim);
		Vector y = gaussian(random, dim);
		LaneCode code;

		encode_lane(owned.space, o.data(), c.data(), &code);
		for (size_t j = 0; j < dim; j++)
			r[j] = o[j] - c[j];

		/* y = cosine * r/|r| + sine * (unit vector orthogonal to r) */
		double norm = norm_of(r);
		double along = dot_of(r, y) / (norm * norm);

		for (size_t j = 0; j < dim; j++)
			y[j] -= (float) (along * r[j]);

		double across = norm_of(y);
		double sine = std::sqrt(1 - cosine * cosine);

		for (size_t j = 0; j < dim; j++)
			y[j] = (float) (cosine * r[j] / norm + sine * y[j] / across);

		double estimate = code.mul / 2 * z_dot(owned.space, code, y);
		double error = (estimate - dot_of(r, y)) / norm / sine;

		sum += error;
		squares += error * error;
	}

	double mean = sum / (double) count;
	double deviation = std::sqrt(squares / (double) count - mean * mean);

	return {mean, deviation, deviation / std::sqrt((double) count)};
}

} // namespace

/* The table of research/algorithms.md 1.5: 1 to 4 bits. */
TEST(Estimate, ErrorIsThatOfTheTheory)
{
	struct
	{
		uint32_t dim;
		double expected[4];
	} const table[] = {
		{32, {.136, .066, .035, .019}},      {64, {.095, .046, .025, .014}},
		{96, {.077, .038, .020, .011}},      {128, {.067, .033, .017, .0096}},
		{384, {.039, .019, .010, .0055}},    {768, {.027, .013, .0071, .0039}},
		{1536, {.019, .0094, .0050, .0028}},
	};

	for (const auto &row : table)
	{
		printf("  dim %4u:", row.dim);
		for (uint32_t bits = 1; bits <= 4; bits++)
		{
			size_t count = trials(200000) / row.dim + 50;
			Error error = estimate_error(row.dim, row.dim, bits, 0, count);

			/* The table's own rounding adds up to 5 %. */
			printf(" %.4f", error.deviation);
			EXPECT_NEAR(error.deviation / row.expected[bits - 1], 1,
						0.1 + 3 / std::sqrt(2.0 * (double) count))
				<< "dim " << row.dim << ", bits " << bits;
		}
		printf("\n");
	}
}

TEST(Estimate, IsUnbiased)
{
	for (uint32_t dim : {64u, 128u, 512u})
		for (uint32_t code_dim : {dim, dim / 2})
			for (uint32_t bits = 1; bits <= 4; bits++)
				for (double cosine : {0.0, 0.5, 0.95})
				{
					Error error =
						estimate_error(dim, code_dim, bits, cosine, trials(200000) / dim + 100);
					/* The rounding of mul scales the estimate by up to 2^-9. */
					double rounding = bits < 3 ? cosine / std::sqrt(1 - cosine * cosine) / 512 : 0;

					EXPECT_LT(std::fabs(error.mean), 4.5 * error.mean_deviation + rounding)
						<< dim << " " << code_dim << " " << bits << " " << cosine;
				}
}

/* sqrt((0.571 + 1 - D'/D) / D') for 256 of 512: 0.0647. */
TEST(Estimate, OfTruncatedCodes)
{
	Error error = estimate_error(512, 256, 1, 0, trials(4000) + 100);

	printf("  256 of 512: %.4f\n", error.deviation);
	EXPECT_NEAR(error.deviation, .0646, .004 + .0646 * 3 / std::sqrt(2.0 * (trials(4000) + 100)));
}

namespace
{

Bytes
empty_block(const Space &space, size_t offset)
{
	Bytes memory(block_bytes(space.code_dim, space.code_bits) + 64, 0xEE);

	clear_block(space, memory.data() + offset);
	return memory;
}

LaneCode
random_code(std::mt19937_64 &random, const Space &space)
{
	Vector o = gaussian(random, space.dim);
	Vector c = gaussian(random, space.dim);
	LaneCode code;

	encode_lane(space, o.data(), c.data(), &code);
	return code;
}

bool
same_code(const Space &space, const LaneCode &a, const LaneCode &b)
{
	return a.add == b.add && a.mul == b.mul &&
		   memcmp(a.planes, b.planes, space.code_bits * space.code_dim / 8) == 0;
}

} // namespace

TEST(Lane, KeepsWhatWasWritten)
{
	std::mt19937_64 random(5);

	for (uint32_t dim : {16u, 80u, 128u, 1536u})
		for (uint32_t bits = 1; bits <= 4; bits++)
			for (size_t offset : {0, 2, 8, 1, 24})
			{
				OwnedSpace owned(Metric::L2, Storage::Full, Vector(dim, 0.0f), bits);
				const Space &space = owned.space;
				Bytes memory = empty_block(space, offset);
				uint8_t *block = memory.data() + offset;
				std::vector<LaneCode> codes;
				LaneCode read;

				/* Twice: a lane that held another code must not show through. */
				for (uint32_t i = 0; i < 2 * OMENDB_LANES; i++)
				{
					LaneCode code = random_code(random, space);

					write_lane(space, block, (i * 7) % OMENDB_LANES, code);
					if (i >= OMENDB_LANES)
						codes.push_back(code);
				}
				for (uint32_t i = 0; i < OMENDB_LANES; i++)
				{
					uint32_t lane = (i * 7) % OMENDB_LANES;

					read_lane(space, block, lane, &read);
					EXPECT_TRUE(same_code(space, read, codes[i])) << dim << " " << bits;
					EXPECT_EQ(lane_mul(space, block, lane), codes[i].mul);
				}

				clear_lane(space, block, 9);
				read_lane(space, block, 9, &read);
				EXPECT_EQ(read.add, INFINITY);
				EXPECT_EQ(read.mul, 0.0f);
				for (uint32_t i = 0; i < OMENDB_LANES; i++)
				{
					uint32_t lane = (i * 7) % OMENDB_LANES;

					read_lane(space, block, lane, &read);
					EXPECT_TRUE(lane == 9 || same_code(space, read, codes[i]));
				}

				/* Nothing outside of the block was touched. */
				size_t end = offset + block_bytes(dim, bits);

				for (size_t i = 0; i < memory.size(); i++)
					ASSERT_TRUE((i >= offset && i < end) || memory[i] == 0xEE) << i;
			}
}

TEST(Lane, EmptyBlockHasNoCandidates)
{
	std::mt19937_64 random(6);

	for (uint32_t bits = 1; bits <= 4; bits++)
		for (const OmendbKernels *kernels : tables())
		{
			OwnedSpace owned(Metric::L2, Storage::Full, Vector(64, 0.0f), bits);
			owned.space.kernels = kernels;
			Bytes memory = empty_block(owned.space, 8);
			PreparedQuery prepared(owned.space, gaussian(random, 64));
			float est[OMENDB_LANES];

			EXPECT_EQ(
				scan_lanes(owned.space, prepared.query, memory.data() + 8, 1.0f, INFINITY, est),
				0u);
			for (float e : est)
				EXPECT_EQ(e, INFINITY);
		}
}

/* The whole way: encode, write, scan; against the exact distance. */
TEST(Lane, ScanEstimatesTheDistance)
{
	std::mt19937_64 random(7);
	const double noise[] = {.067, .033, .017, .0096};

	for (uint32_t bits = 1; bits <= 4; bits++)
	{
		OwnedSpace owned(Metric::L2, Storage::Full, Vector(128, 0.0f), bits);
		double squares = 0;
		size_t count = 0;

		for (int round = 0; round < 20; round++)
		{
			Vector c = gaussian(random, 128);
			Bytes memory = empty_block(owned.space, 8);
			uint8_t *block = memory.data() + 8;
			std::vector<Vector> neighbours;
			Vector q = gaussian(random, 128, 0.5);
			std::vector<double> buffer(query_bytes(owned.space) / 8 + 1);
			Query query;

			for (size_t j = 0; j < q.size(); j++)
				q[j] += c[j];
			prepare_row_query(owned.space, q.data(), buffer.data(), &query);
			for (uint32_t lane = 0; lane < OMENDB_LANES; lane++)
			{
				Vector o = gaussian(random, 128, 0.5);
				LaneCode code;

				for (size_t j = 0; j < o.size(); j++)
					o[j] += c[j];
				encode_lane(owned.space, o.data(), c.data(), &code);
				write_lane(owned.space, block, lane, code);
				neighbours.push_back(o);
			}

			float center = owned.space.kernels->l2_f32(q.data(), c.data(), 128);
			std::vector<std::vector<float>> all;

			for (const OmendbKernels *kernels : tables())
			{
				float est[OMENDB_LANES];

				owned.space.kernels = kernels;
				scan_lanes(owned.space, query, block, center, INFINITY, est);
				all.emplace_back(est, est + OMENDB_LANES);
			}
			for (uint32_t lane = 0; lane < OMENDB_LANES; lane++)
			{
				const Vector &o = neighbours[lane];
				double exact = owned.space.kernels->l2_f32(q.data(), o.data(), 128);
				double scale = 2 * std::sqrt(center) *
							   std::sqrt(owned.space.kernels->l2_f32(o.data(), c.data(), 128));
				double error = (all[0][lane] - exact) / scale;

				squares += error * error;
				count++;
				for (const std::vector<float> &est : all)
					EXPECT_NEAR(est[lane], all[0][lane], 1e-4 * scale);
			}
		}
		/* bf16 factors and the table's steps add their share. */
		EXPECT_LT(std::sqrt(squares / (double) count), noise[bits - 1] * 1.15);
		EXPECT_GT(std::sqrt(squares / (double) count), noise[bits - 1] * 0.85);
	}
}

/* A block written at once has the bytes of one written lane by lane. */
TEST(Encode, BlockEqualsItsLanes)
{
	std::mt19937_64 random(11);

	for (uint32_t dim : {16u, 48u, 112u, 128u, 784u, 1536u})
		for (uint32_t code_dim : {dim, dim / 32 * 16 + 16})
			for (uint32_t bits = 1; bits <= 4; bits++)
				for (Storage storage : {Storage::Int8, Storage::Half, Storage::Full})
					for (uint32_t n : {0u, 1u, 7u, 16u, 31u, 32u})
					{
						OwnedSpace owned(Metric::L2, storage, Vector(dim, 0.0f), bits, code_dim);
						const Space &space = owned.space;
						Bytes memory = empty_block(space, 1), actual(memory.size(), 0xEE);
						uint8_t *block = memory.data() + 1;
						std::vector<Bytes> stored;
						std::vector<StoredVector> neighbours;
						Vector c = gaussian(random, dim), o(dim);
						LaneCode code;

						for (uint32_t lane = 0; lane < n; lane++)
						{
							Vector t = gaussian(random, dim);
							Bytes bytes(stored_bytes(storage, dim) + 1);
							StoredMeta meta;

							store_vector(space, lane == 3 ? c.data() : t.data(), 0,
										 bytes.data() + 1, &meta);
							stored.push_back(bytes);
							neighbours.push_back(StoredVector{nullptr, meta.scale});
						}
						for (uint32_t lane = 0; lane < n; lane++)
						{
							neighbours[lane].stored = stored[lane].data() + 1;
							load_vector(space, neighbours[lane].stored, neighbours[lane].scale,
										o.data());
							/* No residual at all. */
							if (lane == 3)
								c = o;
						}
						for (uint32_t lane = 0; lane < n; lane++)
						{
							load_vector(space, neighbours[lane].stored, neighbours[lane].scale,
										o.data());
							encode_lane(space, o.data(), c.data(), &code);
							write_lane(space, block, lane, code);
						}
						encode_block(space, c.data(), neighbours.data(), n, actual.data() + 1);
						ASSERT_EQ(actual, memory) << dim << " " << code_dim << " " << bits << " "
												  << (int) storage << " " << n;
					}
}

TEST(Encode, OfEqualVectorsIsTheCenter)
{
	for (uint32_t bits = 1; bits <= 4; bits++)
	{
		OwnedSpace owned(Metric::L2, Storage::Full, Vector(64, 0.0f), bits);
		Vector c(64, 3.0f);
		LaneCode code;

		encode_lane(owned.space, c.data(), c.data(), &code);
		EXPECT_EQ(code.add, 0.0f);
		EXPECT_EQ(code.mul, 0.0f);
	}
}

/* Whatever the vectors, a lane in use is finite and never NaN. */
TEST(Encode, FactorsAreFinite)
{
	std::mt19937_64 random(8);
	std::uniform_real_distribution<double> exponent(-45, 17);

	for (size_t i = 0; i < trials(20000); i++)
	{
		uint32_t bits = 1 + (uint32_t) (random() % 4);
		OwnedSpace owned(Metric::L2, Storage::Full, Vector(32, 0.0f), bits, random() % 2 ? 16 : 32);
		Vector o = gaussian(random, 32, std::pow(10, exponent(random)) / 8);
		Vector c = gaussian(random, 32, std::pow(10, exponent(random)) / 8);
		Bytes memory = empty_block(owned.space, 8);
		LaneCode code;
		LaneCode read;

		if (random() % 4 == 0)
			for (size_t j = 0; j < 16; j++)
				o[j] = c[j];
		if (random() % 64 == 0)
			o[random() % 32] = random() % 2 ? NAN : INFINITY;
		encode_lane(owned.space, o.data(), c.data(), &code);
		write_lane(owned.space, memory.data() + 8, 3, code);
		read_lane(owned.space, memory.data() + 8, 3, &read);
		ASSERT_TRUE(std::isfinite(code.add) && std::isfinite(code.mul));
		ASSERT_TRUE(same_code(owned.space, code, read));
	}
}

TEST(Encode, IsTheSameUnderEveryInstructionSet)
{
	std::mt19937_64 random(9);

	for (size_t i = 0; i < trials(2000); i++)
	{
		uint32_t dim = 16 * (1 + (uint32_t) (random() % 20));
		uint32_t bits = 1 + (uint32_t) (random() % 4);
		OwnedSpace owned(Metric::L2, Storage::Full, Vector(dim, 0.0f), bits);
		Vector o = gaussian(random, dim);
		Vector c = gaussian(random, dim);
		LaneCode first;
		LaneCode code;

		encode_lane(owned.space, o.data(), c.data(), &first);
		for (const OmendbKernels *kernels : tables())
		{
			owned.space.kernels = kernels;
			encode_lane(owned.space, o.data(), c.data(), &code);
			ASSERT_TRUE(same_code(owned.space, code, first)) << kernels->name;
		}
	}
}

/* bf16 rounds to the nearest, ties to even, as seen through a lane. */
TEST(Lane, RoundsFactors)
{
	OwnedSpace owned(Metric::L2, Storage::Full, Vector(16, 0.0f), 1);
	Bytes memory = empty_block(owned.space, 8);
	LaneCode code = {};
	LaneCode read;
	const float pairs[][2] = {
		{0x1.0p0f, 0x1.0p0f},       {0x1.01p0f, 0x1.00p0f},   {0x1.03p0f, 0x1.04p0f},
		{0x1.010002p0f, 0x1.02p0f}, {-0x1.03p0f, -0x1.04p0f}, {1e38f, 0x1.2cp126f},
		{0x1p-149f, 0.0f},
	};

	for (const auto &pair : pairs)
	{
		code.add = pair[0];
		code.mul = std::fabs(pair[0]);
		write_lane(owned.space, memory.data() + 8, 31, code);
		read_lane(owned.space, memory.data() + 8, 31, &read);
		EXPECT_EQ(read.add, pair[1]);
		EXPECT_EQ(read.mul, std::fabs(pair[1]));
	}
}

/* A reader without a lock sees old, new or torn codes, but only numbers. */
TEST(LaneConcurrent, ReadersSeeNumbers)
{
	std::mt19937_64 random(10);
	OwnedSpace owned(Metric::L2, Storage::Full, Vector(128, 0.0f), 1);
	const Space &space = owned.space;
	std::vector<double> page(block_bytes(space.code_dim, space.code_bits) / 8 + 2);
	uint8_t *block = (uint8_t *) page.data() + 8;
	PreparedQuery prepared(space, gaussian(random, 128));
	std::vector<LaneCode> codes;
	std::atomic<bool> done{false};

	for (int i = 0; i < 16; i++)
		codes.push_back(random_code(random, space));
	clear_block(space, block);

	std::thread writer(
		[&]
		{
			for (uint32_t i = 0; i < 20000; i++)
				write_lane(space, block, i % OMENDB_LANES, codes[i % 16]);
			done = true;
		});

	do
	{
		float est[OMENDB_LANES];

		scan_lanes(space, prepared.query, block, 100.0f, INFINITY, est);
		for (float e : est)
			ASSERT_TRUE(e == INFINITY || std::isfinite(e));
	} while (!done);
	writer.join();
}

} // namespace omendb::quant::test
