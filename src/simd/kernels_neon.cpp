/*
 * kernels_neon.cpp - the kernels for AArch64.
 *
 * Compiled without instruction set flags, since NEON belongs to AArch64;
 * empty on other platforms.
 */
#if defined(__aarch64__)
#define OMENDB_SIMD_ISA   neon
#define OMENDB_SIMD_WIDTH 4
#include "simd/kernels-inl.h"
#endif
