/*
 * dispatch.cpp - which table of kernels runs.
 *
 * CPUID says what the CPU has, XGETBV what the operating system saves for us;
 * both must agree. Nothing here runs before main(): the table starts out as the
 * portable one by constant initialisation.
 */
#include "simd/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace omendb::simd
{

namespace base
{
extern const OmendbKernels kTable;
}
#if defined(__x86_64__)
namespace avx2
{
extern const OmendbKernels kTable;
}

namespace avx512
{
extern const OmendbKernels kTable;
extern const OmendbKernels kTableVpopcntdq;
} // namespace avx512
#elif defined(__aarch64__)
namespace neon
{
extern const OmendbKernels kTable;
}
#endif

namespace
{

/* Best first. */
const OmendbKernels *const kTables[] = {
#if defined(__x86_64__)
	&avx512::kTableVpopcntdq,
	&avx512::kTable,
	&avx2::kTable,
#elif defined(__aarch64__)
	&neon::kTable,
#endif
	&base::kTable,
};
constexpr int kTableCount = static_cast<int>(sizeof(kTables) / sizeof(kTables[0]));

bool
same_name(const char *a, const char *b)
{
	for (; *a != '\0' && *a == *b; a++)
		b++;
	return *a == *b;
}

#if defined(__x86_64__)

/* Bits of CPUID leaf 1, ecx. */
constexpr uint32_t kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
/* Bits of leaf 7, ebx and ecx. */
constexpr uint32_t kAvx2 = 1u << 5;
constexpr uint32_t kAvx512f = 1u << 16, kAvx512dq = 1u << 17, kAvx512bw = 1u << 30,
				   kAvx512vl = 1u << 31;
constexpr uint32_t kAvx512vnni = 1u << 11, kAvx512vpopcntdq = 1u << 14;
/* Register state saved by the system: SSE and AVX; mask and upper ZMM registers too. */
constexpr uint32_t kAvxState = 0x06, kAvx512State = 0xE6;

struct CpuFeatures
{
	bool avx2, avx512, avx512_vpopcntdq;
};

bool
has_all(uint32_t word, uint32_t bits)
{
	return (word & bits) == bits;
}

uint32_t
saved_state()
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

CpuFeatures
cpu_features()
{
	CpuFeatures features = {false, false, false};
	uint32_t eax, ebx, ecx, edx;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has_all(ecx, kOsxsave | kAvx | kFma | kF16c))
		return features;
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		return features;

	const uint32_t state = saved_state();
	features.avx2 = has_all(ebx, kAvx2) && has_all(state, kAvxState);
	features.avx512 = features.avx2 && has_all(state, kAvx512State) &&
					  has_all(ebx, kAvx512f | kAvx512dq | kAvx512bw | kAvx512vl) &&
					  has_all(ecx, kAvx512vnni);
	features.avx512_vpopcntdq = features.avx512 && has_all(ecx, kAvx512vpopcntdq);
	return features;
}

#endif

} // namespace

} // namespace omendb::simd

const OmendbKernels *omendb_kernels = &omendb::simd::base::kTable;

const OmendbKernels *
omendb_kernels_at(int i)
{
	return i >= 0 && i < omendb::simd::kTableCount ? omendb::simd::kTables[i] : nullptr;
}

int
omendb_kernels_supported(const OmendbKernels *kernels)
{
#if defined(__x86_64__)
	if (kernels == &omendb::simd::avx2::kTable)
		return omendb::simd::cpu_features().avx2;
	if (kernels == &omendb::simd::avx512::kTable)
		return omendb::simd::cpu_features().avx512;
	if (kernels == &omendb::simd::avx512::kTableVpopcntdq)
		return omendb::simd::cpu_features().avx512_vpopcntdq;
#endif
	return kernels != nullptr;
}

int
omendb_kernels_select(const char *forced, const char **problem)
{
	const bool any = forced == nullptr || forced[0] == '\0';

	for (int i = 0; i < omendb::simd::kTableCount; i++)
	{
		const OmendbKernels *kernels = omendb::simd::kTables[i];

		if (!any && !omendb::simd::same_name(forced, kernels->name))
			continue;
		if (omendb_kernels_supported(kernels))
		{
			omendb_kernels = kernels;
			return 0;
		}
		if (!any)
		{
			*problem = "this CPU does not have the instruction set";
			return -1;
		}
	}
	*problem = "unknown instruction set";
	return -1;
}
