/*
 * postgres.hpp - postgres.h for C++, the first include of every file of store/.
 *
 * Standard headers come first, because c.h redefines names they use. Further
 * PostgreSQL headers are included by who needs them, each group inside its own
 * extern "C" { }. Only the server's own headers declare its symbols: never
 * declare one by hand.
 *
 * A frame that an ereport can cross holds only trivially destructible objects
 * (src/README), hence no guard or wrapper here.
 */
#ifndef OMENDB_PG_POSTGRES_HPP
#define OMENDB_PG_POSTGRES_HPP

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

extern "C"
{
#include "postgres.h"

#include "pg/compat.h"
}

/* Too short or too common as macros; std::min, std::max and std::abs replace them. */
#undef _
#undef Abs
#undef Max
#undef Min

#endif
