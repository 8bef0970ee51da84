/*
 * kernels_base.cpp - the kernels for any CPU of the platform.
 *
 * Compiled without instruction set flags: SSE2 on x86-64, where SIMDe emulates
 * the byte shuffle of FastScan.
 */
#define OMENDB_SIMD_ISA   base
#define OMENDB_SIMD_WIDTH 4
#include "simd/kernels-inl.h"
