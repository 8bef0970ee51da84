/*
 * random.hpp - splitmix64, for levels and signs. The sequence is part of the
 * on-disk format where signs are derived from it.
 */
#ifndef OMENDB_BASE_RANDOM_HPP
#define OMENDB_BASE_RANDOM_HPP

#include <stdint.h>

namespace omendb
{

/* The finaliser: a good hash of 64 bits. */
inline uint64_t
mix64(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	return x ^ (x >> 31);
}

/* The k-th output (k from 0) of splitmix64 started with seed. */
inline uint64_t
splitmix64(uint64_t seed, uint64_t k)
{
	return mix64(seed + (k + 1) * 0x9E3779B97F4A7C15u);
}

} // namespace omendb

#endif
