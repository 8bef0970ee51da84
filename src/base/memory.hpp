/*
 * memory.hpp - memory that is handed in, and growable arrays on it.
 *
 * The core allocates only through a Memory: malloc in unit tests, a
 * MemoryContext in the server, a source that fails on the n-th call in the
 * out-of-memory tests. Arrays hold trivially destructible values and have no
 * destructor: their memory goes when its owner goes.
 */
#ifndef OMENDB_BASE_MEMORY_HPP
#define OMENDB_BASE_MEMORY_HPP

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

namespace omendb
{

struct Memory
{
	/* realloc: old may be NULL; NULL when there is none. */
	void *(*resize)(void *context, void *old, size_t size);
	void *context;
};

template <typename T>
struct Array
{
	static_assert(std::is_trivially_destructible_v<T> && std::is_trivially_copyable_v<T>);

	T *data;
	size_t size;
	size_t capacity;
	const Memory *memory;

	void
	init(const Memory *m)
	{
		data = nullptr;
		size = 0;
		capacity = 0;
		memory = m;
	}

	T &
	operator[](size_t i)
	{
		return data[i];
	}

	const T &
	operator[](size_t i) const
	{
		return data[i];
	}

	/* Room for n elements; false when memory fails, the array unchanged. */
	bool
	reserve(size_t n)
	{
		if (n <= capacity)
			return true;
		size_t wanted = capacity == 0 ? 64 : capacity * 2;
		if (wanted < n)
			wanted = n;
		void *p = memory->resize(memory->context, data, wanted * sizeof(T));
		if (p == nullptr)
			return false;
		data = (T *) p;
		capacity = wanted;
		return true;
	}

	bool
	push(const T &value)
	{
		if (size == capacity && !reserve(size + 1))
			return false;
		data[size++] = value;
		return true;
	}

	/* What the elements take. */
	size_t
	used() const
	{
		return size * sizeof(T);
	}

	/* What the array holds of its memory. */
	size_t
	bytes() const
	{
		return capacity * sizeof(T);
	}
};

} // namespace omendb

#endif
