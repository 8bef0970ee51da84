/*
 * context_memory.hpp - memory of the core that lives in a MemoryContext.
 */
#ifndef OMENDB_STORE_CONTEXT_MEMORY_HPP
#define OMENDB_STORE_CONTEXT_MEMORY_HPP

#include "pg/postgres.hpp"

extern "C"
{
#include "utils/memutils.h"
}

#include "base/memory.hpp"

namespace omendb::store
{

/* Never NULL: PostgreSQL raises an error instead. */
inline void *
resize_in_context(void *context, void *old, size_t size)
{
	if (old != nullptr)
		return repalloc_huge(old, size);
	return MemoryContextAllocHuge((MemoryContext) context, size);
}

inline Memory
memory_in(MemoryContext context)
{
	return Memory{resize_in_context, context};
}

} // namespace omendb::store

#endif
