/*
 * spin.hpp - a lock of one byte, for some hundred nanoseconds at a time: held
 * over no call that could wait, fail or allocate.
 */
#ifndef OMENDB_BASE_SPIN_HPP
#define OMENDB_BASE_SPIN_HPP

#include <sched.h>
#include <stdint.h>

namespace omendb
{

/* Tell the processor that this is a wait. */
inline void
relax()
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

inline void
spin_lock(uint8_t *lock)
{
	for (uint32_t spins = 0; __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0;)
	{
		while (__atomic_load_n(lock, __ATOMIC_RELAXED) != 0)
		{
			/* Whoever holds it may have lost the processor. */
			if (++spins % 128 == 0)
				sched_yield();
			else
				relax();
		}
	}
}

inline void
spin_unlock(uint8_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

} // namespace omendb

#endif
