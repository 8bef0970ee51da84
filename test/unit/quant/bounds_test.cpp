/*
 * bounds_test.cpp - the interval is proven on paper (src/quant/README); here a
 * few million adversarial pairs try to leave it, under every pair of
 * instruction sets: one computes SQL's value, the other the index's distance.
 */
#include <gtest/gtest.h>

#include <algorithm>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "fixture.hpp"

namespace omendb::quant::test
{

namespace
{

constexpr size_t kGroup = 32;
constexpr Metric kMetrics[] = {Metric::L2, Metric::InnerProduct, Metric::Cosine};
constexpr Storage kStorages[] = {Storage::Int8, Storage::Half, Storage::Full};

/* Rows and queries of one kind; every row meets every query. */
struct Group
{
	std::vector<Vector> rows;
	std::vector<Vector> queries;
	Vector mean;
	float radius;
	float query_length;
	bool has_unit_mean;
};

double
uniform(std::mt19937_64 &random, double low, double high)
{
	return std::uniform_real_distribution<double>(low, high)(random);
}

float
finite(double x)
{
	return (float) std::max(-3.4e38, std::min(3.4e38, x));
}

/* A few units in the last place, on some coordinates. */
Vector
nudged(std::mt19937_64 &random, Vector v)
{
	for (float &x : v)
		for (uint64_t steps = random() % 4; steps > 1; steps--)
			x = finite(std::nextafter(x, random() % 2 ? INFINITY : -INFINITY));
	return v;
}

enum Kind
{
	kOrdinary,
	kFarMean,
	kAnyScale,
	kDenormal,
	kHuge,
	kEachItsScale,
	kOneHot,
	kOneHugeCoordinate,
	kIntegers,
	kDegenerate,
	kWide,
	kKinds
};

Vector
make_vector(std::mt19937_64 &random, Kind kind, size_t n, double scale, const Vector &center)
{
	Vector v = gaussian(random, n);

	switch (kind)
	{
		case kFarMean:
			for (size_t i = 0; i < n; i++)
				v[i] = center[i] + v[i] * (float) scale;
			return v;
		case kEachItsScale:
			scale = std::pow(10, uniform(random, -46, 38));
			break;
		case kOneHot:
			std::fill(v.begin(), v.end(), 0.0f);
			v[random() % n] = random() % 2 ? 1.0f : -1.0f;
			break;
		case kOneHugeCoordinate:
			v[random() % n] *= (float) std::pow(10, uniform(random, 0, 30));
			break;
		case kIntegers:
			for (float &x : v)
				x = (float) (random() % 256);
			return v;
		case kDegenerate:
			std::fill(v.begin(), v.end(), (float) ((int) (random() % 3) - 1));
			break;
		case kWide:
			for (float &x : v)
				x = finite(x * std::pow(10, uniform(random, -44, 38)));
			return v;
		default:
			break;
	}
	for (float &x : v)
		x = finite(x * scale);
	return v;
}

double
make_scale(std::mt19937_64 &random, Kind kind)
{
	switch (kind)
	{
		case kFarMean:
			return std::pow(10, uniform(random, -7, 0));
		case kDenormal:
			return std::pow(10, uniform(random, -46, -36));
		case kHuge:
			return std::pow(10, uniform(random, 10, 38));
		case kAnyScale:
		case kOneHot:
		case kDegenerate:
			return std::pow(10, uniform(random, -30, 25));
		default:
			return 1;
	}
}

Vector
make_mean(std::mt19937_64 &random, const Group &group, size_t n, double scale)
{
	Vector mean(n, 0.0f);

	switch (random() % 4)
	{
		case 0:
			return mean;
		case 1:
			return group.rows[random() % kGroup];
		case 2:
			for (float &x : mean)
				x = finite(uniform(random, -100, 100) * scale);
			return mean;
		default:
			break;
	}
	for (size_t i = 0; i < n; i++)
	{
		double sum = 0;

		for (const Vector &row : group.rows)
			sum += row[i];
		mean[i] = finite(sum / kGroup);
	}
	return mean;
}

Group
make_group(std::mt19937_64 &random, size_t n)
{
	Group group;
	Kind kind = (Kind) (random() % kKinds);
	double scale = make_scale(random, kind);
	Vector center = gaussian(random, n, 100);

	for (size_t i = 0; i < kGroup; i++)
		group.rows.push_back(make_vector(random, kind, n, scale, center));
	for (size_t i = 0; i < kGroup; i++)
	{
		const Vector &row = group.rows[random() % kGroup];

		switch (random() % 4)
		{
			case 0:
				group.queries.push_back(nudged(random, row));
				break;
			case 1:
			{
				Vector q = row;
				double factor = random() % 2 ? -1.0 : uniform(random, -3, 3);

				for (float &x : q)
					x = finite(x * factor);
				group.queries.push_back(q);
				break;
			}
			default:
				group.queries.push_back(make_vector(random, kind, n, scale, center));
		}
	}
	group.mean = make_mean(random, group, n, scale);
	group.has_unit_mean = random() % 4 != 0;

	double longest = 0;

	for (const Vector &row : group.rows)
	{
		double sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += std::pow((double) row[i] - group.mean[i], 2);
		longest = std::max(longest, std::sqrt(sum));
	}
	/* Sometimes too small for the rows, sometimes no radius at all. */
	group.radius = random() % 8 == 0 ? 0.0f : finite(longest * uniform(random, 0.3, 1.2));
	/* Queries as long as the radius, or much longer. */
	group.query_length = random() % 2 == 0 ? 0.0f : finite(longest * uniform(random, 0.5, 40));
	return group;
}

struct Tally
{
	size_t pairs = 0;
	size_t bounded = 0; /* pairs with a finite interval */
	size_t failures = 0;
};

bool
is_inside(const Interval &interval, double value)
{
	if (std::isnan(value))
		return interval.low == -INFINITY && interval.high == INFINITY;
	return interval.low <= value && value <= interval.high;
}

/* values[query][row]: what SQL returns, once per table and once naive. */
using Values = std::vector<std::vector<std::vector<double>>>;

void
check_storage(const Group &group, OwnedSpace &owned, const Values &values, Tally *tally)
{
	Space &space = owned.space;
	std::vector<StoredRow> rows;

	space.radius = space.metric == Metric::InnerProduct ? group.radius : 0;
	space.query_length = space.metric == Metric::InnerProduct ? group.query_length : 0;
	for (const Vector &row : group.rows)
		rows.push_back(store_row(space, row));
	for (size_t qi = 0; qi < kGroup; qi++)
	{
		PreparedQuery prepared(space, group.queries[qi]);

		for (size_t ri = 0; ri < kGroup; ri++)
		{
			const StoredRow &row = rows[ri];

			if (!row.indexed)
				continue;
			tally->pairs++;
			for (const OmendbKernels *kernels : tables())
			{
				space.kernels = kernels;

				float d2 = query_distance(space, prepared.query, row.bytes.data(), row.meta.scale);
				Interval interval = operator_interval(space, prepared.query, d2, row.meta);

				tally->bounded += std::isfinite(interval.low) && std::isfinite(interval.high);
				for (double value : values[qi][ri])
				{
					bool inside = is_inside(interval, value);

					tally->failures += !inside;
					if (!inside && tally->failures < 10)
						ADD_FAILURE()
							<< value << " is not in [" << interval.low << ", " << interval.high
							<< "]: metric " << (int) space.metric << " storage "
							<< (int) space.storage << " dim " << space.input_dim << " d2 " << d2
							<< " residual " << row.meta.residual << " under " << kernels->name;
				}
			}
		}
	}
}

/* What CREATE INDEX takes for the cosine: the mean of the unit vectors. */
Vector
unit_mean(const Group &group)
{
	std::vector<double> sum(group.mean.size(), 0.0);
	Vector mean(group.mean.size());

	for (const Vector &row : group.rows)
	{
		double norm = norm_of(row);

		for (size_t i = 0; i < row.size() && norm > 0; i++)
			sum[i] += row[i] / norm;
	}
	for (size_t i = 0; i < mean.size(); i++)
		mean[i] = (float) (sum[i] / kGroup);
	return mean;
}

void
check_group(const Group &group, Metric metric, Tally tally[3])
{
	Vector mean = metric == Metric::Cosine && group.has_unit_mean ? unit_mean(group) : group.mean;
	Values values(kGroup, std::vector<std::vector<double>>(kGroup));

	for (size_t qi = 0; qi < kGroup; qi++)
		for (size_t ri = 0; ri < kGroup; ri++)
		{
			const Vector &q = group.queries[qi];
			const Vector &x = group.rows[ri];

			for (const OmendbKernels *kernels : tables())
				values[qi][ri].push_back(sql_value(kernels, metric, x, q));
			values[qi][ri].push_back(naive_value(metric, x, q));
		}
	for (int s = 0; s < 3; s++)
	{
		OwnedSpace owned(metric, kStorages[s], mean);

		check_storage(group, owned, values, &tally[s]);
	}
}

/* Mostly small: a pair costs what its dimensions cost. */
size_t
make_dim(std::mt19937_64 &random)
{
	static const size_t common[] = {1, 1, 2, 2, 3, 3, 4, 7, 15, 16, 16, 17};
	static const size_t rare[] = {31, 64, 100, 100, 128, 128, 784};

	return random() % 10 ? common[random() % 12] : rare[random() % 7];
}

size_t
make_high_dim(std::mt19937_64 &random)
{
	static const size_t dims[] = {1536, 2000, 3072, 4111, 8192, 16000};

	return dims[random() % 6];
}

void
run_metric(Metric metric, uint64_t seed, size_t pairs,
		   size_t (*choose_dim)(std::mt19937_64 &) = make_dim)
{
	Tally tally[3];

	for (uint64_t round = 0; tally[0].pairs < pairs && tally[0].failures < 10; round++)
	{
		std::mt19937_64 random(seed + round);

		SCOPED_TRACE(testing::Message() << "seed " << seed + round);
		check_group(make_group(random, choose_dim(random)), metric, tally);
	}
	for (int s = 0; s < 3; s++)
	{
		EXPECT_EQ(tally[s].failures, 0u);
		/* Most kinds are far from any overflow; a short run may meet few of those. */
		if (pairs >= 100000)
		{
			EXPECT_GT((double) tally[s].bounded, 0.4 * (double) (tally[s].pairs * tables().size()));
		}
		printf("  storage %d: %zu pairs x %zu x %zu instruction sets, %.0f%% bounded\n",
			   (int) kStorages[s], tally[s].pairs, tables().size() + 1, tables().size(),
			   100.0 * (double) tally[s].bounded / (double) (tally[s].pairs * tables().size()));
	}
}

} // namespace

class ProvenInterval : public ::testing::TestWithParam<Metric>
{
};

TEST_P(ProvenInterval, HoldsEverySqlValue)
{
	run_metric(GetParam(), 1000000 * (uint64_t) GetParam(), trials(1050000));
}

TEST_P(ProvenInterval, HoldsInHighDimensions)
{
	run_metric(GetParam(), 55000000 + 1000000 * (uint64_t) GetParam(), trials(8000), make_high_dim);
}

#if defined(__x86_64__)
/* A library linked with -ffast-math switches the whole backend to this. */
TEST_P(ProvenInterval, HoldsWithDenormalsFlushedToZero)
{
	unsigned int mode = _mm_getcsr();

	_mm_setcsr(mode | 0x8040);
	run_metric(GetParam(), 77000000 + 1000000 * (uint64_t) GetParam(), trials(100000));
	_mm_setcsr(mode);
}
#endif

INSTANTIATE_TEST_SUITE_P(Metrics, ProvenInterval, ::testing::ValuesIn(kMetrics));

namespace
{

/* Median of (high - low) / 2 over scale(q, x), for Gaussian data. */
template <typename Scale>
double
median_half_width(Metric metric, Storage storage, size_t n, Scale scale)
{
	std::mt19937_64 random(n);
	/* Cosine centres unit vectors. */
	Vector mean = gaussian(random, n, metric == Metric::Cosine ? 0.1 / std::sqrt((double) n) : 0.1);
	OwnedSpace owned(metric, storage, mean);
	std::vector<double> widths;

	owned.space.radius = 1.3f * std::sqrt((float) n);
	for (int i = 0; i < 200; i++)
	{
		Vector q = gaussian(random, n);
		Vector x = gaussian(random, n);
		StoredRow row = store_row(owned.space, x);
		PreparedQuery prepared(owned.space, q);
		float d2 = query_distance(owned.space, prepared.query, row.bytes.data(), row.meta.scale);
		Interval interval = operator_interval(owned.space, prepared.query, d2, row.meta);

		widths.push_back((interval.high - interval.low) / 2 / scale(q, x));
	}
	std::nth_element(widths.begin(), widths.begin() + 100, widths.end());
	return widths[100];
}

} // namespace

/* A bound that held by being vacuous would pass the tests above. */
TEST(Tightness, GaussianData)
{
	/* Relative to the value; the inner product, which may be 0, to |q||x|. */
	auto scale_of = [](Metric metric)
	{
		return [metric](const Vector &q, const Vector &x)
		{
			return metric == Metric::InnerProduct ? norm_of(q) * norm_of(x)
												  : naive_value(metric, q, x);
		};
	};
	double limits[] = {0.05, 0.005, 1e-4};

	for (Metric metric : kMetrics)
		for (int s = 0; s < 3; s++)
			for (size_t n : {128, 784, 1536})
			{
				double width = median_half_width(metric, kStorages[s], n, scale_of(metric));

				printf("  metric %d storage %d dim %4zu: half width %.2g\n", (int) metric,
					   (int) kStorages[s], n, width);
				EXPECT_LT(width, limits[s]);
			}
}

TEST(Interval, OfEqualVectorsBeginsAtZero)
{
	std::mt19937_64 random(3);
	Vector x = gaussian(random, 100);
	OwnedSpace owned(Metric::L2, Storage::Full, Vector(100, 0.0f));
	StoredRow row = store_row(owned.space, x);
	PreparedQuery prepared(owned.space, x);
	float d2 = query_distance(owned.space, prepared.query, row.bytes.data(), row.meta.scale);
	Interval interval = operator_interval(owned.space, prepared.query, d2, row.meta);

	EXPECT_EQ(d2, 0.0f);
	EXPECT_EQ(interval.low, 0.0);
	EXPECT_LT(interval.high, 1e-4);
}

TEST(Interval, OfZeroVectors)
{
	Vector zero(8, 0.0f);
	Vector x(8, 2.0f);

	OwnedSpace cosine(Metric::Cosine, Storage::Int8, Vector(8, 0.1f));
	EXPECT_FALSE(store_row(cosine.space, zero).indexed);
	StoredRow row = store_row(cosine.space, x);
	PreparedQuery asked(cosine.space, zero);
	EXPECT_TRUE(asked.query.unbounded);
	EXPECT_EQ(asked.query.norm, 0.0f);
	Interval interval = operator_interval(cosine.space, asked.query, 1.0f, row.meta);
	EXPECT_EQ(interval.low, -INFINITY);
	EXPECT_EQ(interval.high, INFINITY);

	OwnedSpace inner(Metric::InnerProduct, Storage::Int8, Vector(8, 0.1f));
	inner.space.radius = 7;
	row = store_row(inner.space, x);
	PreparedQuery nothing(inner.space, zero);
	EXPECT_EQ(nothing.query.factor, 0.0);
	interval = operator_interval(inner.space, nothing.query, 1.0f, row.meta);
	EXPECT_EQ(interval.low, 0.0);
	EXPECT_EQ(interval.high, 0.0);
}

/* Nothing from a damaged record may become NaN or trap. */
TEST(Interval, OfDamagedRecordsIsUnbounded)
{
	Vector x(8, 2.0f);
	float nan = NAN;

	for (Metric metric : kMetrics)
	{
		OwnedSpace owned(metric, Storage::Int8, Vector(8, 0.1f));
		owned.space.radius = 7;
		StoredRow row = store_row(owned.space, x);
		PreparedQuery prepared(owned.space, x);

		for (float bad : {nan, -1.0f, (float) INFINITY})
		{
			Interval interval = operator_interval(owned.space, prepared.query, bad, row.meta);
			EXPECT_EQ(interval.low, -INFINITY);
			EXPECT_EQ(interval.high, INFINITY);
			for (float StoredMeta::*field : {&StoredMeta::self_dot, &StoredMeta::residual})
			{
				StoredMeta meta = row.meta;

				meta.*field = bad;
				interval = operator_interval(owned.space, prepared.query, 1.0f, meta);
				EXPECT_LE(interval.low, 0.0);
				EXPECT_GE(interval.high, 2.0);
			}
		}
	}
}

} // namespace omendb::quant::test
