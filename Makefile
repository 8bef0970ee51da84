# omendb: build, install and test. `make quickstart` shows it working,
# `make check` tests everything; both install what they need on Debian.

# These goals are programs of their own. They may have to install the
# PostgreSQL headers first, so they must work before PGXS can be included
# (which has a `check` of its own that only says it cannot).
TASKS = check check-long quickstart unit lint format bench-micro help

ifneq (,$(filter $(TASKS),$(MAKECMDGOALS)))

.PHONY: $(TASKS) $(filter-out $(TASKS),$(MAKECMDGOALS))

# Mixed with these, a goal of the build would find no rule: say so.
$(filter-out $(TASKS),$(MAKECMDGOALS)):
	@echo "make: run '$@' on its own, not together with: $(filter $(TASKS),$(MAKECMDGOALS))" >&2
	@exit 2

check: ; @test/check.sh
check-long: ; @test/check.sh --long
quickstart: ; @test/quickstart.sh
unit: ; @test/check.sh --only unit
lint: ; @test/check.sh --only lint
bench-micro: ; @test/check.sh --only bench-micro

format:
	clang-format -i $(wildcard src/*.[ch] src/*/*.[ch] src/*/*.[ch]pp \
		test/unit/*/*.[ch]pp bench/*/*.[ch]pp)

help:
	@echo "make              build the extension (PG_CONFIG=... chooses the server)"
	@echo "make install      install it"
	@echo "make installcheck run the SQL, isolation and TAP tests against a running server"
	@echo "make quickstart   build, install, index 60 000 images, search them, draw the result"
	@echo "make check        every test; needs nothing running"
	@echo "make check-long   every test, the slow ones too"
	@echo "make unit         tests without a server: plain, ASan+UBSan, TSan, NEON emulated"
	@echo "make lint         the rules of the source, and proof that each rule fires"
	@echo "make bench-micro  kernel benchmarks"
	@echo "make format       clang-format"

else

EXTENSION = omendb
MODULE_big = omendb
PGFILEDESC = "omendb - approximate nearest neighbour search"

# Files named omendb--*.sql install or upgrade the extension; every other file
# in sql/ is a regression test with a twin in expected/.
DATA := $(wildcard sql/omendb--*.sql)
REGRESS := $(filter-out omendb--%,$(basename $(notdir $(wildcard sql/*.sql))))
REGRESS_OPTS = --load-extension=omendb
ISOLATION := $(basename $(notdir $(wildcard test/isolation/specs/*.spec)))
# These stop sessions where only a test build can (src/store/fault.h).
ifeq (,$(findstring OMENDB_FAULT_POINTS,$(CPPFLAGS)))
ISOLATION := $(filter-out fault_%,$(ISOLATION))
endif
# The second --inputdir and the output directory win over those of PGXS.
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=omendb
# PGXS looks for t/*.pl unless told otherwise.
PROVE_TESTS := $(wildcard test/t/*.pl)
ifneq (,$(PROVE_TESTS))
TAP_TESTS = 1
endif

# Every source under src/ is compiled: a file that is not has no business here.
SRC = $(wildcard src/*.c src/*/*.c src/*/*.cpp)
OBJS = $(addsuffix .o,$(basename $(SRC)))
EXTRA_CLEAN = $(OBJS:.o=.d) .build-flags build quickstart.png

include src/flags.mk

PG_CPPFLAGS = -Isrc
PG_CFLAGS = $(OMENDB_C_WARNINGS) $(OMENDB_CFLAGS) $(WERROR)
PG_CXXFLAGS = $(OMENDB_CXX_WARNINGS) $(OMENDB_CXXFLAGS) $(WERROR)
# Without exceptions and new there is nothing to take from libstdc++; of libgcc
# some arithmetic, better without the indirection of a shared library.
PG_LDFLAGS = -Wl,--as-needed -static-libgcc

# Link with the C++ driver, as PostgreSQL does for its own C++ modules.
override COMPILER = $(CXX) $(CXXFLAGS)
# No JIT bitcode: the PGXS rules for it drop -std and the flags per file.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Header dependencies: PGXS has them only for servers configured with
# --enable-depend (Debian's are not), and stale objects cost hours.
override CPPFLAGS += -MMD -MP
-include $(OBJS:.o=.d)

# Loops over elements; -O2 alone vectorises hardly any of them.
$(filter src/types/%,$(OBJS)): override CFLAGS += -O3

define kernel_flags
$(1:.cpp=.o): override CXXFLAGS += $$(call kernel_cxxflags,$$(host_cpu),$(basename $(notdir $(1))))
endef
$(foreach f,$(wildcard src/simd/kernels_*.cpp),$(eval $(call kernel_flags,$(f))))

# Objects of other flags (another server, an assertion build) are stale too.
ifeq (,$(filter %clean,$(MAKECMDGOALS)))
FLAGS_NOW := $(CC) $(CFLAGS) / $(CXX) $(CXXFLAGS) / $(CPPFLAGS) / \
	$(KERNEL_CXXFLAGS) $(KERNEL_CXXFLAGS_avx2) $(KERNEL_CXXFLAGS_avx512)
ifneq ($(strip $(FLAGS_NOW)),$(strip $(file <.build-flags)))
$(file >.build-flags,$(FLAGS_NOW))
endif
$(OBJS): .build-flags
endif

endif
