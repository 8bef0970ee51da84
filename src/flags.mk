# flags.mk - compiler flags that belong to the code rather than to a build:
# shared by the extension (Makefile) and the tests without a server
# (test/unit/Makefile), so that both compile the same thing.

# Every frame may be crossed by a longjmp and every symbol meets those of other
# extensions in one process: no exceptions, no hidden guards, nothing exported.
# -ffp-contract=off: stored bytes must not depend on which instruction set
# computed them, and a fused multiply-add rounds once where two steps round twice.
OMENDB_CXXFLAGS = -std=c++17 -fno-exceptions -fno-rtti -fno-threadsafe-statics \
	-fvisibility=hidden -fvisibility-inlines-hidden -ffp-contract=off
OMENDB_CFLAGS = -fvisibility=hidden -ffp-contract=off

# -Wno-register: s_lock.h of PostgreSQL 13 to 15 declares register variables,
# which C++17 no longer has. -Wno-declaration-after-statement: PostgreSQL turns
# the warning on for C89's sake; we declare where a value is known.
OMENDB_WARNINGS = -Wall -Wextra -Wno-unused-parameter
OMENDB_CXX_WARNINGS = $(OMENDB_WARNINGS) -Wshadow -Wno-register
OMENDB_C_WARNINGS = $(OMENDB_WARNINGS) -Wno-declaration-after-statement

# One translation unit per instruction set, and only these get its flags: a
# flag licenses the compiler to use it anywhere in the unit. SIMDe asks for
# -O3 and OpenMP SIMD (pragmas only, no runtime library).
KERNEL_CXXFLAGS = -O3 -fopenmp-simd -DSIMDE_ENABLE_OPENMP
KERNEL_CXXFLAGS_avx2 = -mavx2 -mfma -mf16c
KERNEL_CXXFLAGS_avx512 = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni \
	-mavx2 -mfma -mf16c

# Elsewhere the bodies of the x86 units are empty, and the flags unknown.
# $(1): the architecture, $(2): the stem of a kernels_<isa> file.
x86_64_names = x86_64 amd64
kernel_cxxflags = $(KERNEL_CXXFLAGS) \
	$(if $(filter $(x86_64_names),$(1)),$(KERNEL_CXXFLAGS_$(2:kernels_%=%)))
