/*
 * bits.hpp - counting bits where the compiler has no instruction for it.
 */
#ifndef OMENDB_BASE_BITS_HPP
#define OMENDB_BASE_BITS_HPP

#include <stdint.h>

namespace omendb
{

/*
 * How many bits are set. On x86-64 without extensions __builtin_popcount() is a
 * call into libgcc, which looks bytes up in a table.
 */
inline uint32_t
popcount32(uint32_t x)
{
	x -= x >> 1 & 0x55555555u;
	x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
	x = (x + (x >> 4)) & 0x0F0F0F0Fu;
	return x * 0x01010101u >> 24;
}

} // namespace omendb

#endif
